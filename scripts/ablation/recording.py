"""Asking an experiment's rows: every answer is kept, and what was answered before is not asked again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ablation.folder import row_key
from ablation.rows import Row
from ablation.sets import LabelledSet
from el4ner.batch.journal import Journal
from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Runner
from el4ner.config import Config, EmbedderConfig
from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.retrieve import Retriever
from el4ner.demos.weights import SpanWeights, build_weights
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Engine, Request
from el4ner.engines.build import build_engines
from el4ner.engines.meter import Meter
from el4ner.pipeline import Pipeline
from el4ner.recognisers.build import build_recognisers
from el4ner.text.documents import Document

ResultT = TypeVar("ResultT", Answer, Choice)
Build = Callable[[Config, AnswerStore | None], dict[str, Engine]]


def build_engines_of(config: Config, store: AnswerStore | None) -> dict[str, Engine]:
    """The members of a configuration, their answers kept in the store."""
    return build_engines(config, Meter(), store)


@dataclass(slots=True)
class Spent:
    """What a member was asked for one row, and what that costs, whether it was recorded before or not.

    Attributes:
        requests: of the row.
        asked: requests among them that were not recorded before.
        prompt_tokens: as the engine counts them, beginnings that prompts share each time.
        answer_tokens: as the engine counts them.
    """

    requests: int = 0
    asked: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(slots=True)
class RowCost:
    """What a row cost: by member, and the seconds of this attempt; how many answers never came."""

    members: dict[str, Spent] = field(default_factory=dict)
    seconds: float = 0.0
    unanswered: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


class Accounted:
    """A member whose requests are accounted to a row."""

    def __init__(self, member: Engine, spent: Spent) -> None:
        self.name = member.name
        self.fingerprint = member.fingerprint
        self._member = member
        self._spent = spent

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, accounted."""
        return await self._account(self._member.generate(request))

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, accounted."""
        return await self._account(self._member.choose(request))

    async def close(self) -> None:
        """Nothing: the member goes on to the next row."""

    async def _account(self, asked: Awaitable[ResultT]) -> ResultT:
        result = await asked
        self._spent.requests += 1
        self._spent.asked += not result.usage.cached
        self._spent.prompt_tokens += result.usage.prompt_tokens
        self._spent.answer_tokens += result.usage.answer_tokens
        return result


class Cast:
    """The members of all rows. Those of one row are built together, for they share the machine's cores.

    Rows of as many members go on with those that are there; a row of more or fewer begins with new ones, after the
    others have given back their memory. An engine that does not heed a member's answer format serves all of them.

    Args:
        store: where answers are kept.
        build: builds the members of a configuration.
    """

    def __init__(self, store: AnswerStore | None, build: Build) -> None:
        self._store = store
        self._build = build
        self._company = 0
        self._by_settings: dict[str, Engine] = {}
        self._by_fingerprint: dict[tuple[str, str], Engine] = {}

    async def members(self, config: Config) -> dict[str, Engine]:
        """The members of a row by name; weights are loaded at the first request."""
        if len(config.members) != self._company:
            await self.close()
            self._company = len(config.members)
        settings = {member.name: member.model_dump_json() for member in config.members}
        if not set(settings.values()) <= self._by_settings.keys():
            for name, member in self._build(config, self._store).items():
                same = self._by_fingerprint.setdefault((name, member.fingerprint), member)
                self._by_settings.setdefault(settings[name], same)
        return {name: self._by_settings[known] for name, known in settings.items()}

    async def close(self) -> None:
        """Close all members; the store stays open."""
        members = list(self._by_fingerprint.values())
        self._by_settings, self._by_fingerprint = {}, {}
        await asyncio.gather(*(member.close() for member in members))


class Pools:
    """The retrievers of all rows, over pools that are embedded once."""

    def __init__(self, settings: EmbedderConfig) -> None:
        self._embedder = build_embedder(settings)
        self._built: dict[tuple[str, str], tuple[SpanIndex, SpanWeights]] = {}
        self.fingerprint = self._embedder.fingerprint

    def retriever(self, config: Config, labelled: LabelledSet) -> Retriever | None:
        """What chooses a row's demonstrations; None where it shows none."""
        settings, pool = config.demonstrations, labelled.pool
        if settings.method == "none" or not settings.k:
            return None
        key = labelled.name, settings.weights
        if key not in self._built:
            index = SpanIndex.build(pool, gold_spans(pool), self._embedder)
            self._built[key] = index, build_weights(settings, pool)
        index, weights = self._built[key]
        return Retriever(settings, pool, index, self._embedder, weights, config.seed)


def pipeline_of(config: Config, members: Mapping[str, Engine], retriever: Retriever | None) -> Pipeline:
    """The pipeline of a row over members that other rows use as well."""
    return Pipeline(config, build_recognisers(config, members), retriever)


async def record(
    row: Row, labelled: LabelledSet, cast: Cast, pools: Pools, folder: Path
) -> tuple[list[Document], RowCost]:
    """Write a row's predictions anew, from recorded answers as far as there are any; its sentences and its cost."""
    assert row.config is not None
    documents, cost = labelled.first(row.limit), RowCost()
    members = await cast.members(row.config)
    cost.members = {name: Spent() for name in members}
    accounted = {name: Accounted(member, cost.members[name]) for name, member in members.items()}
    pipeline = pipeline_of(row.config, accounted, pools.retriever(row.config, labelled))
    started = time.perf_counter()
    with Journal(folder) as journal:

        def commit(_: Document, outcome: Outcome) -> None:
            cost.unanswered += outcome.counts["no-answer"]
            journal.append(outcome.prediction)

        journal.clear()
        await Runner(pipeline, row.config, with_text=False).run(iter(documents), commit)
    cost.seconds = time.perf_counter() - started
    return documents, cost


async def key_of(row: Row, labelled: LabelledSet, cast: Cast, pools: Pools) -> str:
    """What a row's predictions depend on; see ``row_key``."""
    assert row.config is not None
    fingerprints = {name: member.fingerprint for name, member in (await cast.members(row.config)).items()}
    return row_key(row, labelled, fingerprints, pools.fingerprint)
