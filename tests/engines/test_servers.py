"""What a member finds out about its server, whatever it is, and llama.cpp's faults (``test_llamacpp.py`` asks a real one)."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from imitations import Ollama, Other, llamacpp_pages
from scripted_server import ScriptedServer, first_token, page, status

from el4ner.engines.http import HttpEngine
from el4ner.errors import ContextOverflowError, MemberError
from tests.engines.scripted import ASKED, ask, bodies, member


@pytest.mark.parametrize("endpoint", ["{}/v1", "{}/v1/", "{}"])
def test_an_endpoint_may_be_given_with_and_without_v1(endpoint: str):
    with ScriptedServer() as server:
        root = server.endpoint.removesuffix("/v1")
        assert ask(server, ASKED, endpoint=endpoint.format(root))[0].text == "fine"


def test_what_is_there_is_found_out_once_however_many_ask():
    async def many(server: ScriptedServer) -> None:
        asked = member(server)
        await asyncio.gather(*(asked.generate(ASKED) for _ in range(5)))
        await asked.close()

    with ScriptedServer() as server:
        asyncio.run(many(server))
    assert [received.path for received in server.received].count("/v1/models") == 1
    assert len(server.asked) == 5


def test_a_server_that_fails_meanwhile_is_tried_again():
    replies = [status(503), status(503), status(503)]
    with ScriptedServer(first=lambda body: replies.pop() if replies else first_token(body)) as server:

        async def twice() -> str:
            asked = member(server)
            with pytest.raises(MemberError, match="503"):
                await asked.generate(ASKED)
            try:
                return (await asked.generate(ASKED)).text
            finally:
                await asked.close()

        assert asyncio.run(twice()) == "fine"


def test_a_page_for_every_path_is_no_server_of_a_known_kind():
    web = lambda _: replace(page(None), body=b"<html>")  # noqa: E731
    with ScriptedServer(owner="x", pages={"/props": web, "/api/version": web}) as server:
        assert ask(server, ASKED)[0].text == "fine"
    assert bodies(server)[-1].keys() >= {"presence_penalty"} and "repetition_penalty" not in bodies(server)[-1]


@pytest.mark.parametrize("code", [404, 401])
def test_a_server_may_have_no_list_of_models_but_not_refuse_it(code: int):
    with ScriptedServer(owner="x", pages={"/v1/models": lambda _: status(code)}) as server:
        if code == 404:
            assert ask(server, ASKED)[0].text == "fine"
        else:
            with pytest.raises(MemberError, match="401"):
                ask(server, ASKED)


def check(server: ScriptedServer, **values: Any) -> HttpEngine:
    async def once() -> HttpEngine:
        asked = member(server, **values)
        try:
            await asked.check(2.0)
        finally:
            await asked.close()
        return asked

    return asyncio.run(once())


def test_the_fingerprint_tells_kinds_of_servers_apart():
    with ScriptedServer() as vllm, Ollama().server() as ollama, Other().server() as other:
        assert len({check(server).fingerprint for server in (vllm, ollama, other)}) == 3


def test_a_small_context_of_llamacpp_is_said(caplog: pytest.LogCaptureFixture):
    with ScriptedServer(owner="llamacpp", pages=llamacpp_pages(n_ctx=512)) as server:
        assert ask(server, ASKED)[0].text == "fine"
    assert "room for 512 tokens a request" in caplog.text


def test_llamacpp_with_many_models_is_asked_as_any_other():
    pages = {"/props": lambda _: page({"role": "router"})}
    with ScriptedServer(owner="llamacpp", pages=pages) as server:
        assert ask(server, ASKED)[0].text == "fine"


def test_an_answer_that_outlived_its_prompt_is_an_overflow():
    said = {"content": "x", "stop_type": "eos", "truncated": True, "tokens_evaluated": 9, "tokens_predicted": 3}
    pages = {**llamacpp_pages(), "/completion": lambda _: page(said)}
    with ScriptedServer(owner="llamacpp", pages=pages) as server, pytest.raises(ContextOverflowError):
        ask(server, ASKED)
