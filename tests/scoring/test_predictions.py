import json

import pytest

from el4ner.errors import InputError
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.documents import Document
from el4ner.text.spans import Entity

SECRET = "Zanzibarova"
GOLD = [
    Document("a", f"Dr {SECRET} left Oslo.", (Entity(3, 14, "PER"),)),
    Document("b", "李雷在北京🙂工作。", (Entity(0, 2, "PER"), Entity(3, 5, "LOC"))),
    Document("7", "Nothing here.", ()),
]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def entity(start, end, kind="PER", **more):
    return {"start": start, "end": end, "type": kind, **more}


def test_records_meet_gold_by_id(tmp_path):
    records = [
        {"id": 7, "status": "partial", "entities": [entity(0, 7), entity(0, 7, score=0.5)]},
        {"id": "b", "status": "ok", "entities": [entity(3, 5, "LOC", text="北京")]},
    ]
    read = read_predictions(write(tmp_path / "p.jsonl", records), GOLD)
    assert read.entities == (frozenset(), {Entity(3, 5, "LOC")}, {Entity(0, 7, "PER")})
    assert (read.missing, read.failed, read.partial, read.repeated) == (("a",), (), ("7",), 1)


def test_failed_records_hold_nothing(tmp_path):
    records = [{"id": "a", "status": "failed", "entities": [entity(3, 14)], "reason": "quorum"}]
    read = read_predictions(write(tmp_path / "p.jsonl", records), GOLD)
    assert read.entities[0] == frozenset()
    assert (read.failed, read.repeated) == (("a",), 0)


BAD = {
    "unknown id": ([{"id": "A1", "entities": []}, {"id": "c", "entities": []}], "2 record"),
    "twice": ([{"id": "a", "entities": []}, {"id": "a", "entities": []}], "line 2: a second record .* line 1"),
    "outside": ([{"id": "a", "entities": [entity(3, 99)]}], "does not lie"),
    "empty span": ([{"id": "a", "entities": [entity(3, 3)]}], "does not lie"),
    "UTF-16 offsets": ([{"id": "b", "entities": [entity(7, 9, text="工作")]}], "code points"),
    "float offset": ([{"id": "a", "entities": [entity(3.0, 14)]}], "whole numbers"),
    "true as offset": ([{"id": "a", "entities": [entity(True, 14)]}], "whole numbers"),
    "no type": ([{"id": "a", "entities": [{"start": 3, "end": 14}]}], "type"),
    "entity is a list": ([{"id": "a", "entities": [[3, 14, "PER"]]}], "entity 1"),
    "no entities": ([{"id": "a"}], "entities"),
    "no id": ([{"entities": []}], '"id"'),
    "status": ([{"id": "a", "status": SECRET, "entities": []}], "status"),
    "other text": ([{"id": "a", "text": f"Mr {SECRET} left.", "entities": []}], "not gold's text"),
    "other surface": ([{"id": "a", "entities": [entity(0, 2, text=SECRET)]}], "surface"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_refused_without_their_text(case, tmp_path):
    records, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(write(tmp_path / "p.jsonl", records), GOLD)
    assert SECRET not in str(caught.value)
    assert "p.jsonl" in str(caught.value)


def test_a_torn_line_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "entities": []}\n{"id": "b", "enti', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: not JSON.*cut off"):
        read_predictions(path, GOLD)


def test_missing_files_and_unknown_suffixes(tmp_path):
    with pytest.raises(InputError, match="cannot read predictions"):
        read_predictions(tmp_path / "none.jsonl", GOLD)
    with pytest.raises(
        InputError, match=r"unknown suffix; rename the file to one of \.bio, \.bmes, \.conll, \.iob2, \.jsonl"
    ):
        read_predictions(tmp_path / "p.csv", GOLD)


COLUMNS = (
    "Dr O\nZanzibarova B-PER\nleft O\nOslo B-LOC\n. O\n\n"
    "李 B-PER\n雷 I-PER\n在 O\n北 B-LOC\n京 I-LOC\n🙂 O\n工作 O\n。 O\n\n"
)


def test_columns_meet_gold_by_order_whatever_the_white_space(tmp_path):
    path = tmp_path / "p.conll"
    path.write_text(COLUMNS + "Nothing O\nhere. O\n", encoding="utf-8")
    read = read_predictions(path, GOLD)
    assert read.entities[0] == {Entity(3, 14, "PER"), Entity(20, 24, "LOC")}
    assert read.entities[1] == {Entity(0, 2, "PER"), Entity(3, 5, "LOC")}
    assert all(GOLD[0].text[e.start : e.end] in (SECRET, "Oslo") for e in read.entities[0])


def test_columns_meet_gold_by_named_ids(tmp_path):
    path = tmp_path / "p.conll"
    path.write_text("# id = 7\nNothing B-PER\nhere. O\n", encoding="utf-8")
    read = read_predictions(path, GOLD)
    assert read.entities[2] == {Entity(0, 7, "PER")}
    assert read.missing == ("a", "b")


def test_columns_of_other_sentences_are_refused(tmp_path):
    path = tmp_path / "p.conll"
    path.write_text(COLUMNS, encoding="utf-8")
    with pytest.raises(InputError, match="2 sentences, gold 3 documents"):
        read_predictions(path, GOLD)
    path.write_text(COLUMNS + "Something O\nelse O\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"p\.conll: sentence '.*' is not gold's document '7'") as caught:
        read_predictions(path, GOLD)
    assert SECRET not in str(caught.value)


def test_empty_gold_is_refused(tmp_path):
    (tmp_path / "gold.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="no document"):
        read_gold(tmp_path / "gold.jsonl")
