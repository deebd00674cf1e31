"""Documents of an earlier run that are done again: they alone change, whatever happens on the way."""

import json
import os
import random
import signal
import time

import pytest

from el4ner.batch.journal import Journal, read_predictions
from el4ner.batch.prediction import Prediction, hash_text
from el4ner.batch.redo import Patch, Plan, StrayRecord, make_plan
from el4ner.errors import ConfigError
from el4ner.text.documents import Document, Unreadable

from .fakes import FakePipeline
from .test_resume import counting, start

TEXTS = ["Anna.", "Bob #flaky", "Carl.", "Dora #dull", "Emil.", "Fay #flaky"]


class Flaky(FakePipeline):
    """Does not answer about ``#flaky``, and only in part about ``#dull``, until it is mended."""

    def _find(self, window):
        text = window.text.replace("#flaky", "#error").replace("#dull", "#silent")
        return super()._find(
            type(window)(**{name: getattr(window, name) for name in window.__slots__} | {"text": text})
        )


def flaky(config, meter, cache):
    return Flaky(meter)


def lines(command):
    return (command.output / "predictions.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_those_that_failed_or_are_partial_are_done_again_and_no_others(command, capsys, more):
    command.write(TEXTS)
    assert command("--quiet", build=flaky) == 1
    before = lines(command)
    asked = []
    assert command("--quiet", "--retry-failed", *more, build=counting(asked)) == 0
    assert asked == ["d1", "d3", "d5"]
    after = lines(command)
    assert [index for index in range(6) if before[index] != after[index]] == [1, 3, 5]
    assert [record["status"] for record in command.records()] == ["ok"] * 6
    assert command.run_json()["results"]["by_status"] == {"ok": 6, "partial": 0, "failed": 0}
    err = capsys.readouterr().err
    assert "3 document(s) that failed, are partial or were mended are done again" in err
    assert "3 document(s) done again: 3 ok" in err
    assert not (command.output / "redone.jsonl").exists()
    assert command.output.joinpath("predictions.jsonl").stat().st_mode & 0o077 == 0


def test_columns_of_a_run_with_retries_hold_all_documents(command):
    command.write(TEXTS)
    command("--quiet", "--format", "conll", build=flaky)
    assert command("--quiet", "--format", "conll", "--retry-failed") == 0
    assert "Bob\tB-LOC" in (command.output / "predictions.conll").read_text()


def test_an_interrupted_run_goes_on_after_the_retries(command):
    command.write(TEXTS)
    command("--quiet", "--limit", "3", build=flaky)
    asked = []
    assert command("--quiet", "--retry-failed", build=counting(asked)) == 0
    assert asked == ["d1", "d3", "d4", "d5"]
    assert [record["id"] for record in command.records()] == [f"d{number}" for number in range(6)]


def test_a_partial_record_is_not_replaced_by_a_failure(command):
    command.write(["Anna.", "Dora #dull"])
    assert command("--quiet", build=flaky) == 0
    before = lines(command)

    class Away(FakePipeline):
        def _find(self, window):
            return super()._find(type(window)("d", 0, 0, "#error", 0, 6, "en"))

    assert command("--quiet", "--retry-failed", build=lambda *_: Away()) == 0
    assert lines(command) == before


def test_a_dry_run_says_what_would_be_done_again(command, capsys):
    command.write(TEXTS)
    command("--quiet", build=flaky)
    assert command("--dry-run", "--retry-failed") == 0
    assert "3 document(s) would be done again" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--fresh"], ["--input", "-"]])
def test_what_cannot_be_compared_is_refused(command, capsys, more):
    command.write(TEXTS)
    command("--quiet")
    before = lines(command)
    assert command("--quiet", "--retry-failed", *more) == 2
    assert "--retry-failed" in capsys.readouterr().err
    assert lines(command) == before


def test_there_must_be_an_earlier_run(command, capsys):
    command.write(TEXTS)
    assert command("--quiet", "--retry-failed") == 2
    assert "leave out --retry-failed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_old_or_new_records(command):
    command.configure(batch={"windows_in_flight": 3})
    command.write([f"Name{number} #flaky" if number % 2 else f"Name{number}." for number in range(40)])
    command("--quiet", build=flaky)
    before = lines(command)
    chance = random.Random(3)
    redone = command.output / "redone.jsonl"
    for _ in range(3):
        process = start(command, "--retry-failed", delay_s=0.05)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if redone.exists() and redone.read_bytes().count(b"\n") > chance.randint(2, 8):
                break
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = lines(command)
        assert len(now) == 40
        assert all(json.loads(line)["id"] == f"d{index}" for index, line in enumerate(now))
        assert all(now[index] == before[index] for index in range(0, 40, 2))
    asked = []
    assert command("--quiet", "--retry-failed", build=counting(asked)) == 0
    assert 0 < len(asked) < 20
    assert [record["status"] for record in command.records()] == ["ok"] * 40


OLD = [Prediction(f"d{n}", "failed" if n % 2 else "ok", surfaces=(), reason="why" if n % 2 else None) for n in range(6)]
NEW = [Prediction(f"d{n}", "ok", surfaces=()) for n in range(6)]
THIRD = [Prediction(name, "ok", surfaces=()) for name in ("d3a", "d3b")]
PATCHES = [Patch(1, 1, 1, 1), Patch(3, 1, 3, 2), Patch(5, 1, 6, 0)]


def journal_with_redone(folder):
    with Journal(folder) as journal:
        for prediction in OLD:
            journal.append(prediction)
        with journal.redo(PATCHES) as redone:
            for prediction in (NEW[1], *THIRD):
                redone.append(prediction)
            redone.finish()
        whole = (folder / "redone.jsonl").read_bytes()
    return whole


def test_wherever_the_waiting_records_are_torn_each_place_is_old_or_new(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    whole = journal_with_redone(tmp_path)
    before = (tmp_path / "predictions.jsonl").read_bytes()
    new = [OLD[0], NEW[1], OLD[2], *THIRD, OLD[4]]
    halves = [OLD, [OLD[0], NEW[1], *OLD[2:]], [*new, OLD[5]], new]
    seen = set()
    for length in range(len(whole) + 1):
        (tmp_path / "predictions.jsonl").write_bytes(before)
        inode = (tmp_path / "predictions.jsonl").stat().st_ino
        torn = f"{inode}\n".encode() + whole.partition(b"\n")[2]
        (tmp_path / "redone.jsonl").write_bytes(torn[:length])
        with Journal(tmp_path) as journal:
            kept = journal.kept
        found = list(read_predictions(tmp_path / "predictions.jsonl"))
        assert found in halves and kept == len(found)
        seen.add(len(found))
        assert not (tmp_path / "redone.jsonl").exists()
    assert seen == {6, 7}
    assert found == new


def test_waiting_records_of_another_file_are_forgotten(tmp_path):
    journal_with_redone(tmp_path)
    (tmp_path / "predictions.jsonl").rename(tmp_path / "old")
    (tmp_path / "predictions.jsonl").write_bytes((tmp_path / "old").read_bytes())
    with Journal(tmp_path) as journal:
        assert list(read_predictions(journal.path)) == OLD


def test_the_file_stays_locked_when_it_is_replaced(tmp_path):
    with Journal(tmp_path) as journal:
        journal.append(OLD[1])
        with journal.redo([Patch(0, 1, 0, 1)]) as redone:
            redone.append(NEW[1])
        journal.take_in()
        with pytest.raises(ConfigError, match="another process"):
            Journal(tmp_path)
        journal.append(NEW[2])
        assert list(read_predictions(journal.path)) == [NEW[1], NEW[2]]


def record(name, status="ok", text=""):
    return Prediction(name, status, text_hash=hash_text(text))


def unread(name, content="x"):
    return Prediction(name, "failed", input_hash=content)


@pytest.mark.parametrize(
    ("records", "items", "retry", "patches", "more"),
    [
        ([record("a"), record("b")], ["a", "b"], True, [], False),
        ([record("a"), record("b", "failed")], ["a", "b", "c"], False, [], True),
        (
            [record("a", "partial"), record("b", "failed")],
            ["a", "b"],
            True,
            [Patch(0, 1, 0, 1), Patch(1, 1, 1, 1)],
            False,
        ),
        ([unread("a"), record("b")], ["a", "b"], False, [Patch(0, 1, 0, 1)], False),
        ([unread("f:1"), unread("f:2"), record("b")], ["x", "b"], False, [Patch(0, 2, 0, 1)], False),
        ([unread("f"), record("b")], ["f:1", "f:2", "b"], False, [Patch(0, 1, 0, 2)], False),
        ([unread("f"), record("b")], ["b"], False, [Patch(0, 1, 0, 0)], False),
        ([record("a"), unread("f")], ["a", "f:1", "f:2"], False, [Patch(1, 1, 1, 0)], True),
        ([record("a"), unread("f")], ["a"], False, [Patch(1, 1, 1, 0)], False),
    ],
)
def test_what_failed_gives_way_to_what_stands_there_now(records, items, retry, patches, more):
    documents = [Document(name, "") for name in items]
    assert make_plan(records, iter(documents), retry=retry) == Plan(tuple(patches), more)


@pytest.mark.parametrize("items", [["b"], ["a", "c"], ["a", "x", "b"]])
def test_what_did_not_fail_must_be_the_same(items):
    with pytest.raises(StrayRecord):
        make_plan([record("a"), record("b")], iter([Document(name, "") for name in items]), retry=False)


def test_what_is_still_unreadable_stays_as_it_is():
    item = Unreadable("a", "f, line 1", "f, line 1: no", "x")
    assert make_plan([unread("a")], iter([item]), retry=False) == Plan()
    assert make_plan([unread("a", "y")], iter([item]), retry=False).documents == 1
