"""``el4ner mask`` from end to end: what is written, what is withheld, what is reported, what can be undone."""

import csv
import json
import stat

import pytest

from el4ner.batch.prediction import Prediction, hash_text
from el4ner.mask.__main__ import main
from el4ner.vote.entities import VotedEntity

LETTER = "Dr Angela Moss met Bo Reed in Exeter. Moss called ANGELA MOSS; reed grew there.\r\n"
CHINESE = "李小明在江岚医院见到王医生。小明说:王国很远。"


def record(id_, text, *surfaces, **fields):
    """A run's record with the first place of each ``(surface, type, score)``."""
    places = [(text.index(surface), len(surface), kind, score) for surface, kind, score in surfaces]
    entities = tuple(VotedEntity(start, start + size, kind, score) for start, size, kind, score in sorted(places))
    return Prediction(id_, fields.pop("status", "ok"), entities, text_hash=hash_text(text), **fields).to_line()


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "in" / "ward").mkdir(parents=True)
    (tmp_path / "in" / "ward" / "letter.txt").write_bytes(LETTER.encode())
    lines = [{"id": "zh", "text": CHINESE, "title": "李小明"}, {"id": 7, "text": "Exeter is far."}]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (tmp_path / "in" / "notes.jsonl").write_text(content, encoding="utf-8")
    records = [
        record("ward/letter", LETTER, ("Angela Moss", "PER", 0.9), ("Bo Reed", "PER", 0.5), ("Exeter", "LOC", None)),
        record("zh", CHINESE, ("李小明", "PER", 1.0), ("江岚医院", "ORG", 1.0), ("王", "PER", 1.0)),
        record("7", "Exeter is far."),
    ]
    (tmp_path / "found.jsonl").write_bytes(b"".join(records))
    return tmp_path


def mask(folder, *more, inputs="in", output="out"):
    arguments = [str(folder / inputs), "--output", str(folder / output), *map(str, more)]
    found = () if "--restore" in more else ("--entities", str(folder / "found.jsonl"))
    return main([*arguments, *found])


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def letter(folder, output="out/masked"):
    return (folder / output / "ward" / "letter.txt").read_bytes().decode()


def test_every_surface_is_replaced_and_nothing_else_changes(corpus):
    assert mask(corpus) == 0
    assert letter(corpus) == ("Dr [PERSON] met [PERSON] in [LOCATION]. [PERSON] called [PERSON]; reed grew there.\r\n")
    assert lines(corpus / "out/masked/masked.jsonl") == [
        {"id": "zh", "text": "[PERSON]在[ORGANISATION]见到[PERSON]医生。[PERSON]说:王国很远。"},
        {"id": "7", "text": "Exeter is far."},
    ]


def test_offsets_map_back(corpus):
    mask(corpus)
    texts = {"ward/letter": LETTER, "zh": CHINESE, "7": "Exeter is far."}
    masked = {line["id"]: line["text"] for line in lines(corpus / "out/masked/masked.jsonl")} | {
        "ward/letter": letter(corpus)
    }
    for line in lines(corpus / "out/private/replacements.jsonl"):
        pieces, at, new_at = [], 0, 0
        for place in line["replacements"]:
            assert masked[line["id"]][place["new_start"] : place["new_end"]].startswith("[")
            pieces += [
                masked[line["id"]][new_at : place["new_start"]],
                texts[line["id"]][place["start"] : place["end"]],
            ]
            at, new_at = place["end"], place["new_end"]
        assert "".join([*pieces, masked[line["id"]][new_at:]]) == texts[line["id"]]
        assert masked[line["id"]][new_at:] == texts[line["id"]][at:]


def test_what_is_doubtful_is_put_before_a_person(corpus, capsys):
    mask(corpus)
    reviewed = [(line["id"], line["why"], line["text"]) for line in lines(corpus / "out/private/review.jsonl")]
    assert reviewed == [
        ("zh", "one character, not sought elsewhere", "王"),
        ("7", "not masked, found in another document", "Exeter"),
        ("ward/letter", "low score", "Bo Reed"),
    ]
    said = capsys.readouterr().err
    assert "No recogniser finds everything" in said and "Exeter" not in said and "Moss" not in said


def test_a_surface_of_one_document_can_be_masked_in_all(corpus):
    mask(corpus, "--everywhere")
    assert lines(corpus / "out/masked/masked.jsonl")[1]["text"] == "[LOCATION] is far."


@pytest.mark.parametrize(
    ("more", "text"), [((), "Moss rang; moss grew."), (("--everywhere",), "[PERSON] rang; moss grew.")]
)
def test_a_part_of_a_name_of_another_document_is_reviewed_or_masked(corpus, more, text):
    said = "Moss rang; moss grew."
    (corpus / "in" / "call.txt").write_text(said, encoding="utf-8")
    with (corpus / "found.jsonl").open("ab") as stream:
        stream.write(record("call", said))
    mask(corpus, *more)
    assert (corpus / "out/masked/call.txt").read_text(encoding="utf-8") == text
    listed = [(line["id"], line["why"]) for line in lines(corpus / "out/private/review.jsonl") if line["id"] == "call"]
    assert listed == ([] if more else [("call", "not masked, found in another document")])


def test_types_tags_and_parts_can_be_chosen(corpus):
    mask(corpus, "--types", "PER", "--tags", "PER=Name", "--name-types")
    assert letter(corpus) == "Dr [Name] met [Name] in Exeter. Moss called [Name]; reed grew there.\r\n"


def test_pseudonyms_are_the_same_under_one_key_and_can_be_undone_with_it(corpus, capsys):
    assert mask(corpus, "--key", corpus / "key.json") == 0
    assert mask(corpus, "--key", corpus / "key.json", output="again") == 0
    assert mask(corpus, "--key", corpus / "other.json", output="other") == 0
    first = letter(corpus)
    assert first == letter(corpus, "again/masked") != letter(corpus, "other/masked")
    words = first.split()
    assert words[1] == words[8].rstrip(";") != words[3]
    assert all(word.startswith("[PERSON-") for word in (words[1], words[3], words[6])) and "Moss" not in first
    key = corpus / "key.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    capsys.readouterr()
    assert mask(corpus, "--restore", "--key", key, inputs="out/masked", output="back") == 0
    assert letter(corpus, "back/restored") == LETTER.replace("ANGELA MOSS", "Angela Moss")
    assert lines(corpus / "back/restored/masked.jsonl")[0]["text"] == CHINESE
    assert "Moss" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("{}", 0o600, "no key file"),
        ('{"key": "00", "surfaces": {}}', 0o600, "no key file"),
        ("{}", 0o644, "others may read"),
    ],
)
def test_a_key_that_is_none_or_was_open_is_refused(corpus, capsys, content, mode, said):
    (corpus / "key.json").write_text(content, encoding="utf-8")
    (corpus / "key.json").chmod(mode)
    assert mask(corpus, "--key", corpus / "key.json") == 2
    assert said in capsys.readouterr().err


def test_a_key_never_lies_beside_the_masked_texts(corpus, capsys):
    assert mask(corpus, "--key", corpus / "out" / "key.json") == 2
    assert "must lie outside" in capsys.readouterr().err
    assert not (corpus / "out").exists()


def test_what_has_no_whole_result_is_withheld(corpus, capsys):
    other, unread = "Another text.", "Half of it was not read."
    content = "".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in [("none", other), ("part", unread)])
    (corpus / "in" / "more.jsonl").write_text(content + "no JSON\n", encoding="utf-8")
    with (corpus / "found.jsonl").open("ab") as stream:
        stream.write(record("part", unread, status="partial", reason="one member", unread=((0, 4),)))
    (corpus / "in" / "ward" / "letter.txt").write_text(LETTER + "changed", encoding="utf-8")
    assert mask(corpus) == 1
    reasons = [line["reason"] for line in lines(corpus / "out/private/withheld.jsonl")]
    assert [words in reason for words, reason in zip(
        ["no record", "not read", "not a JSON object", "has changed"], reasons, strict=True)] == [True] * 4  # fmt: skip
    assert not (corpus / "out/masked/ward").exists()
    assert [line["id"] for line in lines(corpus / "out/masked/masked.jsonl")] == ["zh", "7"]
    assert "withheld: 4" in capsys.readouterr().err


def test_columns_of_a_table_are_masked_and_no_other_leaves(corpus):
    rows = [
        ["id", "note", "name", "more"],
        ["1", "Ada saw\nBo, twice", "Ada", "on Ada"],
        ["2", "cut"],
        ["3", "x", "y", "Bo"],
    ]
    with (corpus / "t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    with (corpus / "found.jsonl").open("ab") as stream:
        stream.write(record("t:1:note", rows[1][1], ("Ada", "PER", 1.0), ("Bo", "PER", 1.0)))
        stream.write(record("t:1:more", rows[1][3]) + record("t:3:note", "x") + record("t:3:more", "Bo"))
    assert mask(corpus, "--columns", "note", "more", "--keep", "id", inputs="t.csv") == 1
    with (corpus / "out/masked/t.csv").open(newline="", encoding="utf-8") as stream:
        written = list(csv.reader(stream))
    assert written == [
        ["note", "more", "id"], ["[PERSON] saw\n[PERSON], twice", "on [PERSON]", "1"], ["x", "Bo", "3"]
    ]  # fmt: skip
    reviewed = [(line["id"], line["why"]) for line in lines(corpus / "out/private/review.jsonl")]
    assert reviewed == [("t:3:more", "not masked, found in another document")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "--columns"),
        (("--columns", "nte"), "no column 'nte'"),
    ],
)
def test_a_table_without_its_columns_is_refused(corpus, capsys, more, said):
    (corpus / "t.csv").write_text("note\nAda\n", encoding="utf-8")
    assert mask(corpus, *more, inputs="t.csv") == 2
    assert said in capsys.readouterr().err


def test_the_audit_counts_what_can_still_be_read(corpus, capsys):
    def labelled(id_, text, *entities):
        places = [(text.index(surface), len(surface), kind) for surface, kind in entities]
        return {"id": id_, "text": text, "entities": [{"start": at, "end": at + n, "type": k} for at, n, k in places]}

    gold = [
        labelled("ward/letter", LETTER, ("Dr Angela Moss", "PER"), ("Bo Reed", "PER")),
        labelled("zh", CHINESE, ("江岚医院", "ORG"), ("王国", "LOC")),
        labelled("7", "Exeter is far.", ("Exeter", "LOC")),
        labelled("gone", "x"),
    ]
    (corpus / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold), encoding="utf-8")
    assert mask(corpus, "--audit", corpus / "gold.jsonl") == 0
    said = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert said[1:6] == [
        ["LOC", "2", "2", "0", "100.0%", "(34.2%", "to", "100.0%)"],
        ["ORG", "1", "0", "0", "0.0%", "(0.0%", "to", "79.3%)"],
        ["PER", "2", "0", "1", "50.0%", "(9.5%", "to", "90.5%)"],
        ["all", "5", "2", "1", "60.0%", "(23.1%", "to", "88.2%)"],
        ["documents", "3", "3", "100.0%", "(43.8%", "to", "100.0%)"],
    ]
    assert [line["text"] for line in lines(corpus / "out/private/leaks.jsonl")] == ["王国", "Exeter", "Dr Angela Moss"]


def test_an_audit_of_other_texts_is_refused(corpus, capsys):
    (corpus / "gold.jsonl").write_text(json.dumps({"id": "7", "text": "Bo", "entities": []}) + "\n", encoding="utf-8")
    assert mask(corpus, "--audit", corpus / "gold.jsonl") == 2
    assert "another text" in capsys.readouterr().err
    assert not (corpus / "out/masked").exists()


def test_everything_is_for_its_owner_alone(corpus):
    mask(corpus, "--key", corpus / "key.json")
    for path in (corpus / "out").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_earlier_output_is_not_overwritten(corpus, capsys):
    mask(corpus)
    assert mask(corpus) == 2
    assert "is there already" in capsys.readouterr().err
