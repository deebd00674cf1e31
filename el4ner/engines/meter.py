"""What each member cost: requests, tokens, errors and latencies per stage, in memory that does not grow."""

import math
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from el4ner.engines.base import Answer, Choice, Engine, Request, Usage
from el4ner.engines.metrics import ServerCounts
from el4ner.errors import MemberError

ResultT = TypeVar("ResultT", Answer, Choice)

ALL = "all"
"""Beside a member's stages: the stages taken together, and what its server counted."""
SHORTEST_S, LONGEST_S = 1e-4, 3600.0
BUCKET_RATIO = 1.05
"""Latencies are counted in buckets whose bounds grow by this factor: percentiles are right to within 5 %."""
_LAST_BUCKET = math.ceil(math.log(LONGEST_S / SHORTEST_S, BUCKET_RATIO))


class Latencies:
    """A histogram of latencies in seconds, with at most a few hundred buckets."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._total_s = 0.0
        self._longest_s = 0.0

    def add(self, latency_s: float) -> None:
        """Count one latency."""
        bucket = math.ceil(math.log(max(latency_s, SHORTEST_S) / SHORTEST_S, BUCKET_RATIO))
        self._buckets[min(bucket, _LAST_BUCKET)] += 1
        self._total_s += latency_s
        self._longest_s = max(self._longest_s, latency_s)

    def merge(self, other: "Latencies") -> None:
        """Count all that another histogram has counted."""
        self._buckets.update(other._buckets)
        self._total_s += other._total_s
        self._longest_s = max(self._longest_s, other._longest_s)

    def percentile(self, share: float) -> float | None:
        """The latency in seconds that ``share`` (0 to 1) of the requests did not exceed; None if there were none."""
        wanted, seen = share * self._buckets.total(), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(SHORTEST_S * BUCKET_RATIO**bucket, self._longest_s)
        return None

    def as_dict(self) -> dict[str, float | None]:
        """Mean, percentiles 50, 90 and 99, and maximum, in seconds rounded to 0.1 ms; None where nothing was timed."""
        count = self._buckets.total()
        if not count:
            return dict.fromkeys(("mean", "p50", "p90", "p99", "max"))
        values = {
            "mean": self._total_s / count,
            "p50": self.percentile(0.5),
            "p90": self.percentile(0.9),
            "p99": self.percentile(0.99),
            "max": self._longest_s,
        }
        return {name: None if value is None else round(value, 4) for name, value in values.items()}


@dataclass(slots=True)
class StageCost:
    """What one member cost in one stage.

    Attributes:
        requests: requests made of the member, the cached and the failed ones included.
        cached: requests that the cache, or an identical request under way, answered.
        cut: answers that ended at ``max_tokens``.
        errors: requests that ended in an error.
        prompt_tokens: tokens read by the engine; cached requests cost none.
        answer_tokens: tokens written by the engine; cached requests cost none.
        latencies: of the requests that the engine answered.
    """

    requests: int = 0
    cached: int = 0
    cut: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, other: "StageCost") -> None:
        """Add the cost of another stage."""
        for name in ("requests", "cached", "cut", "errors", "prompt_tokens", "answer_tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latencies.merge(other.latencies)

    def as_dict(self) -> dict[str, Any]:
        """The counts, and ``latency_s`` with its percentiles."""
        return {
            "requests": self.requests,
            "cached": self.cached,
            "cut": self.cut,
            "errors": self.errors,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "latency_s": self.latencies.as_dict(),
        }


class Meter:
    """Costs per member and stage. One meter serves all members of a run; it belongs to one event loop."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, str], StageCost] = {}
        self._servers: dict[str, ServerCounts] = {}

    def count(self, member: str, stage: str, usage: Usage, *, cut: bool = False) -> None:
        """Count an answered request; ``cut``: its answer ended at ``max_tokens``."""
        cost = self._cost(member, stage)
        cost.requests += 1
        cost.cut += cut
        if usage.cached:
            cost.cached += 1
            return
        cost.prompt_tokens += usage.prompt_tokens
        cost.answer_tokens += usage.answer_tokens
        cost.latencies.add(usage.latency_s)

    def count_error(self, member: str, stage: str) -> None:
        """Count a request that ended in an error."""
        cost = self._cost(member, stage)
        cost.requests += 1
        cost.errors += 1

    def record_server_counts(self, member: str, counts: ServerCounts) -> None:
        """Keep what the member's server counted during the run."""
        self._servers[member] = counts

    def as_dict(self) -> dict[str, dict[str, dict[str, Any]]]:
        """``{member: {stage: costs}}``, ready for JSON; in the order of the first requests.

        The pseudo-stage ``ALL`` sums up the others; its ``server`` is what the member's server counted, null if unknown.
        A server counts for everybody who asks it: for members that share it, and for other jobs at the same time.
        """
        result: dict[str, dict[str, dict[str, Any]]] = {}
        sums: dict[str, StageCost] = {}
        for (member, stage), cost in self._costs.items():
            result.setdefault(member, {})[stage] = cost.as_dict()
            sums.setdefault(member, StageCost()).add(cost)
        for member, total in sums.items():
            counts = self._servers.get(member)
            result[member][ALL] = {**total.as_dict(), "server": None if counts is None else counts.as_dict()}
        return result

    def _cost(self, member: str, stage: str) -> StageCost:
        return self._costs.setdefault((member, stage), StageCost())


class MeteredEngine:
    """An engine whose requests are counted; put it outside the cache, so that cached answers are counted as such."""

    def __init__(self, engine: Engine, meter: Meter) -> None:
        self.name = engine.name
        self.fingerprint = engine.fingerprint
        self._engine = engine
        self._meter = meter

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, counted."""
        return await self._counted(self._engine.generate(request), request.stage)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, counted."""
        return await self._counted(self._engine.choose(request), request.stage)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    async def _counted(self, asked: Awaitable[ResultT], stage: str) -> ResultT:
        try:
            result = await asked
        except MemberError:
            self._meter.count_error(self.name, stage)
            raise
        cut = isinstance(result, Answer) and result.finish_reason == "length"
        self._meter.count(self.name, stage, result.usage, cut=cut)
        return result
