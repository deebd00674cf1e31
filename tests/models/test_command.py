"""``python -m el4ner.models``: its words and its exit codes."""

from pathlib import Path

import pytest

from el4ner.models.__main__ import main
from el4ner.models.store import model_folder


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    return (code, *capsys.readouterr())


@pytest.mark.slow
def test_from_get_to_verify(tiny: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    code, out, err = run(capsys, "get", "tiny", "--find-links", str(tiny), "--safetensors")
    assert (code, out) == (0, "")
    assert f"tiny: installed in {model_folder('tiny')}; a configuration says model: tiny" in err
    code, out, _ = run(capsys, "list")
    marks = {line[2:22].strip(): line[0] for line in out.splitlines()[1:-1]}
    assert (code, marks) == (0, {"tiny": "*", "bound": " ", "far": " "})
    assert run(capsys, "verify") == (0, "tiny: whole (8 files)\n", "")
    path = model_folder("tiny") / "safetensors" / "config.json"
    path.write_text("{}")
    (model_folder("tiny") / "run.gguf").unlink()
    code, out, _ = run(capsys, "verify", "tiny")
    assert code == 1
    assert [line.split(" is damaged")[0] for line in out.splitlines()] == [
        f"tiny: {model_folder('tiny') / 'run.gguf'}",
        f"tiny: {path}",
    ]


@pytest.mark.slow
def test_show_says_how_to_get_each(tiny: Path, capsys: pytest.CaptureFixture[str]):
    assert "get it with: python -m el4ner.models get bound --accept-licence" in run(capsys, "show", "bound")[1]
    assert "hf download nobody/Far-Model" in run(capsys, "show", "far")[1]
    assert run(capsys, "show", "tyni")[0] == 2
    run(capsys, "get", "tiny", "--find-links", str(tiny))
    assert "model.gguf:" in run(capsys, "show", "tiny")[1]


def test_a_brought_model_is_listed_shown_and_verified(
    tiny: Path, capsys: pytest.CaptureFixture[str], gguf_data: bytes, tmp_path: Path
):
    (tmp_path / "o.gguf").write_bytes(gguf_data)
    assert run(capsys, "get", "--from", str(tmp_path / "o.gguf"), "--name", "own", "--safetensors")[0] == 0
    assert "* own" in run(capsys, "list")[1]
    assert str(tmp_path / "o.gguf") in run(capsys, "show", "own")[1]
    assert run(capsys, "verify", "own")[1] == "own: whole (7 files)\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get"], "give names to get, or --from PATH and --name NAME"),
        (["get", "tiny", "--from", "x", "--name", "y"], "give names to get"),
        (["get", "--from", "x"], "give names to get"),
        (["get", "--name", "x"], "give names to get"),
        (["get", "tiny", "--find-links", "nowhere"], "--find-links nowhere is no folder"),
        (["get", "bound"], "--accept-licence"),
        (["get", "far"], "hf download"),
        (["verify", "tiny"], "tiny is not installed; get it with: python -m el4ner.models get tiny (1 MB)"),
        (["verify", "far"], "how to bring it: python -m el4ner.models show far"),
    ],
)
def test_what_cannot_be_done_ends_in_one_message(
    words: list[str], said: str, tiny: Path, capsys: pytest.CaptureFixture[str]
):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("el4ner.models: ") and said in err


def test_nothing_installed_is_no_fault(models: Path, capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "verify") == (0, f"nothing is installed in {models}\n", "")


def test_a_damaged_record_is_told(tiny: Path, capsys: pytest.CaptureFixture[str]):
    model_folder("tiny").mkdir(parents=True)
    (model_folder("tiny") / "el4ner-model.json").write_text("{")
    code, _, err = run(capsys, "verify", "tiny")
    assert code == 2 and "is damaged; remove the folder" in err
