"""Reading prediction files side by side, and the command."""

import json
import re
from pathlib import Path

import pytest

from el4ner.combine.__main__ import main
from el4ner.combine.systems import read_system
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


def combined(tmp_path: Path, *arguments: object) -> list[dict[str, object]]:
    output = tmp_path / "out.jsonl"
    assert main([*map(str, arguments), "--output", str(output)]) == 0
    return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_a_failure_needs_no_entities_and_an_empty_type_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = jsonl(
        tmp_path / "x.jsonl",
        {"id": "d", "status": "failed"},
        {"id": "e", "entities": [ENTITY, {"start": 4, "end": 7, "type": ""}]},
    )
    assert read_system(path) == {"d": None, "e": {Entity(0, 3, "PER"): None}}
    assert "1 entities with an empty type are left out" in caplog.text


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((95, 60), (0.95, 0.6)), ((0.5, 1.0), (0.5, 1.0)), ((100.0, 0), (1.0, 0.0))],
)
def test_scores_in_percent_are_probabilities(tmp_path: Path, scores: tuple[float, ...], expected: tuple[float, ...]):
    records = [{"id": str(n), "entities": [ENTITY | {"score": score}]} for n, score in enumerate(scores)]
    found = read_system(jsonl(tmp_path / "x.jsonl", *records))
    assert [score for entities in found.values() for score in (entities or {}).values()] == list(expected)


def test_one_system_alone_comes_out_as_it_is(tmp_path: Path):
    entities = [ENTITY | {"score": 0.02}, {"start": 0, "end": 9, "type": "LOC"}]
    (record,) = combined(tmp_path, f"a={jsonl(tmp_path / 'a.jsonl', {'id': 'docs:1', 'entities': entities})}")
    assert record["id"] == "docs:1"
    assert [(e["start"], e["end"], e["type"], e["score"]) for e in record["entities"]] == [
        (0, 3, "PER", 0.02),
        (0, 9, "LOC", None),
    ]


def test_an_exact_copy_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one, two = (
        jsonl(tmp_path / f"{name}.jsonl", {"id": "d", "entities": [ENTITY]}, {"id": "e", "entities": []})
        for name in "ab"
    )
    other = jsonl(tmp_path / "c.jsonl", {"id": "d", "entities": []}, {"id": "e", "entities": []})
    found = combined(tmp_path, f"a={one}", f"b={two}", f"c={other}", "--rule", "plurality")
    assert "b is a copy of a and is left out" in capsys.readouterr().err
    assert found == combined(tmp_path, f"a={one}", f"c={other}", "--rule", "plurality")


def test_a_copy_in_another_order_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = {"start": 13, "end": 17, "type": "LOC", "score": 0.5}
    one = jsonl(tmp_path / "a.jsonl", {"id": "d", "entities": [ENTITY, place]}, {"id": "e", "entities": []})
    two = jsonl(tmp_path / "b.jsonl", {"entities": [], "id": "e"}, {"entities": [place, ENTITY], "id": "d"})
    other = jsonl(tmp_path / "c.jsonl", {"id": "d", "entities": []}, {"id": "e", "entities": []})
    unsure = jsonl(
        tmp_path / "u.jsonl", {"id": "d", "entities": [ENTITY, place | {"score": 0.4}]}, {"id": "e", "entities": []}
    )
    found = combined(tmp_path, f"a={one}", f"b={two}", f"c={other}", "--rule", "plurality")
    assert "b is a copy of a and is left out" in capsys.readouterr().err
    assert found == combined(tmp_path, f"a={one}", f"c={other}", "--rule", "plurality")
    combined(tmp_path, f"a={one}", f"u={unsure}")
    assert "copy" not in capsys.readouterr().err


def test_ids_that_a_run_wrote_meet_those_of_its_input_and_of_columns(tmp_path: Path):
    text = "Ada\tB-PER\nslept\tO\n\nOslo\tB-LOC\n\n"
    for name in ("docs", "tagger"):
        (tmp_path / f"{name}.conll").write_text(text, encoding="utf-8")
    run = jsonl(tmp_path / "run.jsonl", *({"id": f"docs:{n}", "entities": []} for n in (1, 2)))
    columns = tmp_path / "tagger.conll"
    for systems in ([f"a={run}"], [f"a={run}", f"c={columns}"], [f"c={columns}", f"a={run}"]):
        for more in ([], ["--documents", tmp_path / "docs.conll"], ["--gold", tmp_path / "docs.conll"]):
            found = combined(tmp_path, *systems, *more)
            assert [record["status"] for record in found] == ["ok", "ok"]
            assert [str(record["id"]).removeprefix("docs:") for record in found] == ["1", "2"]


def test_systems_without_a_common_document_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one = jsonl(tmp_path / "a.jsonl", {"id": "letters:1", "entities": [ENTITY]})
    two = jsonl(tmp_path / "b.jsonl", {"id": "docs:1", "entities": [ENTITY]})
    assert main([f"a={one}", f"b={two}", "--output", str(tmp_path / "o.jsonl")]) == 2
    assert "no document in common" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entity", "message"),
    [
        ({"start": 40, "end": 43, "type": "PER"}, "line 1, entity 1: .* does not lie in the text of 10 characters"),
        ({"start": 1, "end": 4, "type": "PER", "text": "Ada"}, "line 1, entity 1: .* is not the stated surface"),
    ],
)
def test_offsets_that_do_not_fit_the_texts_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], entity: dict[str, object], message: str
):
    texts = jsonl(tmp_path / "texts.jsonl", {"id": "d", "text": "Ada slept."})
    one = jsonl(tmp_path / "a.jsonl", {"id": "d", "entities": [entity]})
    two = jsonl(tmp_path / "b.jsonl", {"id": "d", "entities": []})
    gold = jsonl(tmp_path / "gold.jsonl", {"id": "d", "text": "Ada slept.", "entities": []})
    for where in (["--documents", str(texts)], ["--gold", str(gold)]):
        assert main([f"a={one}", f"b={two}", *where, "--output", str(tmp_path / "o.jsonl")]) == 2
        assert re.search(message, capsys.readouterr().err)


def test_a_surface_of_another_length_is_refused_without_the_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Bytes or UTF-16 units instead of code points."""
    one = jsonl(tmp_path / "a.jsonl", {"id": "d", "entities": [{"start": 0, "end": 5, "type": "PER", "text": "Łódź"}]})
    assert main([f"a={one}", "--output", str(tmp_path / "o.jsonl")]) == 2
    assert "line 1: the stated surface of [0, 5) is 4 characters long" in capsys.readouterr().err
