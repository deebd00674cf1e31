"""Running the rows of an ablation over shared members, so that a request that rows have in common is computed once."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ablation.scores import GOLD, Cost, write_gold
from ablation.variants import Variant
from el4ner.batch.journal import Journal
from el4ner.batch.runner import Runner
from el4ner.config import Config
from el4ner.demos.build import build_retriever
from el4ner.demos.retrieve import Retriever
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Engine, Message, Request
from el4ner.engines.build import build_engines, check_engines
from el4ner.engines.meter import Meter
from el4ner.pipeline import Pipeline
from el4ner.recognisers.build import build_recognisers
from el4ner.text.documents import Document

ResultT = TypeVar("ResultT", Answer, Choice)


@dataclass(slots=True)
class Tally:
    """What a row asked: all calls, and those whose answer was there before the row began."""

    calls: int = 0
    reused: int = 0
    asked: set[str] = field(default_factory=set)


async def measure(
    config: Config, variants: Sequence[Variant], gold: Mapping[str, Sequence[Document]], output: Path, cache: bool
) -> dict[str, dict[str, Cost]]:
    """Write the predictions of all rows for all gold files; costs by gold file and row."""
    await check_engines(config)
    bench = Bench(config, output / "answers.sqlite" if cache else None)
    costs: dict[str, dict[str, Cost]] = {}
    try:
        await bench.warm_up()
        for name, documents in gold.items():
            write_gold(documents, output / name / GOLD)
            costs[name] = {}
            for number, variant in enumerate(variants, 1):
                print(f"{name}: {number}/{len(variants)} {variant.name}", file=sys.stderr)
                folder = output / name / variant.folder
                costs[name][variant.name] = await bench.predict(variant.config, documents, folder)
    finally:
        await bench.close()
    return costs


class Bench:
    """What all rows share: loaded members, their answers on disk, and retrievers.

    Args:
        config: the configuration of the ensemble.
        answers: file of answers; None: nothing is shared.
    """

    def __init__(self, config: Config, answers: Path | None) -> None:
        self._store = None if answers is None else AnswerStore(answers)
        self._members = build_engines(config, Meter(), self._store)
        self._retrievers: dict[str, Retriever | None] = {}

    async def warm_up(self) -> None:
        """Load the models, so that no row's seconds contain it."""
        # A new question each time, for an answer from the cache would load nothing. A failure shows in the rows.
        request = Request("warm-up", (Message("user", f"Hello, it is {time.time_ns()}."),), max_tokens=4)
        await asyncio.gather(*(m.generate(request) for m in self._members.values()), return_exceptions=True)

    async def predict(self, config: Config, documents: Sequence[Document], folder: Path) -> Cost:
        """Write the predictions of one row."""
        tally = Tally()
        pipeline = self._pipeline(config, tally)
        started = time.perf_counter()
        with Journal(folder) as journal:
            journal.clear()
            await Runner(pipeline, config).run(iter(documents), lambda _, outcome: journal.append(outcome.prediction))
        seconds = time.perf_counter() - started
        return Cost(None if tally.reused else seconds, tally.calls / len(documents))

    async def close(self) -> None:
        """Give back what members and store hold."""
        await asyncio.gather(*(member.close() for member in self._members.values()))
        if self._store is not None:
            self._store.close()

    def _pipeline(self, config: Config, tally: Tally) -> Pipeline:
        counted = {member.name: Counted(self._members[member.name], tally) for member in config.members}
        key = config.demonstrations.model_dump_json()
        if key not in self._retrievers:
            self._retrievers[key] = build_retriever(config)
        return Pipeline(config, build_recognisers(config, counted), self._retrievers[key])


class Counted:
    """A member whose calls are tallied for one row."""

    def __init__(self, member: Engine, tally: Tally) -> None:
        self.name = member.name
        self.fingerprint = member.fingerprint
        self._member = member
        self._tally = tally

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, counted."""
        return await self._count(request, self._member.generate(request))

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, counted."""
        return await self._count(request, self._member.choose(request))

    async def close(self) -> None:
        """Nothing: the member goes on to the next row."""

    async def _count(self, request: Request, asked: Awaitable[ResultT]) -> ResultT:
        key = request.key(self.fingerprint)
        is_new = key not in self._tally.asked
        self._tally.asked.add(key)
        self._tally.calls += 1
        result = await asked
        self._tally.reused += is_new and result.usage.cached
        return result
