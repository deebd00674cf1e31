"""Processes by identity: a process id alone may belong to another process by the time it is used."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class _Stat(NamedTuple):
    state: str
    session: int
    started: int


@dataclass(frozen=True)
class Identity:
    """A process for good: id, start time in clock ticks since boot, and the boot."""

    pid: int
    started: int
    boot: str

    def __post_init__(self) -> None:
        typed = type(self.pid) is int and type(self.started) is int and isinstance(self.boot, str)
        if not typed or self.pid < 1 or (self.pid == 1 and not _is_first()):
            raise ValueError("no process that a server could be")  # 0 and less mean groups of processes

    def alive(self) -> bool:
        """Whether this very process still runs."""
        now = _stat(self.pid)
        return now is not None and now.state not in "ZX" and now.started == self.started and _boot() == self.boot


def _is_first() -> bool:
    """Whether the first process of this machine is el4ner, as in a container, and not an init."""
    return b"el4ner" in Path("/proc/1/cmdline").read_bytes()


def identify(pid: int) -> Identity | None:
    """The identity of a process; None if there is none of that id."""
    stat = _stat(pid)
    return None if stat is None else Identity(pid, stat.started, _boot())


def session_processes(leader: Identity) -> list[int]:
    """Process ids of the session that ``leader`` began (itself included), also where it has ended already.

    A session's id is not given to another process while the session has members, so that a stranger under the leader's
    id means that the session is over.
    """
    own = _stat(leader.pid)
    if _boot() != leader.boot or (own is not None and own.started != leader.started):
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            same = stat.session == leader.pid and stat.started >= leader.started
            if same and stat.state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def end_session(leader: Identity, patience_s: float = 20.0) -> bool:
    """End a session: politely first, by force after ``patience_s`` seconds. Whether it is gone."""
    # A stopped process must go on to hear that it shall end.
    _signal_all(leader, signal.SIGTERM)
    _signal_all(leader, signal.SIGCONT)
    if _gone(leader, patience_s):
        return True
    _signal_all(leader, signal.SIGKILL)
    return _gone(leader, 10.0)


def _signal_all(leader: Identity, number: signal.Signals) -> None:
    for pid in session_processes(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _gone(leader: Identity, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while session_processes(leader):
        if time.monotonic() > end:
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(leader.pid, os.WNOHANG)
        time.sleep(0.05)
    return True


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold blanks and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[3]), int(fields[19]))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
