"""A member that is down: the job goes on with the rest, or waits, as the quorum says."""

import asyncio
import time
from typing import Any

import pytest
from scripted_server import MODEL, Reply, ScriptedServer, completion, status

from el4ner.config import MemberConfig
from el4ner.errors import MemberError
from el4ner.members import endpoint
from el4ner.members.base import Answer, Message, Request
from el4ner.members.http import HttpMember
from el4ner.members.outages import LOOK_S, Outages

REQUEST = Request("extract", (Message("user", "x"),), 8)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_may_be_down_as_the_quorum_spares():
    outages = Outages(spare=1)
    assert outages.can_spare("a") and outages.can_spare("b")
    outages.failed("a")
    assert outages.can_spare("a") and not outages.can_spare("b")
    outages.answered("a")
    assert outages.can_spare("b") and not outages.is_down("a")


def test_a_spared_member_is_looked_at_now_and_then():
    clock = Clock()
    outages = Outages(spare=1, clock=clock)
    outages.failed("a")
    assert outages.may_try("a") and not outages.may_try("a")
    outages.failed("a")
    assert not outages.may_try("a")
    clock.now += LOOK_S
    assert outages.may_try("a") and not outages.may_try("a")
    outages.answered("a")
    assert outages.may_try("a") and outages.may_try("a")


def test_patience_ends_for_a_dead_member_and_for_a_hopeless_request():
    clock = Clock()
    outages = Outages(spare=0, patience_s=100, clock=clock)
    outages.failed("a")
    assert outages.may_try("a")
    assert outages.worth_waiting("a", 5.0) and not outages.worth_waiting("a", 100.0)
    clock.now += 100
    assert not outages.worth_waiting("a", 5.0)


def member(server: ScriptedServer, outages: Outages) -> HttpMember:
    values = {
        "name": "m",
        "engine": "http",
        "model": MODEL,
        "endpoint": server.endpoint,
        "retries": 1,
        "timeout_s": 5.0,
    }
    return HttpMember(MemberConfig.model_validate(values), backoff_s=0.01, outages=outages)


@pytest.mark.parametrize("code", [500, 503])  # vLLM answers 500 to what was under way when its engine died
def test_requests_wait_for_a_member_that_cannot_be_spared(monkeypatch: pytest.MonkeyPatch, code: int):
    monkeypatch.setattr(endpoint, "WAIT_S", 0.02)

    async def ask(server: ScriptedServer) -> Answer:
        return await member(server, Outages(spare=0, patience_s=30)).generate(REQUEST)

    with ScriptedServer(lambda body: completion("back"), script=[status(code)] * 7) as server:
        assert asyncio.run(ask(server)).text == "back"
        assert len(server.asked) == 8


def test_a_member_that_can_be_spared_fails_at_once_after_its_first_outage():
    outages = Outages(spare=1, patience_s=30)

    async def ask(server: ScriptedServer) -> None:
        asked = member(server, outages)
        for reason in ("503", "503", "down"):
            with pytest.raises(MemberError, match=reason):
                await asked.generate(REQUEST)

    with ScriptedServer(lambda body: status(503)) as server:
        started = time.monotonic()
        asyncio.run(ask(server))
        assert len(server.asked) == 3
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("spare", [0, 1])
def test_a_document_that_a_server_cannot_bear_takes_no_other_with_it(spare: int):
    """It answers HTTP 500 to one request in ten; the nine others have their answers, and that one does not wait."""
    outages = Outages(spare=spare, patience_s=600)

    def reply(body: dict) -> Reply:
        return status(500) if "poison" in body["messages"][-1]["content"] else completion("ok")

    async def ask(server: ScriptedServer) -> list[Any]:
        asked = member(server, outages)
        texts = ["poison" if number % 10 == 3 else f"text {number}" for number in range(40)]
        requests = [Request("extract", (Message("user", text),), 8) for text in texts]
        return await asyncio.gather(*map(asked.generate, requests), return_exceptions=True)

    with ScriptedServer(reply) as server:
        answers = asyncio.run(ask(server))
    assert [isinstance(answer, MemberError) for answer in answers] == [number % 10 == 3 for number in range(40)]


def test_a_refusal_is_no_outage():
    outages = Outages(spare=0, patience_s=30)

    async def ask(server: ScriptedServer) -> None:
        with pytest.raises(MemberError, match="400"):
            await member(server, outages).generate(REQUEST)

    with ScriptedServer(lambda body: status(400)) as server:
        asyncio.run(ask(server))
    assert not outages.is_down("m")
