"""How a run ends when the disk is full, or when it is asked to stop."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from el4ner.batch.columns import ColumnFile
from el4ner.batch.journal import Journal
from el4ner.text import new_files

from .test_resume import FAKES, wait_for_records
from .test_retry import flaky, lines

TEXTS = [f"Name{number}." for number in range(6)]


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_at(monkeypatch, where):
    """A disk that is full as soon as something is written there."""
    if where == "record":
        write, count = os.write, 0

        def torn(descriptor, data):
            nonlocal count
            count += 1
            if count < 4:
                return write(descriptor, data)
            if count == 4:
                return write(descriptor, data[:10])
            return full()

        monkeypatch.setattr("el4ner.batch.journal.os.write", torn)
    elif where == "sync":
        monkeypatch.setattr(Journal, "sync", full)
    elif where == "run":
        monkeypatch.setattr("el4ner.batch.job.write_run", full)
    elif where == "report":
        monkeypatch.setattr("el4ner.batch.job.write_atomically", full)
    else:
        monkeypatch.setattr(ColumnFile, "add", full)


@pytest.mark.parametrize("where", ["record", "sync", "run", "report", "columns"])
def test_a_full_disk_is_called_one_and_the_same_command_goes_on(command, capsys, where):
    command.write(TEXTS)
    assert command("--quiet", "--format", "conll") == 0
    expected = lines(command)
    for path in command.output.iterdir():
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        fill_at(patch, where)
        assert command("--quiet", "--format", "conll") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("el4ner.run: the disk is full (") and "the same command goes on" in line
    assert expected[: len(lines(command))] == lines(command)
    assert command("--quiet", "--format", "conll") == 0
    assert lines(command) == expected


@pytest.mark.parametrize("where", ["waiting", "merged"])
def test_a_disk_that_is_full_while_records_are_done_again_leaves_the_old_ones(command, capsys, where):
    command.write(["Anna.", "Bob #flaky"])
    command("--quiet", build=flaky)
    before = lines(command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*(("el4ner.batch.redone.os.write", full) if where == "waiting" else (Journal, "_replace", full)))
        assert command("--quiet", "--retry-failed") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert lines(command) == before
    assert command("--quiet", "--retry-failed") == 0
    assert [item["status"] for item in command.records()] == ["ok", "ok"]


def test_what_could_not_be_written_whole_is_not_left_lying(tmp_path, monkeypatch):
    monkeypatch.setattr(new_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        new_files.write_atomically(tmp_path / "run.json", "{}")
    assert list(tmp_path.iterdir()) == []


def start_reading(command, text):
    arguments = command.arguments("--quiet")
    arguments[arguments.index("--input") + 1] = "-"
    process = subprocess.Popen(
        [sys.executable, str(FAKES), *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.write(text)
    process.stdin.flush()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_waits_for_a_silent_sender_keeps_what_came_and_stops(command, number):
    process = start_reading(command, '{"id": "a", "text": "Anna."}\n{"id": "b", "text": "Bob."}\n')
    wait_for_records(command, process, 2)
    process.send_signal(number)
    first = process.stderr.readline()
    assert "stopping" in first and "the same command goes on" in first
    assert process.wait(timeout=60) == 130
    rest = process.stderr.read()
    assert "stopped after 2 document(s); the same command goes on" in rest and "Fatal" not in rest
    process.stdin.close()
    assert [item["id"] for item in command.records()] == ["a", "b"]


def test_an_interruption_before_the_work_says_that_the_same_command_goes_on(command, capsys):
    command.write(TEXTS)

    def interrupted(config, meter, cache):
        raise KeyboardInterrupt

    assert command("--quiet", build=interrupted) == 130
    assert capsys.readouterr().err == "el4ner.run: interrupted; the same command goes on where the run was\n"
