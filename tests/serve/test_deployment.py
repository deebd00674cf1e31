"""The compose file and the systemd unit: what they start is a command that exists, and nothing listens beyond loopback."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.serve import __main__ as serve
from el4ner.serve.control import STOP_S

SERVING = Path(__file__).parents[2] / "serving"


@pytest.fixture
def service() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["members"]
    return content


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SERVING / "el4ner-serve@.service")
    return parser["Service"]


def understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command makes of its arguments, without doing it."""
    seen: dict[str, Any] = {}
    for name in ("_start", "_status"):
        monkeypatch.setattr(serve, name, lambda options, name=name: seen.update(vars(options), does=name) or 0)
    assert serve.main(words) == 0
    return seen


def test_the_container_starts_what_there_is(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    entry = re.search(r'ENTRYPOINT \["python3", "-m", "el4ner.serve"\]', (SERVING / "Dockerfile").read_text())
    assert entry
    started = understood(service["command"], monkeypatch)
    asked = understood(service["healthcheck"]["test"][4:], monkeypatch)
    assert (started["does"], asked["does"]) == ("_start", "_status")
    assert started["foreground"] and started["config"] == asked["config"]
    assert any(volume.split(":")[-2] == str(started["config"]) for volume in service["volumes"])


@pytest.mark.parametrize(("key", "known"), [("gpus", True), ("gpuz", False)])
def test_the_compose_file_follows_the_compose_specification(tmp_path: Path, key: str, known: bool):
    compose = tmp_path / "compose.yaml"
    compose.write_text((SERVING / "compose.yaml").read_text().replace("    gpus:", f"    {key}:"))
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode == 0) == known, checked.stdout + checked.stderr
    assert known or "gpuz" in checked.stdout


def test_the_container_publishes_nothing_and_has_time_to_stop(service: dict[str, Any]):
    assert "ports" not in service and service["network_mode"] == "host"
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert (SERVING / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_unit_starts_what_there_is_and_has_time_to_stop(monkeypatch: pytest.MonkeyPatch):
    words = shlex.split(unit()["ExecStart"])
    assert words[1:3] == ["-m", "el4ner.serve"]
    started = understood(words[3:], monkeypatch)
    assert started["does"] == "_start" and started["foreground"]
    assert int(unit()["TimeoutStopSec"]) > STOP_S
    assert unit()["User"] != "root" and unit()["NoNewPrivileges"] == "yes"
