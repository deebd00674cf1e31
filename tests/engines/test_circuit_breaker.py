"""A member that is down: the job goes on with the rest, or waits, as the quorum says."""

import asyncio
from typing import Any

import pytest
from scripted_server import MODEL, Reply, ScriptedServer, completion, status

from el4ner.config import MemberConfig
from el4ner.engines import endpoint
from el4ner.engines.base import Answer, Message, Request
from el4ner.engines.circuit_breaker import PROBE_INTERVAL_S, CircuitBreaker
from el4ner.engines.http import HttpEngine
from el4ner.errors import MemberError

REQUEST = Request("extract", (Message("user", "x"),), 8)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_may_be_down_as_the_quorum_spares():
    circuit_breaker = CircuitBreaker(dispensable=1)
    assert circuit_breaker.can_do_without("a") and circuit_breaker.can_do_without("b")
    circuit_breaker.record_failure("a")
    assert circuit_breaker.can_do_without("a") and not circuit_breaker.can_do_without("b")
    circuit_breaker.record_success("a")
    assert circuit_breaker.can_do_without("b") and not circuit_breaker.is_down("a")


def test_a_spared_member_is_looked_at_now_and_then():
    clock = Clock()
    circuit_breaker = CircuitBreaker(dispensable=1, clock=clock)
    circuit_breaker.record_failure("a")
    assert circuit_breaker.allows_request("a") and not circuit_breaker.allows_request("a")
    circuit_breaker.record_failure("a")
    assert not circuit_breaker.allows_request("a")
    clock.now += PROBE_INTERVAL_S
    assert circuit_breaker.allows_request("a") and not circuit_breaker.allows_request("a")
    circuit_breaker.record_success("a")
    assert circuit_breaker.allows_request("a") and circuit_breaker.allows_request("a")


def test_patience_ends_for_a_dead_member_and_for_a_hopeless_request():
    clock = Clock()
    circuit_breaker = CircuitBreaker(dispensable=0, patience_s=100, clock=clock)
    circuit_breaker.record_failure("a")
    assert circuit_breaker.allows_request("a")
    assert circuit_breaker.worth_waiting("a", 5.0) and not circuit_breaker.worth_waiting("a", 100.0)
    clock.now += 100
    assert not circuit_breaker.worth_waiting("a", 5.0)


def member(server: ScriptedServer, circuit_breaker: CircuitBreaker) -> HttpEngine:
    values = {
        "name": "m",
        "engine": "http",
        "model": MODEL,
        "endpoint": server.endpoint,
        "retries": 1,
        "timeout_s": 5.0,
    }
    return HttpEngine(MemberConfig.model_validate(values), backoff_s=0.01, circuit_breaker=circuit_breaker)


@pytest.mark.parametrize("code", [500, 503])  # vLLM answers 500 to what was under way when its engine died
def test_requests_wait_for_a_member_that_cannot_be_spared(monkeypatch: pytest.MonkeyPatch, code: int):
    monkeypatch.setattr(endpoint, "WAIT_S", 0.02)

    async def ask(server: ScriptedServer) -> Answer:
        return await member(server, CircuitBreaker(dispensable=0, patience_s=30)).generate(REQUEST)

    with ScriptedServer(lambda body: completion("back"), script=[status(code)] * 7) as server:
        assert asyncio.run(ask(server)).text == "back"
        assert len(server.asked) == 8


def test_a_member_that_can_be_spared_fails_at_once_after_its_first_outage():
    circuit_breaker = CircuitBreaker(dispensable=1, patience_s=3600)

    async def ask(server: ScriptedServer) -> None:
        asked = member(server, circuit_breaker)
        for reason in ("503", "503", "down"):
            with pytest.raises(MemberError, match=reason):
                await asked.generate(REQUEST)

    with ScriptedServer(lambda body: status(503)) as server:
        asyncio.run(asyncio.wait_for(ask(server), 300))
        assert len(server.asked) == 3


@pytest.mark.parametrize("dispensable", [0, 1])
def test_a_document_that_a_server_cannot_bear_takes_no_other_with_it(dispensable: int):
    """It answers HTTP 500 to four requests; the others have their answers, some of them meanwhile, and those four do not wait."""
    circuit_breaker, poisoned = CircuitBreaker(dispensable=dispensable, patience_s=600), range(3, 40, 10)

    def reply(body: dict) -> Reply:
        return status(500) if "poison" in body["messages"][-1]["content"] else completion("ok")

    async def ask(server: ScriptedServer) -> list[Any]:
        asked = member(server, circuit_breaker)
        texts = ["poison" if number in poisoned else f"text {number}" for number in range(150)]
        requests = [Request("extract", (Message("user", text),), 8) for text in texts]
        return await asyncio.gather(*map(asked.generate, requests), return_exceptions=True)

    with ScriptedServer(reply) as server:
        answers = asyncio.run(ask(server))
    assert [isinstance(answer, MemberError) for answer in answers] == [number in poisoned for number in range(150)]


def test_a_refusal_is_no_outage():
    circuit_breaker = CircuitBreaker(dispensable=0, patience_s=30)

    async def ask(server: ScriptedServer) -> None:
        with pytest.raises(MemberError, match="400"):
            await member(server, circuit_breaker).generate(REQUEST)

    with ScriptedServer(lambda body: status(400)) as server:
        asyncio.run(ask(server))
    assert not circuit_breaker.is_down("m")
