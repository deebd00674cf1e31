"""Which of the models in this process computes: one at a time, with all cores."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

SLICE_S = 2.0
"""Seconds after which a model lets others go first."""


class RoundRobinScheduler:
    """Lets models that share the cores compute one at a time; a model answers several requests in its turn.

    The threads of two models that compute at once, each with all cores, would compete for them, and a model's threads wait for
    each other at every layer. A turn ends when nothing of the model is waiting, or when its time is over and others wait.

    Args:
        at_once: most requests of one model under way.
        slice_s: how long a turn may be while others wait, in seconds.
        clock: seconds, never going back.
    """

    def __init__(self, at_once: int, slice_s: float = SLICE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._slice_s = slice_s
        self._clock = clock
        self._active: Hashable | None = None
        self._began_s = 0.0
        self._running = 0
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = defaultdict(deque)

    @asynccontextmanager
    async def slot(self, model: Hashable) -> AsyncIterator[None]:
        """Wait until the model may answer one more request."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[model].append(ticket)
        self._admit()
        try:
            await ticket
            yield
        finally:
            self._leave(model, ticket)

    def _leave(self, model: Hashable, ticket: asyncio.Future[None]) -> None:
        if ticket in self._waiting[model]:
            self._waiting[model].remove(ticket)
        elif ticket.done():
            self._running -= 1
        self._admit()

    def _admit(self) -> None:
        if not self._running and self._is_over():
            self._pass_on()
        queue = self._waiting[self._active]
        while queue and self._running < self._at_once and not self._is_over():
            ticket = queue.popleft()
            if not ticket.done():
                ticket.set_result(None)
                self._running += 1
        self._tidy()

    def _pass_on(self) -> None:
        """Give the turn to the model that waits longest; the one that had it goes to the end of the row."""
        if self._active in self._waiting:
            self._waiting[self._active] = self._waiting.pop(self._active)
        self._active = next(model for model, queue in self._waiting.items() if queue)
        self._began_s = self._clock()

    def _is_over(self) -> bool:
        """Whether another model should have the next turn."""
        others = any(queue for model, queue in self._waiting.items() if model != self._active)
        return others and (
            not self._waiting[self._active] or self._clock() - self._began_s >= self._slice_s or self._active is None
        )

    def _tidy(self) -> None:
        for model in [model for model, queue in self._waiting.items() if not queue]:
            del self._waiting[model]


__all__ = ["RoundRobinScheduler"]
