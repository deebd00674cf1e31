"""Whether constraints.txt pins whatever an installation of el4ner, with any of its extras, brings along."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ELSEWHERE = {"serve"}
"""vLLM pins many packages of its own; serving/vllm-cpu.txt names the versions that were tested."""
EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - ELSEWHERE)


def brought_by(requirements: list[str]) -> set[str]:
    """The packages that requirements bring, as far as they are installed here: those that are not, without what they bring."""
    names: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, parent_extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": parent_extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {known for other, known in names if other == name}:
            names.add((name, extra))
            try:
                further = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                further = []
            waiting += [(Requirement(text), extra) for text in further]
    return {name for name, _ in names}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_what_is_installed_is_pinned(extra: str):
    requirements = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    assert brought_by(requirements) - pinned().keys() == set(), "pin it in constraints.txt"


def test_each_pin_fits_what_the_project_asks_for():
    pins = pinned()
    asked = [*PROJECT["dependencies"], *(text for extra in EXTRAS for text in PROJECT["optional-dependencies"][extra])]
    unfit = [
        text for text in asked if pins[canonicalize_name(Requirement(text).name)] not in Requirement(text).specifier
    ]
    assert not unfit


def test_a_package_that_is_brought_by_another_is_found():
    assert {"httpx", "httpcore", "h11", "certifi"} <= brought_by(["httpx>=0.27"])
