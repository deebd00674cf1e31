"""Configurations that serve: from a few words to a YAML file with its model folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.config import Config, parse_config, read_yaml
from tests.serve.models import PUBLISHED, save_model

Member = Callable[..., dict[str, Any]]
CONFIGS = Path(__file__).parents[2] / "configs"
SERVED = ("box-2x24gb", "chinese", "el4ner-paper", "small-vllm")
"""The shipped configurations that serve their members."""


@pytest.fixture
def member(tmp_path: Path) -> Member:
    """A member that serves a published model: ``member("a", "Qwen3-8B", port=8001, context=2048)``."""

    def make(
        name: str, model: str, *, port: int, key: str | None = "KEY", concurrency: int = 8, **serve: Any
    ) -> dict[str, Any]:
        folder = tmp_path / model
        if not folder.exists():
            save_model(folder, PUBLISHED[model])
        settings = {"model": str(folder), "context": 2048, **serve}
        return {
            "name": name, "engine": "http", "model": name, "endpoint": f"http://127.0.0.1:{port}/v1",
            "api_key_env": key, "concurrency": concurrency, "serve": settings,
        }  # fmt: skip

    return make


def data(*members: dict[str, Any]) -> dict[str, Any]:
    """A configuration of these members."""
    return {"labels": [{"name": "PER", "words": {"en": "person"}}], "members": list(members)}


def configuration(*members: dict[str, Any]) -> Config:
    """The checked configuration of these members."""
    return parse_config(data(*members), base=Path("/"))


def write(path: Path, *members: dict[str, Any]) -> Path:
    """The configuration as a file."""
    path.write_text(yaml.safe_dump(data(*members)))
    return path


def shipped(name: str, models: Path) -> Config:
    """A shipped configuration with folders of the published models, made under ``models``, in the place of ``/models``."""
    content = read_yaml(CONFIGS / f"{name}.yaml")
    for member in content["members"]:
        folder = Path(member["serve"]["model"])
        if folder.parent == Path("/models"):
            if not (models / folder.name).exists():
                save_model(models / folder.name, PUBLISHED[folder.name])
            member["serve"] = {**member["serve"], "model": str(models / folder.name)}
    return parse_config(content, base=CONFIGS)
