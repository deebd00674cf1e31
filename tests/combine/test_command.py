"""Reading prediction files side by side, and the command."""

import json
from pathlib import Path

import pytest

from el4ner.combine import main
from el4ner.combining.systems import read_system
from el4ner.errors import InputError
from el4ner.text.spans import Entity


def jsonl(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


ENTITY = {"start": 0, "end": 3, "type": "PER"}


def test_systems_of_both_formats_meet_and_a_failure_is_an_abstention(tmp_path: Path):
    one = jsonl(tmp_path / "one.jsonl", {"id": "d", "entities": [ENTITY]}, {"id": "e", "entities": []})
    two = jsonl(tmp_path / "two.jsonl", {"id": "d", "status": "failed", "entities": []})
    columns = tmp_path / "three.conll"
    columns.write_text("# id = d\nAda\tB-PER\n\n", encoding="utf-8")
    output = tmp_path / "out.jsonl"
    assert main([f"a={one}", f"b={two}", f"c={columns}", "--rule", "plurality", "--output", str(output)]) == 0
    first, second = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert (first["status"], first["members_answered"]) == ("partial", ["a", "c"])
    assert first["entities"][0]["votes"] == {"a": "PER", "c": "PER"}
    assert (second["id"], second["entities"], second["members_answered"]) == ("e", [], ["a"])
    assert read_system(output) == {"d": {Entity(0, 3, "PER"): None}, "e": {}}


def test_columns_without_ids_meet_by_number(tmp_path: Path):
    for name in ("x", "y"):
        (tmp_path / f"{name}.conll").write_text("Ada\tB-PER\n\n", encoding="utf-8")
    assert list(read_system(tmp_path / "x.conll")) == list(read_system(tmp_path / "y.conll")) == ["1"]


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "d", "entities": [{"start": 0, "end": 3, "type": "A", "score": "high"}]}',
        "{",
        "[]",
        '{"id": "d"}',
        '{"entities": []}',
        '{"id": "d", "entities": [{"start": 3, "end": 3, "type": "A"}]}',
    ],
)
def test_a_malformed_record_is_refused_with_its_place(tmp_path: Path, line: str):
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1"):
        read_system(path)


def test_a_second_record_is_refused(tmp_path: Path):
    path = jsonl(tmp_path / "x.jsonl", {"id": "d", "entities": []}, {"id": "d", "entities": []})
    with pytest.raises(InputError, match="second record"):
        read_system(path)


def test_bad_arguments_and_missing_files_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plain = jsonl(tmp_path / "plain.jsonl", {"id": "d", "entities": []})
    assert main([str(plain), "--output", str(tmp_path / "o.jsonl")]) == 2
    assert main([f"a={tmp_path / 'absent.jsonl'}", "--output", str(tmp_path / "o.jsonl")]) == 2
    assert "NAME=FILE" in capsys.readouterr().err
