"""Keep servers up: start them one after the other on each device, watch them, start again within a bound."""

import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from el4ner.errors import El4nerError
from el4ner.serve.launch import Launch, check_port, start_process
from el4ner.serve.logs import reason, tail
from el4ner.serve.probe import Probe
from el4ner.serve.processes import end_session
from el4ner.serve.state import ServerState

HOUR_S = 3600.0
PAUSE_S = 2.0
"""Rest before the first restart, doubled with each further one within the hour."""
LIVENESS_S = 10.0
"""Seconds between two looks at a server that is ready, or a quarter of ``hang_s`` if that is less."""
READY_S = 900.0
"""Seconds that a server may take from its start to its first token."""
HANG_S = 120.0
"""Seconds without a token after which a server that was ready counts as hung."""
RESTARTS = 3
"""Restarts of one server within an hour before it is given up."""


@dataclass
class WatchedServer:
    """A server under supervision.

    Attributes:
        devices: indices of the devices it shares with others.
        probe: asks all of its models for a token, once it listens.
        liveness_probe: asks one of them, waiting so many seconds for the answer.
        deaths: when it died (monotonic seconds), within the last hour.
        was_ready: whether it ever completed a token; a server that never did is not started again.
        log_start: size of its log when its process started, so that an old fault is not taken for a new one.
        asked: a probe or liveness check under way.
        ask_from: when the next one is due (monotonic seconds).
        answered: when it last completed a token (monotonic seconds).
    """

    launch: Launch
    state: ServerState
    devices: frozenset[int]
    probe: Callable[[], Probe]
    liveness_probe: Callable[[float], Probe]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    rest_until: float = 0.0
    was_ready: bool = False
    log_start: int = 0
    deaths: deque[float] = field(default_factory=deque)
    asked: "Future[Probe] | None" = None
    ask_from: float = 0.0
    answered: float = 0.0


class Supervisor:
    """Moves each server through its phases; ``tick`` does what is due and returns at once. Probes run in threads.

    Args:
        watched: the servers, in the order they are to be started.
        changed: called after each change of phase.
        hang_s: seconds without a completed token after which a server that was ready counts as hung.
    """

    def __init__(
        self,
        watched: Sequence[WatchedServer],
        changed: Callable[[], None],
        hang_s: float = HANG_S,
    ) -> None:
        self._watched = watched
        self._hang_s = hang_s
        self._changed = changed
        # Twice as many threads as servers: a liveness check of a process that has ended may still wait for its time to pass.
        self._pool = ThreadPoolExecutor(2 * len(watched), thread_name_prefix="probe")

    @property
    def ready(self) -> bool:
        """Whether every server has completed a token since it was started."""
        return all(item.state.phase == "ready" for item in self._watched)

    @property
    def given_up(self) -> list[ServerState]:
        """The servers that will not be started again."""
        return [item.state for item in self._watched if item.state.phase == "failed"]

    def tick(self) -> None:
        """Look after every server once."""
        for item in self._watched:
            if item.state.phase in ("waiting", "resting"):
                self._start_if_due(item)
            elif item.state.phase in ("starting", "ready"):
                self._watch(item)

    def stop(self) -> None:
        """End all servers, last started first."""
        for item in reversed(self._watched):
            if item.state.process is not None:
                # What does not end stays on record, so that stop tells of it.
                if end_session(item.state.process):
                    item.process = item.state.process = None
                self._enter(item, "stopped")
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_if_due(self, item: WatchedServer) -> None:
        """One at a time on each device: a server measures what is free there while it starts."""
        busy = {d for other in self._watched if other.state.phase == "starting" for d in other.devices}
        if busy & item.devices or time.monotonic() < item.rest_until:
            return
        try:
            check_port(item.launch)
            item.log_start = item.launch.log.stat().st_size if item.launch.log.exists() else 0
            item.process, item.state.process = start_process(item.launch)
        except El4nerError as error:
            self._record_death(item, str(error))
            return
        item.started = time.monotonic()
        self._enter(item, "starting")

    def _watch(self, item: WatchedServer) -> None:
        code = item.process.poll() if item.process else -1
        if code is not None:
            self._record_death(item, f"{_ending(code)}: {reason(self._new_log(item))}")
        elif item.state.phase == "starting":
            self._wait_for_token(item)
        else:
            self._check_liveness(item)

    def _wait_for_token(self, item: WatchedServer) -> None:
        found = self._asked(item, item.probe, 0.0)
        if found is not None and found.answers:
            item.was_ready, item.answered = True, time.monotonic()
            item.state.reason = ""
            self._enter(item, "ready")
        elif found is not None and found.fault:
            self._record_death(item, found.fault)
        elif time.monotonic() - item.started > READY_S:
            self._record_death(item, f"no token within {READY_S:.0f} s; {reason(self._new_log(item))}")

    def _check_liveness(self, item: WatchedServer) -> None:
        """A server may hang without ending, and its health page may say that all is well: only a token counts."""
        pause_s = min(LIVENESS_S, self._hang_s / 4)
        found = self._asked(item, lambda: item.liveness_probe(self._hang_s), pause_s)
        if found is not None and found.answers:
            item.answered = time.monotonic()
        elif time.monotonic() - item.answered > self._hang_s + pause_s:
            self._record_death(item, f"it hung: no token for {self._hang_s:.0f} s")

    def _asked(self, item: WatchedServer, ask: Callable[[], Probe], pause_s: float) -> Probe | None:
        """What a probe has found, if one has ended by now; the next begins ``pause_s`` seconds later."""
        now = time.monotonic()
        if item.asked is None and now >= item.ask_from:
            item.asked = self._pool.submit(ask)
        if item.asked is None or not item.asked.done():
            return None
        found, item.asked, item.ask_from = item.asked.result(), None, now + pause_s
        return found

    def _record_death(self, item: WatchedServer, why: str) -> None:
        if item.state.process is not None:
            end_session(item.state.process)
        item.process = item.state.process = item.asked = None
        item.state.reason = why
        now = time.monotonic()
        item.deaths.append(now)
        while item.deaths and now - item.deaths[0] > HOUR_S:
            item.deaths.popleft()
        if not item.was_ready or len(item.deaths) > RESTARTS:
            self._enter(item, "failed")
            return
        item.state.restarts += 1
        item.rest_until = now + PAUSE_S * 2 ** (len(item.deaths) - 1)
        self._enter(item, "resting")

    def _new_log(self, item: WatchedServer) -> str:
        """The log of the process that ended; what an earlier one wrote says nothing about it."""
        size = item.launch.log.stat().st_size if item.launch.log.exists() else 0
        new = max(0, size - item.log_start)
        text = tail(item.launch.log)
        return text.encode()[-new:].decode(errors="replace") if new else ""

    def _enter(self, item: WatchedServer, phase: str) -> None:
        item.state.enter(phase)  # type: ignore[arg-type]
        self._changed()


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
