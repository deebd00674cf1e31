"""What a run says of itself in words: the report, the last lines, and the record of its attempts."""

import re
from collections import Counter

import pytest

from el4ner.batch.merge import Outcome
from el4ner.batch.prediction import Prediction
from el4ner.batch.record import Attempt, totals
from el4ner.batch.report import Tally, calls_and_tokens, outcome, write_report
from el4ner.vote.entities import VotedEntity

ANN, ROME = VotedEntity(0, 3, "PER"), VotedEntity(4, 8, "LOC")
PREDICTIONS = [
    Prediction("a", "ok", (ANN, ROME), ("Ann", "Rome")),
    Prediction("b", "partial", (ANN,), ("Ann",), reason="x", unread=((0, 3),)),
    Prediction("c", "failed", reason="why", input_hash="f"),
    Prediction("d", "ok", (ANN,), ("\x1bBo",)),
]
COST = {"requests": 1000, "cached": 2, "prompt_tokens": 3000, "answer_tokens": 4}
RUN = {
    "state": "finished",
    "warnings": ["word " * 20],
    "totals": {
        "windows": 1234,
        "wall_s": 1234.56,
        "counts": {"not-in-text": 2, "leaked": 1},
        "problems": {f"problem {number}": 20 - number for number in range(17)},
        "members": {"a-member-with-a-very-long-name": {"extract": COST, "classify": COST | {"cached": 5}}},
    },
}
REPORT = """\
el4ner run: finished

Warning: word word word word word word word word word word word word word word
word word word word word word

Documents
          4  all
          2  ok
          1  partial
          1  failed

Of 1 failed document(s) 1 could not be read: see reason in the records

Of 1 partial document(s) a part has no result: see unread in the records

Entities
          4  all
          3  PER
          1  LOC

Most frequent: PER
          2  Ann
          1  \ufffdBo

Most frequent: LOC
          1  Rome

Calls and tokens
  member               stage            calls    cached        read   written
  a-member-with-a-very extract          1,000         2       3,000         4
  a-member-with-a-very classify         1,000         5       3,000         4
  1,234 windows in 1,234.6 seconds

Met on the way
          1  leaked
          2  not-in-text

Problems
"""


def test_the_report_says_what_a_run_came_to():
    problems = [f"{20 - number:>11}  problem {number}" for number in range(15)]
    expected = REPORT + "\n".join([*problems, "", "(and 2 more kinds: see run.json)", ""])
    assert write_report(RUN, Tally.of(PREDICTIONS)) == expected


def test_a_run_without_troubles_has_a_short_report():
    run = {"state": "finished", "totals": {**RUN["totals"], "counts": {}, "problems": {}, "members": {}}}
    said = write_report(run, Tally.of(PREDICTIONS[:1]))
    assert "Warning" not in said and "unread" not in said and "Problems" not in said and "Met" not in said
    assert said.endswith("\n  1,234 windows in 1,234.6 seconds\n")


def test_a_tally_counts_documents_and_entities_without_surfaces():
    assert Tally.of(PREDICTIONS).as_dict() == {
        "documents": 4,
        "by_status": {"ok": 2, "partial": 1, "failed": 1},
        "with_unread_parts": 1,
        "unreadable": 1,
        "entities": 4,
        "by_type": {"PER": 3, "LOC": 1},
    }


@pytest.mark.parametrize(
    ("results", "redone", "state", "said"),
    [
        ({"failed": 0}, {}, "finished", []),
        (
            {"failed": 2},
            {},
            "finished",
            [
                'of 1,500 document(s) 2 failed: each record says why, under "reason" in out/p.jsonl; '
                "once the cause is mended, --retry-failed does them again"
            ],
        ),
        (
            {"failed": 2, "unreadable": 1, "with_unread_parts": 3},
            {},
            "finished",
            [
                "of 1,500 document(s) 2 failed (1 could not be read) and 3 have parts without result: each record says "
                'why, under "reason" in out/p.jsonl; once the cause is mended, --retry-failed does them again'
            ],
        ),
        (
            {"failed": 0},
            {"failed": 1, "ok": 1200},
            "max-failures",
            [
                "1,201 document(s) done again: 1,200 ok, 1 failed",
                "stopped after 1,500 document(s); the same command goes on where the run was",
            ],
        ),
        (
            {"failed": 0},
            {},
            "interrupted",
            ["stopped after 1,500 document(s); the same command goes on where the run was"],
        ),
    ],
)
def test_the_last_lines_say_what_failed_and_how_to_go_on(results, redone, state, said):
    more = {key: value for key, value in results.items() if key != "failed"}
    counted = {"documents": 1500, "by_status": {"failed": results["failed"]}, **more}
    run = {"state": state, "results": counted, "attempts": [{}, {"redone": redone}]}
    assert outcome(run, "out/p.jsonl") == said


def test_an_attempt_records_what_it_did():
    attempt = Attempt(("python", "-m", "el4ner.run"), resumed_at=3)
    attempt.add(Outcome(Prediction("a", "ok"), 2, ("one: 5 away", "one: 6 away"), Counter(b=1, a=2)))
    attempt.add(Outcome(Prediction("b", "ok"), 1, ("two: away",), Counter(a=1)))
    attempt.add_redone(Outcome(Prediction("c", "failed"), 4))
    record = attempt.as_dict("finished", {"one": {"extract": COST}})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.pop("started"))
    assert record.pop("finished") is not None and record.pop("wall_s") >= 0
    assert record == {
        "state": "finished",
        "command": ["python", "-m", "el4ner.run"],
        "resumed_at": 3,
        "documents": 2,
        "redone": {"failed": 1},
        "windows": 7,
        "counts": {"a": 3, "b": 1},
        "problems": {"one: * away": 2, "two: away": 1},
        "members": {"one": {"extract": COST}},
    }
    assert list(record["counts"]) == ["a", "b"]
    assert attempt.as_dict("running", {})["finished"] is None


def test_the_attempts_of_a_run_are_added_up():
    one = {
        "windows": 2,
        "wall_s": 1.0004,
        "counts": {"a": 1},
        "problems": {"p": 1},
        "members": {"m": {"extract": COST}},
    }
    two = {
        "windows": 3,
        "wall_s": 2.5,
        "counts": {"a": 2, "b": 1},
        "problems": {"q": 5, "p": 1},
        "members": {"m": {"extract": COST, "verify": COST, "all": COST}, "n": {"extract": COST}},
    }
    added = totals([one, two])
    assert (added["windows"], added["wall_s"], added["counts"]) == (5, 3.5, {"a": 3, "b": 1})
    assert list(added["problems"].items()) == [("q", 5), ("p", 2)]
    assert {member: list(stages) for member, stages in added["members"].items()} == {
        "m": ["extract", "verify"],
        "n": ["extract"],
    }
    twice = {key: 2 * value for key, value in COST.items()}
    assert twice.items() <= added["members"]["m"]["extract"].items()
    assert COST.items() <= added["members"]["n"]["extract"].items()
    assert calls_and_tokens(added["members"]) == {key: 4 * value for key, value in COST.items()}
