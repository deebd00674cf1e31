"""A run that finds nothing at all says how far candidates came."""

from collections import Counter
from dataclasses import replace

import pytest

from el4ner.batch.empty_run import explain_empty_run
from el4ner.batch.report import Tally

from .fakes import FakePipeline, build

VOTED_OUT = {"candidates": 4, "voted-out": 4, "none-by-one": 4, "none-by-two": 3}


def tally(entities: int = 0, failed: int = 0) -> Tally:
    return Tally(3, Counter(ok=3 - failed, failed=failed), Counter({"PER": entities} if entities else {}))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, ["no member marked a candidate", "--dry-run"]),
        (VOTED_OUT, ["all 4 candidates", "none: one 4, two 3)", "classify.threshold"]),
        ({"candidates": 4, "voted-out": 4}, ["no vote for none: 4 fell short of the rule"]),
        (
            {**VOTED_OUT, "voted-out": 1, "rejected-drop": 3},
            ["of 4 candidates the vote rejected 1", "verify.member"],
        ),
    ],
)
def test_the_line_says_where_the_candidates_were_lost(counts, words):
    said = explain_empty_run({"state": "finished", "totals": {"counts": counts}}, tally(failed=1))
    assert said is not None and "\n" not in said and said.startswith("no entity in any of 2 document(s): ")
    assert all(word in said for word in words)


@pytest.mark.parametrize(
    ("state", "found"), [("finished", tally(1)), ("finished", tally(failed=3)), ("interrupted", tally())]
)
def test_nothing_is_said_where_there_is_nothing_to_say(state, found):
    assert explain_empty_run({"state": state, "totals": {"counts": VOTED_OUT}}, found) is None


class Rejecting(FakePipeline):
    def _find(self, window):
        return replace(super()._find(window), entities=(), counts=VOTED_OUT)


@pytest.mark.parametrize("quiet", [["--quiet"], []])
def test_a_run_that_found_nothing_says_so_everywhere(command, capsys, quiet):
    command.write(["Anna met Bob.", "Carl."])
    assert command(*quiet, build=lambda config, meter, cache: Rejecting(meter)) == 0
    (line,) = command.run_json()["warnings"]
    assert "all 8 candidates (votes for none: one 8, two 6)" in line
    assert f"el4ner.run: {line}\n" in capsys.readouterr().err
    report = " ".join((command.output / "report.txt").read_text(encoding="utf-8").split())
    assert f"Warning: {line}" in report
    assert command("--quiet") == 0 and line in capsys.readouterr().err


def test_a_run_with_entities_has_no_warning(command, capsys):
    command.write(["Anna met Bob.", "nobody."])
    assert command("--quiet", build=build) == 0
    assert command.run_json()["warnings"] == [] and capsys.readouterr().err == ""
