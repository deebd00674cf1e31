"""One measurement: documents through the pipeline, then its very requests by a client that does nothing but send them."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from pipeline_bench.members import Recording, pipeline_over

from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Runner
from el4ner.config import Config, MemberConfig
from el4ner.engines.api_keys import api_key
from el4ner.engines.http import HttpEngine
from el4ner.engines.metrics import PATH, ServerCounts
from el4ner.engines.servers.connect import split_endpoint
from el4ner.errors import MemberError
from el4ner.pipeline import Pipeline
from el4ner.text.documents import Document

PATIENCE_S = 1800.0
"""Longest wait for one answer of the bare client: all requests are sent at once, so that most of it is queueing."""
Calls = Mapping[str, Sequence[tuple[str, bytes]]]
"""For each member: path and body."""


@dataclass(slots=True)
class Stage:
    """What one stage asked of all members together."""

    requests: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(slots=True)
class Measured:
    """Seconds of the pipeline and of the bare client for the same requests, and what they were.

    Attributes:
        sentences: documents, one sentence each.
        failed: those of them that ended without a result.
        hits: share of the prompt tokens of the pipeline's run that the servers' prefix caches held.
    """

    sentences: int
    failed: int
    pipeline_s: float
    bare_s: float
    hits: float
    stages: dict[str, Stage] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The pipeline's throughput as a share of the bare client's."""
        return self.bare_s / self.pipeline_s

    @property
    def requests(self) -> int:
        """Requests of all stages."""
        return sum(stage.requests for stage in self.stages.values())


async def measure(config: Config, documents: Sequence[Document], warm_up: Sequence[Document]) -> Measured:
    """Run the documents through the pipeline, then send its requests again, with a prefix cache of their own."""
    recorders = {m.name: Recording(_member(m, config)) for m in config.members}
    pipeline = pipeline_over(config, dict(recorders))
    try:
        await run_all(pipeline, warm_up)
        for recorder in recorders.values():
            recorder.heard.clear()
        before = await counted(config)
        started = time.perf_counter()
        outcomes = await run_all(pipeline, documents)
        pipeline_s = time.perf_counter() - started
        growth = [now.since(then) for now, then in zip(await counted(config), before, strict=True)]
    finally:
        await pipeline.close()
    bare_s = await flat_out(config, await calls(config, recorders))
    queries, hits = (sum(getattr(g, f"prefix_cache_{name}") for g in growth) for name in ("queries", "hits"))
    failed = sum(outcome.prediction.status == "failed" for outcome in outcomes)
    return Measured(len(documents), failed, pipeline_s, bare_s, hits / max(1, queries), by_stage(recorders))


async def run_all(pipeline: Pipeline, documents: Sequence[Document]) -> list[Outcome]:
    """The outcomes of the documents, as many of them at once as a job has."""
    outcomes: list[Outcome] = []
    await Runner(pipeline, pipeline.config).run(iter(documents), lambda _, outcome: outcomes.append(outcome))
    return outcomes


async def calls(config: Config, recorders: Mapping[str, Recording]) -> Calls:
    """What the pipeline sent to each member. The salt gives the requests prefix caches that hold nothing yet."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for settings in config.members:
        member = _member(settings, config)
        sent = [await member.call(request) for request, _ in recorders[settings.name].heard]
        found[settings.name] = [(path, json.dumps(body | {"cache_salt": "bare"}).encode()) for path, body in sent]
        await member.close()
    return found


def by_stage(recorders: Mapping[str, Recording]) -> dict[str, Stage]:
    """Requests and tokens of all members by stage."""
    stages: dict[str, Stage] = {}
    for recorder in recorders.values():
        for request, answer in recorder.heard:
            stage = stages.setdefault(request.stage, Stage())
            stage.requests += 1
            stage.prompt_tokens += answer.usage.prompt_tokens
            stage.answer_tokens += answer.usage.answer_tokens
    return stages


async def flat_out(config: Config, requests: Calls) -> float:
    """Seconds until all requests, sent at once, are answered.

    Raises:
        MemberError: one was refused; the pipeline's were not.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE_S, limits=limits, trust_env=False) as client:
        started = time.perf_counter()
        keys = {m.name: api_key(m.api_key_env) for m in config.members}
        posts = [
            _post(client, _root(m) + path, keys[m.name], body)
            for m in config.members
            for path, body in requests[m.name]
        ]
        statuses = Counter(await asyncio.gather(*posts))
        seconds = time.perf_counter() - started
    if set(statuses) - {200}:
        raise MemberError("bare client", f"requests were refused: {dict(statuses)}; see the servers' logs")
    return seconds


async def counted(config: Config) -> list[ServerCounts]:
    """The counters of each server, once where members share one."""
    urls = dict.fromkeys(_root(member) for member in config.members)
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
        return [ServerCounts.read((await client.get(url + PATH)).text) for url in urls]


def _member(settings: MemberConfig, config: Config) -> HttpEngine:
    return HttpEngine(settings, allow_hosts=config.allow_hosts)


async def _post(client: httpx.AsyncClient, url: str, key: str | None, body: bytes) -> int:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    return (await client.post(url, content=body, headers=headers)).status_code


def _root(member: MemberConfig) -> str:
    return split_endpoint((member.endpoint or "").rstrip("/"))[0]
