"""All commands under one name, also from a wheel outside the checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from el4ner import __version__
from el4ner.__main__ import COMMANDS, main
from el4ner.config import load_config
from el4ner.errors import ConfigError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out


def test_what_is_there_is_said(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"el4ner {__version__}\n"
    assert main([]) == main(["--help"]) == 0
    assert main(["rum"]) == 2
    said = capsys.readouterr().err
    assert "no command 'rum'" in said and all(f"\n  {name} " in said for name in COMMANDS)


def test_the_version_is_said_once():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == __version__


def test_configurations_that_ship_have_names():
    assert load_config(Path("default")) == load_config(ROOT / "configs" / "default.yaml")
    with pytest.raises(ConfigError, match="no configuration 'defualt'; those that ship are box-2x24gb, "):
        load_config(Path("defualt"))


@pytest.mark.slow
def test_a_wheel_has_all_that_a_run_needs(tmp_path: Path):
    """Its files alone, without the checkout: configurations by name, templates, pool, embedder."""
    source = tmp_path / "source"  # building leaves files in its folder
    for name in ("el4ner", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", str(source), *options], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        metadata = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "el4ner = el4ner.__main__:main" in archive.read(metadata).decode()
    code = (
        "import el4ner, pathlib; from el4ner.config import load_config; c = load_config(pathlib.Path('default')); "
        "from el4ner.demos.build import build_retriever; build_retriever(c); "
        "from el4ner.prompts.marking import Marking; Marking.of('full', c); print(el4ner.__file__)"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "site"))
