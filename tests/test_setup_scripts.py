"""What the set-up scripts ask pip for; a stub stands in for the environment's interpreter, so nothing is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the package index has CPU builds")
ROOT = Path(__file__).parents[1]
VERSION = re.search(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)[1]
STUB = """#!/bin/sh
echo "$*" >> "$STUB_LOG"
case "$*" in
-c*) exit "${STUB_LACKS_TORCH:-1}" ;;
*"pip config list") echo "$STUB_CONFIG" ;;
*"pip index versions"*) echo "Available versions: $STUB_OFFERS" ;;
esac
"""


@pytest.fixture
def run(tmp_path: Path):
    """Runs a script of a copy of the repository: what it said on standard error, and the arguments of each `pip install`."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    stub = tmp_path / ".venv/bin/python"
    stub.write_text(STUB)
    stub.chmod(0o755)
    for name in ("constraints.txt", "pyproject.toml", "scripts/setup.sh", "scripts/cpu_torch.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    log = tmp_path / "log"

    def work(script: str, *words: str, code: int = 0, **variables: str) -> tuple[str, list[str]]:
        log.write_text("")
        kept = {name: value for name, value in os.environ.items() if name not in ("PIP_ARGS", "TORCH_INDEX")}
        env = {**kept, "PYTHON": sys.executable, "STUB_LOG": str(log), **variables}
        done = subprocess.run(
            ["bash", tmp_path / "scripts" / script, *words], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stderr, [
            line.split("pip install ")[1] for line in log.read_text().splitlines() if "pip install" in line
        ]

    return work


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({"STUB_OFFERS": f"9.9+cpu, {VERSION}+cpu"}, "https://download.pytorch.org/whl/cpu"),
        ({"STUB_OFFERS": f"{VERSION}+cpu", "TORCH_INDEX": "file:///mirror"}, "file:///mirror"),
        ({"STUB_OFFERS": VERSION}, None),
        ({"STUB_OFFERS": f"{VERSION}+cpu", "STUB_CONFIG": "global.index-url='https://mirror.example/simple'"}, None),
        ({"STUB_OFFERS": f"{VERSION}+cpu", "STUB_CONFIG": ":env:.no-index='1'"}, None),
        ({"STUB_OFFERS": f"{VERSION}+cpu", "PIP_ARGS": "--no-cache-dir --index-url https://mirror.example"}, None),
        (
            {"STUB_OFFERS": f"{VERSION}+cpu", "STUB_CONFIG": "global.extra-index-url='file:///wheels'"},
            "https://download.pytorch.org/whl/cpu",
        ),
    ],
)
def test_torch_alone_comes_from_the_index_of_cpu_builds(run, variables: dict[str, str], source: str | None) -> None:
    said, installs = run("cpu_torch.sh", ".venv/bin/python", "constraints.txt", **variables)
    if source is None:
        assert installs == [] and said.startswith("setup: ") and said.count("\n") == 1
    else:
        (install,) = installs
        assert install.endswith(f"--index-url {source} torch=={VERSION}+cpu") and "--no-deps" in install and not said


def test_a_torch_that_is_there_is_kept(run) -> None:
    assert run("cpu_torch.sh", ".venv/bin/python", "constraints.txt", STUB_LACKS_TORCH="0") == ("", [])


def test_setup_says_sizes_and_installs_the_extras_under_the_constraints(run) -> None:
    said, installs = run("setup.sh", "test", "plots", PIP_ARGS="--no-cache-dir", STUB_OFFERS=f"{VERSION}+cpu")
    assert "350 MB to download, 1600 MB on disk" in said and "test,plots: 410 and 1835 MB" in said
    assert installs[0].endswith(f"torch=={VERSION}+cpu") and installs[1].endswith("-e .[test,plots]")
    assert all("-c constraints.txt --no-cache-dir" in install for install in installs[1:])
    assert run("setup.sh", "test", "plots") == ("", [])


def test_cuda_is_a_flag_that_the_environment_remembers(run) -> None:
    run("setup.sh", STUB_OFFERS=f"{VERSION}+cpu")
    said, installs = run("setup.sh", "--cuda", STUB_OFFERS=f"{VERSION}+cpu")
    assert "2900 MB to download" in said
    assert [install.split()[-1] for install in installs] == [f"torch==={VERSION}", "."]
    _, installs = run("setup.sh", "test", STUB_OFFERS=f"{VERSION}+cpu")
    assert not any("+cpu" in install for install in installs)


def test_an_unknown_option_is_named(run) -> None:
    assert "--gpu" in run("setup.sh", "--gpu", code=1)[0]
