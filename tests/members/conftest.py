"""Engines and members of tiny random models."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ARCHITECTURES = ("opt", "bloom", "qwen3")


@pytest.fixture(scope="session")
def engine_of(tiny_model: Callable[..., Path]) -> Callable[[str], Any]:
    """The loaded engine of an architecture."""
    from el4ner.members.engine import Engine

    loaded: dict[str, Engine] = {}

    def engine(name: str) -> Engine:
        if name not in loaded:
            loaded[name] = Engine(tiny_model(name), None, "cpu", "float32", {})
        return loaded[name]

    return engine


@pytest.fixture(params=ARCHITECTURES)
def engine(request: pytest.FixtureRequest, engine_of: Callable[[str], Any]) -> Any:
    """Each architecture's engine in turn."""
    return engine_of(request.param)


@pytest.fixture
def member_of(engine_of: Callable[[str], Any], tiny_model: Callable[..., Path]) -> Callable[..., Any]:
    """A new member over an architecture's loaded engine, with settings of its own."""
    from el4ner.config import MemberConfig
    from el4ner.members.local import LocalMember

    def member(name: str = "qwen3", **settings: Any) -> LocalMember:
        config = MemberConfig(name=name, engine="local", model=str(tiny_model(name)), **settings)
        made = LocalMember(config, threads=1)
        made.__dict__["engine"] = engine_of(name)
        return made

    return member


@pytest.fixture(autouse=True)
def _said_anew():
    """What is said once a process is said once a test."""
    http = sys.modules.get("el4ner.members.http")
    if http is not None:
        http._say.cache_clear()
