"""The pure rooms come without torch, without a network library and without an index library."""

import pkgutil
import subprocess
import sys

import pytest

import el4ner

HEAVY = ("torch", "transformers", "httpx", "faiss", "peft", "sentence_transformers", "vllm")
PURE = ("config", "errors", "text", "prompts", "vote", "combine", "scoring")


def modules(room: str) -> list[str]:
    """A room and all its modules."""
    package = f"el4ner.{room}"
    found = pkgutil.walk_packages([f"{el4ner.__path__[0]}/{room}"], f"{package}.")
    return [package, *(module.name for module in found)]


def imports(names: list[str]) -> subprocess.CompletedProcess[str]:
    """Import these where nothing heavy can be imported."""
    code = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n" + "\n".join(f"import {n}" for n in names)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_pure_rooms_import_without_heavy_libraries():
    names = ["el4ner", *(name for room in PURE for name in modules(room))]
    assert len(names) > 30
    done = imports(names)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ["demos.index", "engines.http"])
def test_the_others_would_fail_so_that_the_test_above_can(room: str):
    assert "ModuleNotFoundError" in imports([f"el4ner.{room}"]).stderr
