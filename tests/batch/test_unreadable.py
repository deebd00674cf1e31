"""Documents that cannot be read among others that can."""

import json
import os

import pytest

from el4ner.run import main
from el4ner.text import files
from el4ner.text.formats import read_labelled

from .fakes import build

SECRET = "Zebulon"
BAD = {
    "binary.txt": b"Anna\0" + SECRET.encode(),
    "latin.txt": "Zoë met Anna".encode("latin-1"),
    "wide.txt": SECRET.encode("utf-16"),
    "lines.jsonl": b'{"id": "a", "text": "Anna."}\n{oops '
    + SECRET.encode()
    + b'\n{"id": "b"}\n{"id": "c", "text": "Carl."}\n',
    "columns.conll": b"# id = s1\nAnna B-PER\n\n# id = s2\n" + SECRET.encode() + b"\n\n# id = s3\nBob B-PER\n",
}


@pytest.fixture
def folder(command, tmp_path):
    command.corpus = tmp_path / "in"
    command.corpus.mkdir()
    (command.corpus / "good.txt").write_text("Anna met Bob.")
    return command.corpus


def statuses(command):
    return {record["id"]: record["status"] for record in command.records()}


def test_each_has_its_reason_and_the_others_are_done(command, folder, capfd):
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    assert command("--format", "conll", "--show", "0") == 1
    assert statuses(command) == {
        "binary": "failed",
        "s1": "ok",
        "s2": "failed",
        "s3": "ok",
        "good": "ok",
        "latin": "failed",
        "a": "ok",
        "lines:2": "failed",
        "b": "failed",
        "c": "ok",
        "wide": "failed",
    }
    reasons = {record["id"]: record["reason"] for record in command.records() if record["status"] == "failed"}
    assert "NUL character" in reasons["binary"] and "not UTF-8" in reasons["latin"] and "UTF-16" in reasons["wide"]
    assert "lines.jsonl, line 2: not a JSON object" in reasons["lines:2"]
    assert '"text" must be a string' in reasons["b"] and "line 5: expected a token and a tag" in reasons["s2"]
    assert not any(SECRET.encode() in path.read_bytes() for path in command.output.iterdir())
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    last = err.splitlines()[-1]
    assert (
        "of 11 document(s) 6 failed (6 could not be read)" in last and str(command.output / "predictions.jsonl") in last
    )
    assert "lines.jsonl" not in json.dumps(command.run_json()["totals"]["problems"])
    assert [document.id for document in read_labelled(command.output / "predictions.conll")] == list(statuses(command))


def test_what_is_no_file_or_may_not_be_opened_is_one_failed_document(command, folder, monkeypatch):
    os.mkfifo(folder / "pipe.txt")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    (folder / "shut.jsonl").write_text('{"text": "Anna."}\n')
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("Anna.")
    opened = type(folder).open

    def refuse(path, *arguments, **named):
        if path.name == "shut.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(type(folder), "open", refuse)
    assert command("--quiet") == 1
    assert statuses(command) == dict.fromkeys(["caf\\udce9", "gone", "pipe", "shut"], "failed") | {"good": "ok"}
    monkeypatch.undo()
    (folder / "pipe.txt").unlink()
    (folder / "pipe.txt").write_text("Dora.")
    assert command("--quiet") == 1
    assert statuses(command) == dict.fromkeys(["caf\\udce9", "gone"], "failed") | dict.fromkeys(
        ["good", "pipe", "shut:1"], "ok"
    )


def test_a_document_that_is_too_large_is_not_read(command, folder, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    (folder / "large.txt").write_text("Anna. " * 100)
    lines = [json.dumps({"id": name, "text": "Anna. " * times}) for name, times in [("x", 1), ("y", 100), ("z", 1)]]
    (folder / "lines.jsonl").write_text("\n".join(lines))
    assert command("--quiet") == 1
    assert statuses(command) == {"good": "ok", "large": "failed", "x": "ok", "lines:2": "failed", "z": "ok"}


def test_an_empty_file_is_a_document_without_entities_and_an_empty_list_none(command, folder, caplog):
    (folder / "empty.txt").write_bytes(b"")
    (folder / "none.jsonl").write_bytes(b"\n")
    assert command("--quiet") == 0
    assert statuses(command) == {"empty": "ok", "good": "ok"}
    assert "none.jsonl: holds no document" in caplog.text


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_input_of_which_nothing_can_be_read_is_an_error(command, folder, capsys, more):
    (folder / "good.txt").write_bytes(b"\xff")
    assert command("--quiet", *more) == 2
    assert "no document of the input can be read; the first: " in capsys.readouterr().err
    (folder / "good.txt").rename(folder / "none.jsonl")
    (folder / "none.jsonl").write_bytes(b"")
    assert command("--quiet", *more) == 2
    assert "holds no document" in capsys.readouterr().err
    assert not command.output.exists()


def test_mended_documents_are_done_and_the_others_stay(command, folder):
    for name in ("latin.txt", "lines.jsonl"):
        (folder / name).write_bytes(BAD[name])
    assert command("--quiet") == 1
    before = (command.output / "predictions.jsonl").read_bytes().splitlines()
    assert command("--quiet") == 1
    assert (command.output / "predictions.jsonl").read_bytes().splitlines() == before
    (folder / "latin.txt").write_text("Zoë met Anna")
    (folder / "lines.jsonl").write_text(
        '{"id": "a", "text": "Anna."}\n{"id": "new", "text": "Dora."}\n{"id": "c", "text": "Carl."}\n'
    )
    assert command("--dry-run") == 0
    assert command("--quiet") == 0
    assert statuses(command) == dict.fromkeys(["good", "latin", "a", "new", "c"], "ok")
    after = (command.output / "predictions.jsonl").read_bytes().splitlines()
    assert [after[0], after[2], after[4]] == [before[0], before[2], before[5]]


def test_a_document_that_could_be_read_before_is_no_longer_the_same(command, folder, capsys):
    assert command("--quiet") == 0
    (folder / "good.txt").write_bytes(b"Anna \xff")
    (folder / "other.txt").write_text("Bob.")
    assert command("--quiet") == 2
    assert "has changed" in capsys.readouterr().err


def test_an_id_that_stands_twice_has_a_failed_record_of_its_own(command, tmp_path):
    ids = ["d", "D", "é", "e\u0301", "d", "a\nb", " "]
    command.corpus.write_text("".join(json.dumps({"id": name, "text": "Anna."}) + "\n" for name in ids))
    assert command("--quiet", "--format", "conll") == 1
    assert statuses(command) == dict.fromkeys(["d", "D", "é", "e\u0301"], "ok") | dict.fromkeys(
        ["d (2)", "corpus:6", "corpus:7"], "failed"
    )
    reasons = [record["reason"] for record in command.records()[4:]]
    assert "the id 'd' stands twice" in reasons[0] and "line break" in reasons[1] and "blank" in reasons[2]
    assert [document.id for document in read_labelled(command.output / "predictions.conll")] == list(statuses(command))


def test_of_plain_files_with_one_name_the_first_is_read_and_the_others_get_their_reason(command, tmp_path):
    for number, name in enumerate(("one/letter", "two/letter", "three/other")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.txt").write_text(f"Anna {number}.")
    inputs = [str(tmp_path / name) for name in ("one/letter.txt", "two/letter.txt", "three")]
    arguments = ["--config", str(command.config), "--output", str(command.output), "--quiet", "--input", *inputs]
    assert main(arguments, build) == 1
    assert statuses(command) == {"letter": "ok", "letter (2)": "failed", "other": "ok"}
    reason = command.records()[1]["reason"]
    assert "two/letter.txt: the id 'letter' stands twice" in reason and "give their common folder" in reason


def test_no_such_folder_is_an_error(command, capsys):
    assert main([*command.arguments("--quiet"), "--input", "nowhere"], build) == 2
    assert "does not exist" in capsys.readouterr().err
