"""The learned combiner, calibration, advice, and the command with labels."""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.combine.__main__ import main
from el4ner.combine.advice import smallest_set
from el4ner.combine.calibration import calibration_error, risk_coverage
from el4ner.combine.combiner import _FORMER_NAMES, load_combiner
from el4ner.combine.corpus import estimate
from el4ner.combine.decision import decide
from el4ner.combine.job import Result
from el4ner.combine.learning import Labels, learn
from el4ner.combine.platt import fit_platt
from el4ner.combine.plots import plot
from el4ner.errors import InputError
from el4ner.text.spans import Entity
from el4ner.vote.table import VoteTable, tabulate


def liars(n_documents: int = 80) -> tuple[VoteTable, list[set[Entity]]]:
    """Two members that agree on mistakes, and one that is right: only labels can tell."""
    rng = random.Random(3)
    rows, gold = [], []
    for _ in range(n_documents):
        real = {Entity(10 * i, 10 * i + 5, "A") for i in range(3)}
        lure = {Entity(10 * i, 10 * i + 5, "B") for i in range(5, 8)}
        hits = [frozenset(e for e in s if rng.random() < 0.8) for s in (real, real, lure)]
        kin = [frozenset(e for e in lure if rng.random() < 0.8) for _ in range(2)]
        rows.append({"good": hits[0], "x": hits[1] | kin[0] | hits[2], "y": kin[1] | hits[2]})
        gold.append(real)
    return tabulate(rows, ["good", "x", "y"]), gold


def labels_of(table: VoteTable, gold: list[set[Entity]], first: int) -> Labels:
    known = np.arange(table.n_documents) < first
    return Labels(known, table.contains(gold), sum(map(len, gold[:first])))


def f1(table: VoteTable, probabilities: np.ndarray, gold: list[set[Entity]], first: int) -> float:
    rows = np.flatnonzero(table.document >= first)
    kept = rows[decide(table.take(rows), probabilities[rows]).kept]
    right = table.contains(gold)[kept].sum()
    return float(2 * right / (len(kept) + sum(map(len, gold[first:]))))


def test_twenty_labelled_documents_unmask_members_that_err_together():
    table, gold = liars()
    start = estimate(table)
    learned = learn(table, start, labels_of(table, gold, 20))
    better = f1(table, learned.combiner.probabilities(table, start), gold, 20)
    assert better > f1(table, start.probabilities, gold, 20) + 0.05
    assert better > 0.85


def test_held_out_probabilities_are_calibrated_and_come_from_other_documents():
    table, gold = liars(200)
    labels = labels_of(table, gold, 200)
    learned = learn(table, estimate(table), labels)
    assert calibration_error(learned.held_out, labels.right[learned.rows]) <= 0.05


def test_a_saved_combiner_says_the_same(tmp_path: Path):
    table, gold = liars()
    start = estimate(table)
    combiner = learn(table, start, labels_of(table, gold, 30)).combiner
    combiner.save(tmp_path / "c.json")
    loaded = load_combiner(tmp_path / "c.json")
    assert loaded.probabilities(table, loaded.estimate(table)) == pytest.approx(combiner.probabilities(table, start))
    with pytest.raises(InputError, match="same names"):
        loaded.estimate(tabulate([], ["good"]))


def test_a_combiner_of_format_2_is_still_read(tmp_path: Path):
    table, gold = liars()
    start = estimate(table)
    combiner = learn(table, start, labels_of(table, gold, 30)).combiner
    combiner.save(tmp_path / "c.json")
    text = (tmp_path / "c.json").read_text(encoding="utf-8").replace('"format": 3', '"format": 2')
    for former, present in _FORMER_NAMES.items():
        assert f'"{present}"' in text
        text = text.replace(f'"{present}"', f'"{former}"')
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    loaded = load_combiner(tmp_path / "c.json")
    assert loaded.probabilities(table, loaded.estimate(table)) == pytest.approx(combiner.probabilities(table, start))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 3}', '{"format": 2}', '{"format": 1, "model": 3}'])
def test_what_is_no_combiner_is_refused(tmp_path: Path, content: str):
    (tmp_path / "c.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="combiner"):
        load_combiner(tmp_path / "c.json")


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_a_platt_scaling_keeps_the_order_and_gives_probabilities(pairs: list[tuple[float, bool]]):
    probabilities, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    fitted = fit_platt(probabilities, right)(probabilities)
    assert ((fitted >= 0) & (fitted <= 1)).all()
    assert (np.diff(fitted[np.argsort(probabilities, kind="stable")]) >= -1e-12).all()


def test_a_platt_scaling_corrects_overconfidence():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.05, 0.95, 4000)
    stated = 1 / (1 + (1 / true - 1) ** 3)
    right = rng.random(4000) < true
    assert calibration_error(stated, right) > 0.1
    assert calibration_error(fit_platt(stated, right)(stated), right) < 0.03


def test_risk_is_the_share_wrong_among_the_surest():
    coverage, risk = risk_coverage(np.array([0.2, 0.9, 0.5]), np.array([False, True, False]))
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert risk.tolist() == pytest.approx([0, 1 / 2, 2 / 3])


def test_advice_leaves_out_a_member_that_only_repeats_another():
    rng = random.Random(1)
    rows = []
    for _ in range(60):
        real = {Entity(10 * i, 10 * i + 5, "A") for i in range(4)}
        noise = [{Entity(s, s + 5, "A") for s in rng.sample(range(100, 900, 10), 2)} for _ in range(3)]
        one, two, three = (frozenset(e for e in real if rng.random() < 0.75) | n for n in noise)
        rows.append({"one": one, "twin": one, "two": two, "three": three})
    table = tabulate(rows, ["one", "twin", "two", "three"])
    gold = [{Entity(10 * i, 10 * i + 5, "A") for i in range(4)}] * 60
    kept = set(smallest_set(table, np.ones(len(table)), labels_of(table, gold, 60)))
    assert {2, 3} <= kept
    assert len(kept & {0, 1}) == 1


def test_the_command_learns_reuses_reviews_and_advises(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, gold = liars(40)
    systems = []
    for member, name in enumerate(table.members):
        records = [{"id": f"d{n}", "entities": []} for n in range(40)]
        for row in np.flatnonzero(table.votes[:, member]):
            entity = table.entity(int(row))
            records[table.document[row]]["entities"].append(
                dict(zip(("start", "end", "type"), astuple(entity), strict=True))
            )
        systems.append(f"{name}={_jsonl(tmp_path / f'{name}.jsonl', records)}")
    known = [
        {
            "id": f"d{n}",
            "text": "x" * 100,
            "entities": [dict(zip(("start", "end", "type"), astuple(e), strict=True)) for e in gold[n]],
        }
        for n in range(30)
    ]
    labelled, model, output = _jsonl(tmp_path / "gold.jsonl", known), tmp_path / "m.json", tmp_path / "o.jsonl"
    fit = [*systems, "--gold", str(labelled), "--fit", str(model), "--abstain", "0.9", "--advise"]
    assert main([*fit, "--output", str(output)]) == 0
    said = capsys.readouterr().err
    assert "expected calibration error" in said
    assert "smallest set" in said
    records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert {r["score_kind"] for r in records} == {"calibrated"}
    assert all(0.9 <= e["score"] <= 1 for r in records for e in r["entities"])
    assert (tmp_path / "o.review.jsonl").exists()
    assert main([*systems, "--combiner", str(model), "--output", str(output)]) == 0
    assert main([*systems, "--combiner", str(model), "--rule", "union", "--output", str(output)]) == 2
    assert main([*systems, "--plots", str(tmp_path / "p"), "--output", str(output)]) == 2
    assert "--gold FILE" in capsys.readouterr().err


def result_of(liars_known: int) -> Result:
    """What came of a job over the liars, some of whose documents are labelled."""
    table, gold = liars(40)
    probabilities = estimate(table).probabilities
    return Result(table, probabilities, decide(table, probabilities).kept, labels_of(table, gold, liars_known), ())


def test_plots_are_pictures(tmp_path: Path):
    pytest.importorskip("matplotlib")
    paths = plot(tmp_path / "plots", result_of(30))
    assert [path.name for path in paths] == ["reliability.png", "risk-coverage.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_plots_without_matplotlib_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="-m pip install matplotlib"):
        plot(tmp_path, result_of(30))


def test_few_labels_are_not_let_to_decide_alone():
    table, gold = liars()
    start = estimate(table)
    few = learn(table, start, labels_of(table, gold, 5)).combiner
    many = replace(few, documents=500)
    learned = few.probabilities(table, start)
    assert np.abs(few.shrink(start, learned) - start.probabilities).mean() < 0.03
    assert np.abs(many.shrink(start, learned) - learned).mean() < 0.01


def test_each_head_serves_its_kind_of_call():
    table, gold = liars(40)
    texts = [f"word{number % 7} " * 20 for number in range(40)]
    start = estimate(table, texts)
    combiner = learn(table, start, labels_of(table, gold, 30), texts).combiner
    assert combiner.corpus is not None
    per_document = combiner.estimate(table)
    assert per_document.corpus_model is None
    assert len(combiner.probabilities(table, per_document, texts)) == len(table)
    with pytest.raises(InputError, match="--documents PATH"):
        combiner.probabilities(table, per_document)
    assert combiner.estimate(table, texts).corpus_model is not None
    assert combiner.per_document.thresholds.keys() == {"f1", "precision", "recall"}
    assert (
        combiner.per_document.thresholds["recall"]
        < combiner.per_document.thresholds["f1"]
        < combiner.per_document.thresholds["precision"]
    )


def astuple(entity: Entity) -> tuple[int, int, str]:
    return entity.start, entity.end, entity.type


def _jsonl(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
