"""The servers of a configuration for as long as they are measured, with or without prefix caching."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from el4ner.config import Config
from el4ner.errors import ModelError
from el4ner.serve.control import start, stop

WITHOUT_CACHE = "--no-enable-prefix-caching"


def variant(config: Config, folder: Path, *, prefix_caching: bool) -> Path:
    """The configuration as a file in ``folder``, its servers with or without prefix caching."""
    content: dict[str, Any] = config.model_dump(mode="json")
    for member in content["members"]:
        if member["serve"] and not prefix_caching:
            member["serve"]["extra_args"] = [*member["serve"]["extra_args"], WITHOUT_CACHE]
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


@contextmanager
def running(path: Path, *, gpus: str | None, cpu: bool) -> Iterator[None]:
    """The servers of the configuration at ``path``, up and answering.

    Raises:
        ModelError: one does not come up; what it says is on standard error.
    """
    try:
        if start(path, gpus=gpus, cpu=cpu, say=lambda line: print(f"  {line}", file=sys.stderr, flush=True)):
            raise ModelError(f"the servers of {path} do not come up; see the lines above")
        yield
    finally:
        stop(path)
