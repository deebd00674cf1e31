"""The vote of a pipeline: by rule, or by a combiner that was learned from an earlier run's candidates."""

import json
from pathlib import Path

import pytest
from scripted_members import LABELS, config_of, find, found, member, pipeline_of, probable, window

from el4ner.batch.merge import MergeRules, merge
from el4ner.batch.prediction import parse_line
from el4ner.combine.__main__ import main
from el4ner.combine.combiner import load_combiner
from el4ner.errors import ConfigError, InputError
from el4ner.text.documents import Document
from el4ner.text.spans import Span

TEXT = "Ada wrote from London."
NAMES = ("good", "liar", "echo")


def candidate(span: tuple[int, int], good: str | None, liar: str | None, chance: float) -> dict[str, object]:
    probabilities = {"good": {"PER": chance}} if good in ("PER", None) else {}
    votes = {"good": good, "liar": liar, "echo": liar}
    return {"start": span[0], "end": span[1], "votes": votes, "probabilities": probabilities}


def run_file(folder: Path) -> tuple[Path, Path]:
    """Sixty records of a run and their gold: what ``good`` finds is right, what ``liar`` and its ``echo`` find is not."""
    records, gold = [], []
    for number in range(60):
        candidates = [
            candidate((0, 3), "PER", "LOC" if number % 3 else "PER", 0.9),
            candidate((5, 8), None, "LOC", 0.2),
        ]
        records.append({"id": str(number), "status": "ok", "entities": [], "members_answered": [*NAMES]})
        records[-1]["candidates"] = candidates
        gold.append({"id": str(number), "text": "Ada, Bob.", "entities": [{"start": 0, "end": 3, "type": "PER"}]})
    paths = folder / "predictions.jsonl", folder / "gold.jsonl"
    for path, rows in zip(paths, (records, gold), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


@pytest.fixture
def combiner(tmp_path: Path) -> Path:
    """A combiner learned from that run."""
    run, gold = run_file(tmp_path)
    path = tmp_path / "combiner.json"
    options = ["--documents", str(gold), "--gold", str(gold), "--fit", str(path), "--output", str(tmp_path / "o.jsonl")]
    assert main([str(run), *options]) == 0
    return path


def voters(names: tuple[str, ...] = NAMES) -> list[object]:
    types = {"good": {"Ada": "PER"}, "liar": {"Ada": "LOC", "London": "LOC"}, "echo": {"Ada": "LOC", "London": "LOC"}}
    return [member(name, ["Ada", "London"], types[name]) for name in names]


def test_a_combiner_learned_from_a_run_overrules_the_count_and_gives_scores(combiner: Path):
    plain = find(pipeline_of(voters()), TEXT)
    assert found(plain, TEXT) == [("Ada", "LOC"), ("London", "LOC")]
    assert [entity.score for entity in plain.entities] == [0.6667, 0.6667]
    pipeline = pipeline_of(voters(), None, {"classify": {"rule": "combiner", "combiner": str(combiner)}})
    learned = find(pipeline, TEXT)
    assert found(learned, TEXT) == [("Ada", "PER")]
    assert 0.7 < learned.entities[0].score <= 1
    assert (plain.score_kind, learned.score_kind) == ("votes", "calibrated")
    assert learned.entities[0].votes == {"good": "PER", "liar": "LOC", "echo": "LOC"}
    assert len(pipeline.provenance()["combiner"]) == 64


def test_the_order_of_the_members_does_not_matter_to_a_combiner(combiner: Path):
    settings = {"classify": {"rule": "combiner", "combiner": str(combiner)}}
    one, two = (find(pipeline_of(v, None, settings), TEXT).entities for v in (voters(), voters(NAMES[::-1])))
    assert [(e.type, e.score) for e in one] == [(e.type, e.score) for e in two]


def test_a_combiner_of_other_members_or_types_is_refused(combiner: Path):
    settings = {"classify": {"rule": "combiner", "combiner": str(combiner)}}
    with pytest.raises(ConfigError, match="learned for the members good, liar, echo"):
        pipeline_of(voters(NAMES[:2]), None, settings)
    labels = [label for label in LABELS if label["name"] != "LOC"]
    with pytest.raises(ConfigError, match="types that labels lacks: LOC"):
        pipeline_of(voters(), None, settings | {"labels": labels})


def test_a_combiner_without_labels_decides_but_its_estimates_are_no_scores(tmp_path: Path):
    run, _ = run_file(tmp_path)
    path = tmp_path / "c.json"
    assert main([str(run), "--fit", str(path), "--output", str(tmp_path / "o.jsonl")]) == 0
    assert load_combiner(path).documents == 0
    result = find(pipeline_of(voters(), None, {"classify": {"rule": "combiner", "combiner": str(path)}}), TEXT)
    assert result.entities
    assert all(entity.score == 0.6667 for entity in result.entities) and result.score_kind == "votes"


def test_a_run_without_candidates_is_no_source_of_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "d", "status": "ok", "entities": [], "members_answered": []}\n', encoding="utf-8")
    assert main([str(path), "--output", str(tmp_path / "o.jsonl")]) == 2
    assert "batch.candidates" in capsys.readouterr().err


def test_records_hold_all_candidates_where_asked_for():
    soft = member("a", ["Ada", "London"], {}, classify=lambda request: probable(person=0.6, none=0.4))
    config = {"batch": {"candidates": True}}
    pipeline = pipeline_of([soft, member("b", [], {})], None, config)
    result = find(pipeline, TEXT)
    rules = MergeRules.of(config_of(["a", "b"], config), with_text=False)
    prediction = merge(Document("d", TEXT), [(window(TEXT), result)], rules).prediction
    assert [c.span for c in prediction.candidates] == [Span(0, 3), Span(15, 21)]
    line = prediction.to_line()
    assert parse_line(line, "here").candidates[0].votes["a"].probabilities["PER"] == pytest.approx(0.6, abs=1e-3)
    assert "Ada" not in line.decode()
    assert find(pipeline_of([soft]), TEXT).candidates == ()


def test_a_file_that_is_no_combiner_is_refused_when_the_pipeline_is_built(tmp_path: Path):
    (tmp_path / "c.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="combiner"):
        pipeline_of(voters(), None, {"classify": {"rule": "combiner", "combiner": str(tmp_path / "c.json")}})
