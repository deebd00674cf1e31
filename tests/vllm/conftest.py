"""Real vLLM on this machine's CPU, serving tiny models and an adapter; started once for all tests here."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.box import Box


@pytest.fixture(scope="session")
def box(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """The servers, up and answering; stopped at the end, with nothing left behind."""
    box = Box(tmp_path_factory.mktemp("box"), vllm_python)
    try:
        assert box.serve("start", "--cpu", "--hang-s", "30") == 0, box.said
        yield box
    finally:
        box.serve("stop")
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(box.folder) not in left
    assert not [pid for pid in box.seen if Path(f"/proc/{pid}").exists() and _is_vllm(pid)]


def _is_vllm(pid: int) -> bool:
    """A process id may have passed on to another program."""
    try:
        return "vllm" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace").lower()
    except OSError:
        return False
