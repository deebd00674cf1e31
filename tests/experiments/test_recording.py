"""Rows are asked once, whatever interrupts them, and the report needs nobody."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from el4ner.errors import MemberError

from .conftest import output_of
from .fakes import PEOPLE, ablate, builder, run, write_experiment

FAKES = Path(__file__).with_name("fakes.py")


def predictions(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("predictions.jsonl"))}


def report(words, capsys):
    capsys.readouterr()
    assert run(["--report", "--output", str(output_of(words)), "--samples", "50"]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_report_without_members_equals_the_first_print(tmp_path, capsys):
    words = write_experiment(tmp_path)
    assert run(words) == 0
    first = capsys.readouterr().out
    shutil.rmtree(tmp_path / "data")
    assert report(words, capsys) == first
    assert "not begun" not in first and "not finished" not in first


@pytest.mark.slow
def test_recordings_without_text_report_the_same_beside_the_data(tmp_path, capsys):
    words = write_experiment(tmp_path)
    assert run(words) == 0
    first, output = capsys.readouterr().out, output_of(words)
    for path in (output / "answers.sqlite", *output.glob("*/gold.jsonl"), *output.glob("*/pool.jsonl")):
        path.unlink()
    kept = "".join(path.read_text() for path in output.rglob("*") if path.is_file())
    assert not any(name in kept for name in PEOPLE)
    assert run([*words, "--report"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.slow
def test_nothing_is_asked_twice_and_votes_ask_nothing_new(finished, capsys):
    asked = []
    assert run(finished, asked) == 0
    assert asked == []
    before = predictions(output_of(finished))
    assert run([*finished, "--again", "*"], asked) == 0
    assert asked == [] and predictions(output_of(finished)) == before
    for what in ("majority", "probability", "two-stage"):
        mark = json.loads((output_of(finished) / "pairs" / "ensemble" / what / "row.json").read_text())
        assert not any(spent["asked"] for spent in mark["members"].values())
        assert all(spent["requests"] for spent in mark["members"].values())


@pytest.mark.slow
def test_killed_again_and_again_it_ends_like_the_run_that_was_not(finished, tmp_path):
    words = write_experiment(tmp_path)
    codes = []
    while not codes or codes[-1] != 0:
        assert len(codes) < 12
        environment = {**os.environ, "DIE_AFTER": "400"}
        codes.append(
            subprocess.run([sys.executable, str(FAKES), *words], env=environment, capture_output=True).returncode
        )
        log = output_of(words) / "answers.sqlite-wal"
        if codes[-1] and log.stat().st_size > 17:
            log.write_bytes(log.read_bytes()[:-17])  # the kill comes in the middle of a write
    assert codes.count(-9) == len(codes) - 1 > 1
    assert predictions(output_of(words)) == predictions(output_of(finished))


def test_a_row_that_was_stopped_is_not_printed_as_if_it_were_whole(finished, tmp_path, capsys):
    words = write_experiment(tmp_path)
    shutil.copytree(output_of(finished), output_of(words))
    row = output_of(words) / "pairs" / "able" / "zero"
    lines = (row / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (row / "predictions.jsonl").write_bytes(b"".join(lines[:5]))
    shown = report(words, capsys)
    assert "not finished: pairs, able/zero: 5 of 16 sentences" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith(" zero-shot")][:1]
    assert line.split()[1] == "-" and line.split()[2] != "-"
    assert run(words) == 0
    assert predictions(output_of(words)) == predictions(output_of(finished))


def test_more_sentences_keep_the_answers_to_the_first_ones(tmp_path):
    words, few, many = write_experiment(tmp_path), [], []
    only = ["--only", "able/zero", "--sets", "pairs"]
    assert run([*words, *only, "--limit", "12"], few) == 0
    assert run([*words, *only, "--limit", "24"], many) == 0
    assert few and not {r.key("") for r in few} & {r.key("") for r in many}
    kept = output_of(words) / "pairs" / "able" / "zero" / "predictions.jsonl"
    assert len(kept.read_text().splitlines()) == 24


def test_what_holds_text_is_for_the_owner_alone_and_the_manifest_holds_none(finished):
    output = output_of(finished)
    for path in [*output.rglob("*.jsonl"), output / "manifest.json"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    manifest = (output / "manifest.json").read_text()
    assert not any(name in manifest for name in PEOPLE)
    described = json.loads(manifest)
    assert [member["fingerprint"] for member in described["members"]] == ["fake:able", "fake:fair", "fake:slow"]
    assert described["sets"]["pairs"]["pool"]["left_out"] == 1
    assert described["versions"]["el4ner"]


def test_members_that_are_limited_are_asked_less(finished):
    manifest = json.loads((output_of(finished) / "manifest.json").read_text())
    assert manifest["sets"]["pairs"]["ensembles"] == {
        "ensemble": ["able", "fair"],
        "ensemble+slow": ["able", "fair", "slow"],
    }
    assert manifest["sets"]["pairs"]["rows"]["slow/span-5"] == 8
    assert manifest["sets"]["pairs"]["rows"]["ensemble+slow/learned"] == 8
    assert manifest["sets"]["alone"]["members"] == ["able", "fair"]


def test_the_plan_asks_nobody_and_shrinks_with_what_is_recorded(tmp_path, capsys):
    words, asked = write_experiment(tmp_path), []
    assert run([*words, "--plan"], asked) == 0
    table = capsys.readouterr().out
    assert asked == [] and not output_of(words).exists()
    needed = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in table.splitlines() if "/" in line}
    assert needed["able/zero"] > 32 and needed["ensemble/span-5"] > 0 and needed["ensemble/majority"] == 0
    assert run([*words, "--only", "able/*"]) == 0
    capsys.readouterr()
    assert run([*words, "--plan"], asked) == 0
    rest = capsys.readouterr().out
    assert asked == [] and "able/zero" not in rest and "18 rows are finished" in rest
    assert max(map(len, rest.splitlines())) <= 80


def test_the_plan_of_a_finished_experiment_needs_nothing(finished, capsys):
    assert run([*finished, "--plan"]) == 0
    table = capsys.readouterr().out
    assert "/" not in table.splitlines()[2] and table.splitlines()[2].split()[:2] == ["together", "0"]


def test_answers_that_did_not_come_are_asked_for_again(finished, tmp_path, capsys):
    def away():
        raise MemberError("a", "nobody is there")

    words = [
        *write_experiment(tmp_path),
        "--only",
        "able/zero",
        "ensemble/span-5",
        "ensemble/learned",
        "--sets",
        "pairs",
    ]
    assert ablate.main(words, build=builder([], away)) == 0
    shown = capsys.readouterr()
    assert "answers did not come" in shown.err and "ensemble/learned: no " in shown.err
    assert " 16\n" in shown.out  # failed sentences, in the table of costs
    assert run(words) == 0
    whole = predictions(output_of(finished))
    assert predictions(output_of(words)).items() <= whole.items() and len(predictions(output_of(words))) == 3


def test_two_runs_do_not_write_one_folder(tmp_path, capsys):
    from ablation.folder import locked

    words = write_experiment(tmp_path)
    with locked(output_of(words)):
        assert run(words) == 2
    assert "another run writes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--report", "--output", "/nonexistent"], "name the --output of an experiment"),
        (["--plan"], "--plan needs --experiment"),
        (["--report", "--gold", "x.jsonl"], "--gold and --experiment do not go together"),
        (["--report", "--no-cache"], "--no-cache and --experiment"),
    ],
)
def test_words_that_do_not_fit_get_one_clear_line(words, message, capsys):
    assert run(words) == 2
    assert message in capsys.readouterr().err


def test_no_row_left_is_an_error(finished, capsys):
    assert run([*finished, "--only", "nobody/*"]) == 2
    assert "no row is left" in capsys.readouterr().err
