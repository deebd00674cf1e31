"""Rows, claims and tables say what they claim to say."""

import json
import shutil

import numpy as np
import pytest
from ablation.claims import SURE_BELOW, Pair, best_member, examine
from ablation.derived import cross, learned, union
from ablation.report import report_lines
from ablation.results import Result, SetResults, read_results

from el4ner.scoring.predictions import read_gold
from el4ner.text.spans import Entity

from .conftest import output_of
from .fakes import ROOT, run


def result(right, n=40):
    """A row that is right in the first ``right`` of n sentences with one entity each."""
    found = (np.arange(n) < right).astype(int)
    return Result(tuple(map(str, range(n))), np.stack([found, 0 * found, 1 - found], axis=1), 0, 0, n, 10 * n, n, 1.0)


def of_set(rows, ensembles=None, name="dev"):
    members = tuple(dict.fromkeys(row.split("/")[0] for row in rows if not row.startswith("ensemble")))
    ensembles = {"ensemble": members} if ensembles is None else ensembles
    return SetResults(name, 40, members, ensembles, frozenset(rows), dict(rows), {}, 0)


@pytest.mark.parametrize(("better", "worse", "verdict"), [(35, 10, "holds"), (10, 35, "refuted"), (20, 20, "open")])
def test_a_claim_holds_is_refuted_or_stays_open(better, worse, verdict):
    tested = examine("m", "a", "b", {"x": Pair(result(better).counts, result(worse).counts)}, 200)
    assert tested.verdict == verdict
    assert (tested.p_value < SURE_BELOW) == (verdict != "open")
    assert np.sign(tested.difference) == np.sign(better - worse)


def test_over_several_sets_the_difference_is_the_mean_and_sets_are_drawn_by_themselves():
    up, down = Pair(result(30).counts, result(10).counts), Pair(result(10).counts, result(30).counts)
    tested = examine("m", "a", "b", {"x": up, "y": down}, 400)
    assert tested.difference == pytest.approx(0) and tested.verdict == "open"
    assert tested.differences["x"] == pytest.approx(-tested.differences["y"])
    twice = examine("m", "a", "b", {"x": up, "y": up}, 400)
    assert twice.difference == pytest.approx(tested.differences["x"])
    assert examine("m", "a", "b", {}, 400) is None


def test_the_best_member_is_chosen_on_the_other_half():
    even, odd = (np.arange(40) % 2 == half for half in (0, 1))
    base = result(0)

    def right_where(chosen):
        found = chosen.astype(int)
        return Result(base.ids, np.stack([found, 0 * found, 1 - found], axis=1), 0, 0, 0, 0, 0, 0.0)

    rows = {"a/span-5": right_where(even), "b/span-5": right_where(odd), "ensemble/span-5": result(20)}
    best = best_member(of_set(rows), "ensemble")
    assert best.names == ("a", "b")
    assert best.counts[:, 0].sum() == 0  # who shines on one half is compared on the other, where it finds nothing
    del rows["b/span-5"]
    assert best_member(of_set(rows, {"ensemble": ("a", "b")}), "ensemble") is None


def test_what_is_learned_does_not_know_the_labels_it_is_scored_on(finished):
    output = output_of(finished) / "pairs"
    path = output / "ensemble" / "span-5" / "predictions.jsonl"
    gold = read_gold(output / "gold.jsonl")
    (tested, _), _ = cross(gold)
    hidden = {document.id for document in tested}
    assert hidden and hidden < {document.id for document in gold}
    lied = [
        type(d)(d.id, d.text, tuple(Entity(e.start, e.end, "LOC") for e in d.entities)) if d.id in hidden else d
        for d in gold
    ]
    honest, other = learned(path, gold), learned(path, lied)
    assert {i: honest[i] for i in hidden} == {i: other[i] for i in hidden}


def test_the_union_has_what_any_member_found_and_typed(finished):
    output = output_of(finished) / "pairs"
    path = output / "ensemble" / "span-5" / "predictions.jsonl"
    found = union(path, read_gold(output / "gold.jsonl"))
    for line in path.read_text().splitlines():
        record = json.loads(line)
        own = {(c["start"], c["end"]) for c in record["candidates"] if any(c["votes"].get(name) for name in c["found"])}
        assert {(e.start, e.end) for e in found[record["id"]]} == own


def test_tables_are_80_columns_wide_and_have_a_line_for_each_row(finished):
    results = read_results(output_of(finished))
    lines = report_lines(results, 50)
    assert max(map(len, lines)) <= 80
    table = {line[0:4] for line in lines if line.startswith("(")}
    assert table == {"(a) ", "(b) ", "(c) ", "(d) "}
    for label in ("zero-shot", "span, k=8", "random, k=5", "json", "union", "two-stage", "verify-all", "learned"):
        assert any(line.startswith(f" {label}") for line in lines), label
    assert "ensemble+slow (8 sentences)" in lines and "able (16 sentences)" in lines
    assert any(line.startswith("Best members: ") for line in lines)
    assert any(
        line.split()[0] in ("holds", "open", "refuted") and "above best member" in line for line in lines if line
    )


def test_partial_and_failed_sentences_are_counted_by_format(finished):
    (pairs, _) = read_results(output_of(finished))
    row = pairs.rows["able/span-5"]
    damaged = {**pairs.rows, "able/span-5": Result(row.ids, row.counts, 3, 2, 1, 1, 1, 1.0)}
    changed = SetResults("pairs", 16, pairs.members, pairs.ensembles, pairs.planned, damaged, {}, 0)
    lines = report_lines([changed], 50)
    assert any(line.startswith(" inline") and line.endswith(" 3/2") for line in lines)


def test_more_sets_than_fit_stand_below_each_other():
    names = [f"set{number}" for number in range(7)]
    rows = {f"{who}/{what}": result(20) for who in ("a", "b", "ensemble") for what in ("span-5", "random-5")}
    lines = report_lines([of_set(rows, name=name) for name in names], 20)
    assert max(map(len, lines)) <= 80
    heads = [line.split() for line in lines if line.split()[:1] in (["set0"], ["set5"])]
    assert [names[:5], names[5:]] == heads[:2]


def test_all_numbers_come_as_json(finished, capsys):
    capsys.readouterr()
    assert run(["--report", "--json", "--output", str(output_of(finished)), "--samples", "50"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data["sets"]) == {"pairs", "alone"} and data["sets"]["pairs"]["able/zero"]["sentences"] == 16
    assert {claim["verdict"] for claim in data["claims"]} <= {"holds", "refuted", "open"}
    assert data["unfinished"]["pairs"] == {"begun": {}, "not_begun": 0}


def test_combine_reads_what_is_kept(finished, tmp_path):
    from el4ner.combine.__main__ import main

    output = output_of(finished) / "pairs"
    shutil.copy(output / "gold.jsonl", tmp_path / "gold.jsonl")
    run_file = str(output / "ensemble" / "span-5" / "predictions.jsonl")
    texts = ["--documents", str(tmp_path / "gold.jsonl")]
    assert main([run_file, *texts, "--output", str(tmp_path / "all.jsonl")]) == 0
    alone = [f"{name}={output / name / 'span-5' / 'predictions.jsonl'}" for name in ("able", "fair")]
    assert main([*alone, *texts, "--output", str(tmp_path / "both.jsonl")]) == 0
    assert (tmp_path / "all.jsonl").read_text() and ROOT.is_dir()
