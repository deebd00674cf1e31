"""Every reader of a file states its limit, ends at once on what is no file, and calls damage by its name."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from el4ner.batch.journal import count_records, read_predictions
from el4ner.batch.record import read_run
from el4ner.combine.combiner import load_combiner
from el4ner.combine.records import read_entities
from el4ner.engines.tuning_record import read_tuning_record
from el4ner.errors import El4nerError, InputError
from el4ner.models.weights import read_json
from el4ner.scoring.predictions import read_predictions as read_for_scoring
from el4ner.serve.state import StateFolder
from el4ner.text import files
from el4ner.text.documents import Document
from el4ner.text.files import load_json, numbered_lines


def as_file(name: str, read: Callable[[Path], Any]) -> Callable[[Path, bytes], Any]:
    """Writes a file of that name and reads it."""

    def write_and_read(folder: Path, content: bytes) -> Any:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return write_and_read


READERS = {
    "run record": as_file("run.json", lambda path: read_run(path.parent)),
    "predictions": as_file("p.jsonl", lambda path: list(read_predictions(path))),
    "combiner": as_file("combiner.json", load_combiner),
    "combined records": as_file("c.jsonl", lambda path: list(read_entities(path))),
    "scored records": as_file("s.jsonl", lambda path: read_for_scoring(path, [Document("a", "b", ())])),
    "serving state": as_file("state.json", lambda path: StateFolder(path.parent).read()),
    "model configuration": as_file("config.json", read_json),
    "tuning record": as_file("el4ner-tuned.json", lambda path: read_tuning_record(path.parent)),
}
DAMAGE = {
    "nothing": b"\0",
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "a number": b"7",
    "a long number": b"1" * 10_000,
    "another object": b'{"state": 1, "format": 3, "entities": 7, "status": "ok", "id": {}}',
    "infinite": b'{"id": "a", "status": "ok", "entities": [{"start": 1e999, "end": 2, "type": "x", "score": 1, "votes": {}}],'
    b' "members_answered": []}',
    "no UTF-8": b'{"id": "\xff"}',
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_of_our_errors(tmp_path: Path, reader: str, damage: str):
    if (reader, damage) in {("model configuration", "another object"), ("model configuration", "infinite")}:
        pytest.skip("any object may be a model's configuration")
    with pytest.raises(El4nerError):
        READERS[reader](tmp_path, DAMAGE[damage])


def test_a_run_record_without_what_is_read_later_is_damaged(tmp_path: Path):
    whole = {"state": "finished", "configuration": {}, "provenance": {}, "attempts": [], "with_text": True}
    (tmp_path / "run.json").write_text(json.dumps(whole))
    assert read_run(tmp_path) == whole
    for key in ("configuration", "provenance", "attempts", "with_text"):
        for value in ({}, {key: 7}) if key != "with_text" else ({},):
            rest = {name: part for name, part in whole.items() if name != key} | value
            (tmp_path / "run.json").write_text(json.dumps(rest))
            with pytest.raises(El4nerError, match=r"damaged; use --fresh"):
                read_run(tmp_path)


def test_a_json_file_has_a_longest_length(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps("x" * 98))
    assert load_json(path, 100) == "x" * 98
    path.write_text(json.dumps("x" * 99))
    with pytest.raises(InputError, match="longer than"):
        load_json(path, 100)


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with pytest.raises(OSError, match="no regular file"):
        load_json(tmp_path / "pipe")
    assert time.monotonic() - began < 5


def test_a_record_has_a_longest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"123456789\n12345678901\n")
    with path.open("rb") as stream:
        lines = numbered_lines(stream, "a")
        assert next(lines) == (1, "123456789")
        with pytest.raises(InputError, match="a, line 2: longer than"):
            next(lines)
    path.write_bytes(b"12345678901")
    with pytest.raises(InputError, match="line 1: longer than"):
        count_records(path)
