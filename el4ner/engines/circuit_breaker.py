"""Which members of an ensemble are down, and whether it can do without them: go on with the rest, or wait."""

import math
import time
from collections.abc import Callable

WAIT_S = 5.0
"""Pause between two tries of a member that is down and cannot be spared, seconds."""
PROBE_INTERVAL_S = 10.0
"""How often a member that is down and can be spared is asked again, seconds."""


class CircuitBreaker:
    """Shared by the members of one ensemble that are reached over the network.

    A member is down from the moment that a request has used up its retries on it, and it answered no other meanwhile, until it
    answers again. Where the quorum can do without all members that are down, requests to them fail at once, but for the next one
    and one now and then, which look whether the member is back. Where it cannot, requests wait.

    Args:
        dispensable: members that may be missing, as the quorum says.
        patience_s: longest wait for a member that cannot be spared, in seconds.
        clock: seconds, never going back.
    """

    def __init__(
        self, dispensable: int = 0, patience_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dispensable = dispensable
        self._patience_s = patience_s
        self._clock = clock
        self._down: dict[str, float] = {}
        self._probed: dict[str, float] = {}
        self._answered: dict[str, float] = {}

    def record_success(self, member: str) -> None:
        """The member answers."""
        self._down.pop(member, None)
        self._answered[member] = self._clock()

    def answered_within(self, member: str, seconds: float) -> bool:
        """Whether the member answered anything in the last so many seconds."""
        return self._clock() - self._answered.get(member, -math.inf) < seconds

    def record_failure(self, member: str) -> None:
        """A request has used up its retries on the member."""
        if member not in self._down:
            self._probed[member] = -math.inf
        self._down.setdefault(member, self._clock())

    def is_down(self, member: str) -> bool:
        """Whether it did not answer when it was last asked in earnest."""
        return member in self._down

    def can_do_without(self, member: str) -> bool:
        """Whether the quorum can do without the member and all others that are down."""
        return len(self._down.keys() | {member}) <= self._dispensable

    def worth_waiting(self, member: str, waited_s: float) -> bool:
        """Whether a request that has waited so long should go on: the member cannot be spared, and patience is not at its end.

        Patience ends for a member that was down for too long, and for a request that fails where others do not.
        """
        down_s = self._clock() - self._down.get(member, self._clock())
        return not self.can_do_without(member) and max(down_s, waited_s) < self._patience_s

    def allows_request(self, member: str) -> bool:
        """Whether to ask the member now; False where it is down, can be spared, and was asked a moment ago."""
        if not self.is_down(member) or not self.can_do_without(member):
            return True
        due = self._clock() - self._probed[member] >= PROBE_INTERVAL_S
        if due:
            self._probed[member] = self._clock()
        return due
