"""An engine that is never asked the same twice: identical requests under way are shared, answers may be kept on disk."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Engine, Request

ResultT = TypeVar("ResultT", Answer, Choice)
AnyResultT = TypeVar("AnyResultT")


@dataclass(slots=True)
class _Flight(Generic[AnyResultT]):
    """A request under way, and how many wait for it."""

    task: asyncio.Task[AnyResultT]
    waiting: int = 0


class CachedEngine:
    """An engine behind a request cache. Answers are cached, errors never.

    Args:
        engine: what answers what the cache does not know.
        store: where answers are kept; several members may share one, for their fingerprints are part of the key.
            None: identical requests under way are shared, and nothing is kept. Whoever opened the store closes it.
    """

    def __init__(self, engine: Engine, store: AnswerStore | None = None) -> None:
        self.name = engine.name
        self.fingerprint = engine.fingerprint
        self._engine = engine
        self._store = store
        self._generating: dict[str, _Flight[Answer]] = {}
        self._choosing: dict[str, _Flight[Choice]] = {}

    async def generate(self, request: Request) -> Answer:
        """Answer in free text; ``usage.cached`` where the engine was not asked for this call."""
        return await self._answer(Answer, request, self._generating, self._engine.generate)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``; ``usage.cached`` where the engine was not asked for this call."""
        return await self._answer(Choice, request, self._choosing, self._engine.choose)

    async def close(self) -> None:
        """Close the engine; the store stays open."""
        await self._engine.close()

    async def _answer(
        self,
        kind: type[ResultT],
        request: Request,
        flights: dict[str, _Flight[ResultT]],
        ask: Callable[[Request], Coroutine[Any, Any, ResultT]],
    ) -> ResultT:
        key = request.key(self._engine.fingerprint)
        known = None if self._store is None else self._store.get(key)
        if isinstance(known, kind):
            return known
        joined = key in flights
        if not joined:
            flights[key] = _Flight(asyncio.create_task(self._ask(key, ask(request))))
        result = await _wait(key, flights)
        return replace(result, usage=replace(result.usage, cached=True, latency_s=0.0)) if joined else result

    async def _ask(self, key: str, asked: Coroutine[Any, Any, ResultT]) -> ResultT:
        result = await asked
        if self._store is not None:
            self._store.put(key, result)
        return result


async def _wait(key: str, flights: dict[str, _Flight[ResultT]]) -> ResultT:
    """The result of the flight; one who stops waiting does not stop it, the last one who stops waiting does."""
    flight = flights[key]
    flight.waiting += 1
    try:
        return await asyncio.shield(flight.task)
    finally:
        flight.waiting -= 1
        if flight.task.done() or not flight.waiting:
            flight.task.cancel()
            if flights.get(key) is flight:
                del flights[key]
