"""What the meter counts, and that its percentiles hold what they promise."""

import asyncio
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.engines.base import Answer, Choice, Message, Request, Usage
from el4ner.engines.meter import BUCKET_RATIO, LONGEST_S, SHORTEST_S, Latencies, Meter, MeteredEngine
from el4ner.engines.metrics import ServerCounts
from el4ner.errors import MemberError

latencies_s = st.lists(st.floats(SHORTEST_S, LONGEST_S), min_size=1, max_size=60)


class Scripted:
    """Answers with what it is given; an exception is raised."""

    name, fingerprint = "m", "f"

    def __init__(self, *results):
        self._results = list(results)

    async def generate(self, request):
        return self._next()

    async def choose(self, request):
        return self._next()

    async def close(self):
        self._results.clear()

    def _next(self):
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def request_of(stage: str) -> Request:
    return Request(stage, (Message("user", "question"),), 8)


def test_requests_tokens_cuts_and_errors_are_counted_per_stage():
    meter = Meter()
    member = MeteredEngine(
        Scripted(
            Answer("a", "stop", Usage(10, 3, 0.5)),
            Answer("b", "length", Usage(20, 8, 1.5)),
            Answer("a", "stop", Usage(10, 3, 0.0, cached=True)),
            MemberError("m", "no"),
            Choice("x", None, Usage(7, 1, 0.25)),
        ),
        meter,
    )

    async def ask() -> None:
        for _ in range(3):
            await member.generate(request_of("extract"))
        with pytest.raises(MemberError):
            await member.generate(request_of("extract"))
        await member.choose(request_of("classify"))

    asyncio.run(ask())
    costs = meter.as_dict()["m"]
    extract = costs["extract"]
    counts = {name: value for name, value in extract.items() if name != "latency_s"}
    assert counts == {"requests": 4, "cached": 1, "cut": 1, "errors": 1, "prompt_tokens": 30, "answer_tokens": 11}
    assert extract["latency_s"]["mean"] == 1.0
    assert extract["latency_s"]["max"] == 1.5
    assert costs["classify"]["requests"] == 1
    assert costs["classify"]["prompt_tokens"] == 7
    assert (costs["all"]["requests"], costs["all"]["errors"], costs["all"]["prompt_tokens"]) == (5, 1, 37)
    assert costs["all"]["latency_s"]["max"] == 1.5 and costs["all"]["server"] is None


def test_what_a_server_counted_stands_beside_its_member():
    meter = Meter()
    meter.count("m", "extract", Usage(10, 2, 0.5))
    meter.record_server_counts("m", ServerCounts(prefix_cache_queries=10, prefix_cache_hits=4))
    assert meter.as_dict()["m"]["all"]["server"]["prefix_cache_hit_rate"] == 0.4


def test_other_exceptions_pass_through_uncounted():
    meter = Meter()
    member = MeteredEngine(Scripted(KeyError("bug")), meter)
    with pytest.raises(KeyError):
        asyncio.run(member.generate(request_of("extract")))
    assert meter.as_dict() == {}


def test_the_account_is_json_also_where_nothing_was_timed():
    meter = Meter()
    meter.count_error("m", "verify")
    assert json.loads(json.dumps(meter.as_dict()))["m"]["verify"]["latency_s"]["p50"] is None


@given(latencies_s, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_within_a_bucket(values: list[float], share: float):
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    found = latencies.percentile(share)
    assert found is not None
    assert exact / (1 + 1e-9) <= found <= exact * BUCKET_RATIO * (1 + 1e-9)


def test_memory_does_not_grow_with_the_number_of_requests():
    latencies = Latencies()
    for i in range(20_000):
        latencies.add((i % 5000) * 1.7)
    assert len(latencies._buckets) < 400
