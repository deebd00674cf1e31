"""One experiment that ran to its end, shared by the tests that read it."""

from pathlib import Path

import pytest

from .fakes import run, write_experiment


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of an experiment whose rows are all computed; its folder is ``words``' --output."""
    words = write_experiment(tmp_path_factory.mktemp("finished"))
    assert run(words) == 0
    return words


def output_of(words: list[str]) -> Path:
    """The output folder that words name."""
    return Path(words[words.index("--output") + 1])
