import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from el4ner.errors import ConfigError, InputError
from el4ner.evaluate import TypeSelection, as_dict, main, score_files

TEXT = "Ada Quill met Bo Rand in Vexport."
ADA, BO, VEXPORT = (0, 9, "PER"), (14, 21, "PER"), (25, 32, "LOC")


def write(path, records):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def rows(*entities):
    return [{"start": start, "end": end, "type": kind} for start, end, kind in entities]


@pytest.fixture
def gold(tmp_path):
    documents = [{"id": f"d{n}", "text": TEXT, "entities": rows(ADA, BO, VEXPORT)} for n in range(8)]
    return write(tmp_path / "gold.jsonl", [*documents, {"id": "none", "text": "Nobody came.", "entities": []}])


@pytest.fixture
def good(tmp_path):
    found = rows(ADA, BO, VEXPORT)
    records = [{"id": f"d{n}", "status": "ok", "entities": found} for n in range(8)]
    invented = {"id": "none", "status": "ok", "entities": rows((0, 6, "PERSON"))}
    return write(tmp_path / "good.jsonl", [*records, invented])


@pytest.fixture
def poor(tmp_path):
    found = rows((0, 3, "PER"), (25, 32, "ORG"))
    records = [{"id": f"d{n}", "status": "ok", "entities": found} for n in range(6)]
    return write(tmp_path / "poor.jsonl", [*records, {"id": "d6", "status": "failed", "entities": []}])


def test_scores_by_hand(gold, good, poor):
    report = score_files([gold], [good, poor], samples=200)
    result = as_dict(report)
    first, second = result["systems"]
    assert (first["micro"]["tp"], first["micro"]["fp"], first["micro"]["fn"]) == (24, 1, 0)
    assert first["micro"]["f1"] == pytest.approx(48 / 49)
    assert first["macro"]["f1"] == pytest.approx(2 / 3)
    assert second["micro"]["tp"] == 0
    assert second["outcomes"] == {
        "correct": 0,
        "type": 6,
        "boundary": 6,
        "boundary+type": 0,
        "missed": 12,
        "spurious": 0,
    }
    assert second["stages"]["span_only"]["tp"] == 6
    assert second["stages"]["type_accuracy"] == 0
    assert second["documents"] == {"missing": ("d7", "none"), "failed": ("d6",), "partial": ()}
    assert second["confusions"] == [{"gold": "LOC", "predicted": "ORG", "count": 6}]
    assert result["gold"]["documents_without_entities"] == 1
    (comparison,) = result["comparisons"]
    assert comparison["f1_difference"]["estimate"] == pytest.approx(48 / 49)
    assert comparison["p_randomisation"] < 0.05


def test_scores_are_compared_with_what_is_right(gold, tmp_path, capsys):
    stated = [0.95, 0.9, 0.3]
    right = [{**row, "score": score} for row, score in zip(rows(ADA, BO, (25, 32, "ORG")), stated, strict=True)]
    unscored = [{**row, "score": None} for row in rows(ADA)]
    records = [
        {"id": "d0", "entities": right},
        {"id": "d1", "entities": unscored},
        {"id": "d2", "status": "failed", "entities": right},
    ]
    scored = write(tmp_path / "scored.jsonl", records)
    (system,) = as_dict(score_files([gold], [scored], samples=20))["systems"]
    bands = [(band["low"], band["right"], band["wrong"]) for band in system["calibration"]["bands"]]
    assert bands == [(0.3, 0, 1), (0.9, 2, 0)]
    assert system["calibration"]["error"] == pytest.approx((0.3 + 2 * 0.075) / 3)
    assert main(["--gold", str(gold), "--pred", str(scored), "--samples", "20"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Scores of scored: expected calibration error 0.150" in shown and "0.9 to 1.0 2 2 0.93 100.0" in shown
    renamed = score_files([gold], [scored], selection=TypeSelection({"ORG": "LOC"}), samples=20).systems[0].reliability
    assert [band.counts.tp for band in renamed.bands] == [1, 2]


@pytest.mark.parametrize("score", [None, -2.5, 7])
def test_scores_that_are_no_probabilities_are_not_measured(gold, tmp_path, score):
    scored = write(tmp_path / "s.jsonl", [{"id": "d0", "entities": [{**rows(ADA)[0], "score": score}]}])
    assert score_files([gold], [scored], samples=20).systems[0].reliability is None


def test_a_score_that_is_no_number_is_refused(gold, tmp_path):
    scored = write(tmp_path / "s.jsonl", [{"id": "d0", "entities": [{**rows(ADA)[0], "score": "high"}]}])
    with pytest.raises(InputError, match='line 1, entity 1: the "score" must be a number or null'):
        score_files([gold], [scored], samples=20)


def test_notes_say_what_is_missing_and_what_does_not_meet(gold, good, poor):
    notes = "\n".join(score_files([gold], [good, poor], samples=20).notes)
    assert "poor: 2 of 9 gold documents are not in the file" in notes
    assert "poor: 1 document(s) failed" in notes
    assert "good: 1 prediction(s) of type 'PERSON', which gold never has" in notes
    assert "did you mean 'PER'? (--map PERSON=PER)" in notes


def test_types_can_be_renamed_and_left_out(gold, good):
    report = score_files([gold], [good], selection=TypeSelection({"PERSON": "", "LOC": "PLACE"}), samples=20)
    assert report.systems[0].strict.f1 == 1
    assert report.gold_types == {"PER": 16, "PLACE": 8}
    only = score_files([gold], [good], selection=TypeSelection(kept=frozenset({"LOC"})), samples=20)
    assert (only.systems[0].strict.gold, only.n_empty, only.n_documents) == (8, 1, 9)


def test_gold_may_lie_in_several_files(gold, good, tmp_path, capsys):
    lines = gold.read_text(encoding="utf-8").splitlines(keepends=True)
    halves = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    halves[0].write_text("".join(lines[:4]), encoding="utf-8")
    halves[1].write_text("".join(lines[4:]), encoding="utf-8")
    apart, whole = as_dict(score_files(halves, [good], samples=20)), as_dict(score_files([gold], [good], samples=20))
    assert apart["systems"] == whole["systems"] and apart["gold"]["documents"] == 9
    assert [Path(held["path"]).name for held in apart["gold"]["files"]] == ["a.jsonl", "b.jsonl"]
    assert main(["--gold", *map(str, halves), "--pred", str(good), "--samples", "20"]) == 0
    assert "9 documents" in " ".join(capsys.readouterr().out.split())


def test_an_id_in_two_gold_files_is_refused(gold, good, tmp_path):
    other = write(tmp_path / "other.jsonl", [{"id": "d3", "text": TEXT, "entities": []}])
    with pytest.raises(InputError, match=r"'d3' stands in .*gold.jsonl and in .*other.jsonl; make the ids differ"):
        score_files([gold, other], [good], samples=20)


def test_names_come_from_files_or_their_folders(gold, good, tmp_path):
    one = write(tmp_path / "one" / "predictions.jsonl", [])
    two = write(tmp_path / "two" / "predictions.jsonl", [])
    assert [system.name for system in score_files([gold], [one, two], samples=20).systems] == ["one", "two"]
    assert [system.name for system in score_files([gold], [good], samples=20).systems] == ["good"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"names": ["a", "b"]}, "2 name"),
        ({"predictions": []}, "at least one"),
        ({"samples": 0}, "samples"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_does_not_fit_is_refused(gold, good, more, message):
    with pytest.raises(ConfigError, match=message):
        score_files(**{"gold": [gold], "predictions": [good], **more})


def test_equal_names_are_refused(gold, good):
    with pytest.raises(ConfigError, match="same name"):
        score_files([gold], [good, good], samples=20)


def command(*arguments, columns="80"):
    environment = {**os.environ, "COLUMNS": columns, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-m", "el4ner.evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
    )


def test_the_command_prints_tables_of_80_columns_and_writes_json(gold, good, poor, tmp_path):
    out = tmp_path / "scores.json"
    names = ["a-committee-with-a-name-that-is-far-too-long-for-any-table", "[bold]x"]
    done = command("--gold", gold, "--pred", good, poor, "--names", *names, "--json", out, "--samples", 50)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for expected in ("Strict scores", "F1 by type", "What happened", "Differences of F1", "98.0", "[bold]x"):
        assert expected in done.stdout
    written = out.read_text(encoding="utf-8")
    assert not [word for word in ("Quill", "Vexport", "Nobody") if word in done.stdout + written]
    assert [system["name"] for system in json.loads(written)["systems"]] == names


def test_control_characters_in_types_do_not_reach_the_terminal(gold, tmp_path, capsys):
    records = [{"id": "d0", "entities": rows((0, 3, "\x1b[31mPER"))}]
    assert main(["--gold", str(gold), "--pred", str(write(tmp_path / "p.jsonl", records)), "--samples", "20"]) == 0
    assert "\x1b[31mPER" not in capsys.readouterr().out


def test_column_files_on_both_sides(tmp_path, capsys):
    gold, pred = tmp_path / "gold.conll", tmp_path / "tagger.bmes"
    gold.write_text("Ada\tB-PER\nQuill\tI-PER\nspoke\tO\n\nRain\tO\n", encoding="utf-8")
    pred.write_text("Ada\tB-PER\nQuill\tE-PER\nspoke\tO\n\nRain\tS-LOC\n", encoding="utf-8")
    assert main(["--gold", str(gold), "--pred", str(pred), "--map", "LOC=", "--samples", "20"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("tagger ")]
    assert lines[0][:4] == ["tagger", "100.0", "100.0", "100.0"]


@pytest.mark.parametrize(
    "arguments", [["--gold", "nowhere.jsonl"], ["--map", "PERSON"], ["--json", "no/such/folder.json"]]
)
def test_errors_end_with_one_line_and_2(arguments, gold, good, capsys):
    options = ["--gold", str(gold), "--pred", str(good), "--samples", "20", *arguments]
    assert main(options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("el4ner.evaluate: ")
    assert captured.err.count("\n") == 1


def test_help_fits_80_columns():
    done = command("--help")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "examples:" in done.stdout


def test_neither_torch_nor_the_network_is_imported():
    heavy = ("torch", "transformers", "httpx", "faiss")
    code = f"import sys, el4ner.evaluate; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
