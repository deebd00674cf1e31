"""Every command ends in one line and exit code 2 where it cannot do its work, and in 130 where it is interrupted."""

import importlib
import io
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from el4ner import __main__ as entry_points
from el4ner.commands import CANNOT, INTERRUPTED, run_command
from el4ner.errors import InputError

ROOT = Path(__file__).parents[1]
GOLD = ROOT / "tests" / "examples" / "gold.en.jsonl"
SECRET = "Zebulon"
Make = Callable[[Path, Path, Path], list[str]]
"""The arguments of a command, from its configuration (or what it reads first), a labelled file, and where to write."""

COMMANDS: dict[str, Make] = {
    "run": lambda read, data, out: ["--config", str(read), "--input", str(data), "--output", str(out), "--quiet"],
    "index": lambda read, data, out: [
        "--config",
        str(read),
        "--pool",
        str(data),
        "--spans",
        "gold",
        "--output",
        str(out),
    ],
    "train": lambda read, data, out: ["--config", str(read), "--data-root", str(data.parent), "--output", str(out)],
    "serve": lambda read, data, out: ["plan", str(read)],
    "evaluate": lambda read, data, out: [
        "--gold",
        str(read),
        "--pred",
        str(data),
        "--samples",
        "5",
        "--json",
        str(out),
    ],
    "mask": lambda read, data, out: [str(data), "--entities", str(read), "--output", str(out)],
    "combine": lambda read, data, out: [f"a={read}", f"b={data}", "--output", str(out)],
}
CONFIGURED = ("run", "index", "train", "serve")


def refused(name: str, capsys: pytest.CaptureFixture[str], read: Path, data: Path, out: Path) -> str:
    """The message of a command that must end with exit code 2."""
    main = importlib.import_module(entry_points.COMMANDS[name][0]).main
    assert main(COMMANDS[name](read, data, out)) == CANNOT
    printed, err = capsys.readouterr()
    assert printed == "" and "Traceback" not in err and SECRET not in err
    (message,) = [line for line in err.splitlines() if line.startswith("el4ner.")]
    assert message.startswith(f"el4ner.{name}: ")
    return err


def ensemble(folder: Path) -> Path:
    """An ensemble of one member that answers from a file."""
    (folder / "answers.jsonl").write_text("", encoding="utf-8")
    content = {
        "labels": [{"name": name, "words": {"en": name.lower()}} for name in ("PER", "LOC", "ORG")],
        "members": [{"name": "tape", "engine": "local", "model": "answers.gguf"}],
        "pool": {"path": str(GOLD)},
    }
    path = folder / "ensemble.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def training(folder: Path, model: Path) -> Path:
    """A training configuration over the example sentences."""
    labels = [{"name": name, "words": {"en": name.lower()}} for name in ("PER", "LOC", "ORG")]
    content = {
        "model": str(model), "output": "o", "prompt_style": "compact", "labels": labels, "demonstrations": {"k": 0},
        "data": [{"path": GOLD.name, "language": "en"}], "device": "cpu", "optimisation": {"max_steps": 1},
    }  # fmt: skip
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_missing_file_is_named(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert "nowhere" in refused(name, capsys, tmp_path / "nowhere.jsonl", GOLD, tmp_path / "out")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_not_utf8_is_named(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    read = tmp_path / ("broken.yaml" if name in CONFIGURED else "broken.jsonl")
    read.write_bytes(SECRET.encode() + b": \xff\xff\n")
    said = refused(name, capsys, read, GOLD, tmp_path / "out")
    assert "broken" in said and "UTF-8" in said


@pytest.mark.parametrize("name", CONFIGURED)
def test_an_unknown_key_is_named(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    read = tmp_path / "odd.yaml"
    read.write_text("mebers: []\nlabells: []\n", encoding="utf-8")
    assert "labells: unknown key; did you mean 'labels'?" in refused(name, capsys, read, GOLD, tmp_path / "out")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_a_place_that_cannot_be_written_is_named(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, request: pytest.FixtureRequest
):
    (tmp_path / "file").write_text("", encoding="utf-8")
    read = ensemble(tmp_path) if name in CONFIGURED else GOLD
    if name == "train":
        read = training(tmp_path, request.getfixturevalue("tiny_model")("qwen3"))
    assert str(tmp_path / "file") in refused(name, capsys, read, GOLD, tmp_path / "file" / "out.jsonl")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (InputError("no such label"), CANNOT, "el4ner.run: no such label\n"),
        (PermissionError(13, "Permission denied", "out/x"), CANNOT, "el4ner.run: out/x: Permission denied\n"),
        (OSError("secret words of a library"), CANNOT, "el4ner.run: a file: OSError\n"),
        (InputError("\x1b]0;x\x07.txt: no\u202e\ntwo"), CANNOT, "el4ner.run: \ufffd]0;x\ufffd.txt: no\ufffd\ntwo\n"),
        (KeyboardInterrupt(), INTERRUPTED, "el4ner.run: interrupted\n"),
    ],
)
def test_each_end_has_its_code_and_its_line(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
):
    def work() -> int:
        raise raised

    assert run_command("run", work) == code
    assert capsys.readouterr() == ("", said)


def test_a_message_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    def work() -> int:
        raise InputError("input \x1b[2Ja\u202eb\u2028c\U000e0041 is missing;\nname another")

    assert run_command("x", work) == CANNOT
    assert capsys.readouterr().err == "el4ner.x: input \ufffd[2Ja\ufffdb\ufffdc\ufffd is missing;\nname another\n"


def test_a_crash_leaves_no_core_dump():
    run_command("x", lambda: 0)
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def test_a_defect_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command("run", lambda: 1 // 0)


def test_its_own_exit_code_is_passed_on():
    assert run_command("run", lambda: 3) == 3


def test_what_a_terminal_cannot_encode_ends_no_run(monkeypatch: pytest.MonkeyPatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)

    def work() -> int:
        print("stdin ─── 张三")
        return 0

    assert run_command("run", work) == 0
    stream.flush()
    assert stream.buffer.getvalue() == b"stdin ??? ??\n"
