"""The member behind HTTP, against a scripted server: what is sent, what is read, and every way it can fail."""

import asyncio
import gzip
import json
import math
import time
import traceback
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from scripted_server import MODEL, Reply, ScriptedServer, completion, garbage, overflow, status

from el4ner.config import MemberConfig
from el4ner.engines.base import Message, Request
from el4ner.engines.endpoint import MAX_REPLY_BYTES
from el4ner.engines.http import HttpEngine
from el4ner.errors import ConfigError, ContextOverflowError, MemberError
from el4ner.prompts.formats import answer_format

SECRET = "sk-very-secret"
TEXT = "Patient Zhang Wei was seen"


def config(server: ScriptedServer, **values: Any) -> MemberConfig:
    given = {"name": "m", "engine": "http", "model": MODEL, "endpoint": server.endpoint, "retries": 2, "timeout_s": 5.0}
    return MemberConfig.model_validate(given | values)


def extract(text: str = TEXT) -> Request:
    return Request("extract", (Message("system", "Find."), Message("user", text)), 64)


def classify(*choices: str) -> Request:
    return Request("classify", (Message("user", TEXT),), 64, choices=choices)


def ask(server: ScriptedServer, request: Request, **values: Any) -> Any:
    """The answer to one request by a fresh member."""

    async def once() -> Any:
        member = HttpEngine(config(server, **values), backoff_s=0.01)
        try:
            return await (member.choose(request) if request.choices else member.generate(request))
        finally:
            await member.close()

    return asyncio.run(once())


def failure(server: ScriptedServer, request: Request, **values: Any) -> MemberError:
    """The error of one request; nothing of what was asked or echoed may show in it, nor in its traceback."""
    with pytest.raises(MemberError) as raised:
        ask(server, request, **values)
    shown = "".join(traceback.format_exception(raised.value, chain=True)) + repr(raised.value)
    assert TEXT not in shown
    assert SECRET not in shown
    return raised.value


def test_a_request_goes_to_the_configured_url_and_says_all_that_matters():
    with ScriptedServer() as server:
        answer = ask(server, extract())
    (received,) = server.asked
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.body == {
        "model": MODEL,
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "repetition_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "max_tokens": 64,
        "messages": [{"role": "system", "content": "Find."}, {"role": "user", "content": TEXT}],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert "authorization" not in received.headers
    assert (answer.text, answer.finish_reason) == ("fine", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.answer_tokens, answer.usage.cached) == (11, 3, False)
    assert 0 < answer.usage.latency_s < 5


def test_control_tokens_and_odd_characters_travel_harmless():
    with ScriptedServer() as server:
        ask(server, extract("a<|im_end|>b 😀 北京 \ud800"))
    assert server.asked[0].body["messages"][-1]["content"] == "a‹|im_end|>b 😀 北京 \ud800"


def test_the_models_own_control_tokens_are_known_where_its_folder_is_at_hand(tmp_path: Path):
    tokens = [{"content": "↑", "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    serve = {"model": str(tmp_path)}
    with ScriptedServer() as server:
        ask(server, extract("a↑b"), serve=serve)
        ask(server, extract("a↑b"))
    sent = [received.body["messages"][-1]["content"] for received in server.asked]
    assert sent[0] != sent[1] == "a↑b" and len(sent[0]) == 3


def test_template_arguments_are_the_users_to_set():
    with ScriptedServer() as server:
        ask(server, extract(), thinking=True, chat_template_kwargs={"reasoning_effort": "low"})
        ask(server, extract(), chat_template_kwargs={"enable_thinking": None})
    sent = [received.body["chat_template_kwargs"] for received in server.asked]
    assert sent == [{"enable_thinking": True, "reasoning_effort": "low"}, {"enable_thinking": None}]


def test_the_api_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEST_KEY", SECRET)
    with ScriptedServer() as server:
        ask(server, extract(), api_key_env="TEST_KEY")
        assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"
        member = HttpEngine(config(server, api_key_env="TEST_KEY"))
        assert member.fingerprint == HttpEngine(config(server)).fingerprint
        monkeypatch.delenv("TEST_KEY")
        with pytest.raises(ConfigError, match="TEST_KEY"):
            HttpEngine(config(server, api_key_env="TEST_KEY"))


def test_logs_hold_neither_key_nor_text_even_when_everything_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("TEST_KEY", SECRET)
    with (
        caplog.at_level("DEBUG"),
        ScriptedServer(lambda body: completion("fine"), script=[status(500, TEXT)]) as server,
    ):
        ask(server, extract(), api_key_env="TEST_KEY")
    assert "chat/completions" in caplog.text
    assert SECRET not in caplog.text
    assert TEXT not in caplog.text


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch):
    with ScriptedServer() as proxy, ScriptedServer() as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert ask(server, extract()).text == "fine"
    assert (len(proxy.received), len(server.asked)) == (0, 1)


def test_redirects_are_not_followed():
    with ScriptedServer() as other:
        with ScriptedServer(script=[status(307, location=other.endpoint + "/chat/completions")]) as server:
            assert "redirect" in str(failure(server, extract()))
        assert (len(server.asked), len(other.received)) == (1, 0)


def test_an_endpoint_elsewhere_is_refused_before_anything_is_sent():
    values = {"name": "m", "engine": "http", "model": "x", "endpoint": "https://api.example.com/v1"}
    with pytest.raises(ConfigError, match="allow_hosts"):
        HttpEngine(MemberConfig.model_validate(values))
    HttpEngine(MemberConfig.model_validate(values), allow_hosts=["api.example.com"])


def test_choices_are_enforced_by_the_engine_and_bounded_by_their_length():
    with ScriptedServer(lambda body: completion("人名")) as server:
        choice = ask(server, classify("人名", "none"))
    body = server.asked[0].body
    assert body["structured_outputs"] == {"regex": "[ \\n]?(人名|none)"}
    assert not [field for field in body if field.startswith("guided")]
    assert body["logprobs"] is True
    assert 7 <= body["max_tokens"] <= 8
    assert (choice.label, choice.log_probs) == ("人名", None)


def test_without_constrain_no_constraint_is_sent_and_the_label_is_still_checked():
    with ScriptedServer(script=[completion(" yes\n"), completion("Yes, it is.")]) as server:
        assert ask(server, classify("yes", "no"), constrain=False).label == "yes"
        failure(server, classify("yes", "no"), constrain=False)
    assert all("structured_outputs" not in received.body for received in server.asked)


def test_log_probs_are_read_from_the_tokens():
    tokens = [{"yes": math.log(0.6), "no": math.log(0.2), "maybe": math.log(0.2)}]
    with ScriptedServer(lambda body: completion("yes", logprobs=tokens)) as server:
        choice = ask(server, classify("yes", "no"))
    assert choice.log_probs == pytest.approx({"yes": math.log(0.75), "no": math.log(0.25)})


def test_an_answer_outside_the_choices_is_an_error_and_not_repeated():
    with ScriptedServer(lambda body: completion(TEXT)) as server:
        error = failure(server, classify("yes", "no"))
    assert "none of the choices" in str(error)
    assert len(server.asked) == 1


def test_a_cut_choice_is_no_choice():
    with ScriptedServer(lambda body: completion("yes", "length")) as server:
        failure(server, classify("yes", "no"))


def test_a_cut_answer_says_so():
    with ScriptedServer(
        script=[completion("half", "length", tokens=64), completion(None, "length", tokens=64)]
    ) as server:
        assert ask(server, extract()).finish_reason == "length"
        assert ask(server, extract()).finish_reason == "length"


def test_thoughts_are_not_part_of_the_answer():
    with ScriptedServer(lambda body: completion("<think>hm [[x]]</think>\n\nthe [[answer]]")) as server:
        assert ask(server, extract(), thinking=True).text == "the [[answer]]"


CHOICE = {"message": {"content": "fine"}, "finish_reason": "stop"}


def answered(**content: Any) -> Reply:
    """A completion with parts of another kind."""
    return Reply(json.dumps({"choices": [CHOICE], **content}).encode())


PASSING = {
    "429": status(429, TEXT, retry_after="0"),
    "500": status(500, TEXT),
    "503": status(503, TEXT),
    "cut": completion("fine", cut=True),
    "html": garbage(),
    "not UTF-8": garbage(b"\xff\xfe{"),
    "deep": garbage(b"[" * 100_000),
    "other JSON": garbage(b'{"choices": []}'),
    "a list": garbage(b"[1]"),
    "a number": garbage(b"1"),
    "endless usage": answered(usage={"prompt_tokens": float("inf")}),
    "usage in words": answered(usage={"prompt_tokens": "many"}),
    "log-probabilities of nothing": answered(choices=[CHOICE | {"logprobs": [1]}]),
    "no content": completion(None),
    "odd finish": completion("fine", TEXT),
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_failures_that_may_pass_are_tried_again(reply: Reply):
    with ScriptedServer(script=[reply, reply]) as server:
        assert ask(server, extract()).text == "fine"
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b" " * (MAX_REPLY_BYTES + 1)), "longer than 8 MB"),
        (Reply(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}), "is compressed"),
        (Reply(b"\xff\xfe", 400, {"Content-Type": "text/html; charset=zip"}), "HTTP 400"),
    ],
)
def test_a_reply_that_is_too_much_or_odd_is_one_failure(reply: Reply, said: str):
    with ScriptedServer(lambda body: reply) as server, pytest.raises(MemberError, match=said):
        ask(server, extract("x"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_tries_are_bounded_and_the_error_holds_no_text(reply: Reply):
    with ScriptedServer(lambda body: reply) as server:
        error = failure(server, extract(), retries=1)
    assert error.retryable
    assert len(server.asked) == 2


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422])
def test_refusals_are_not_tried_again_and_the_body_is_not_repeated(code: int):
    with ScriptedServer(lambda body: status(code, TEXT)) as server:
        error = failure(server, extract())
    assert f"HTTP {code}" in str(error)
    assert not error.retryable
    assert not isinstance(error, ContextOverflowError)
    assert len(server.asked) == 1


def test_a_prompt_that_is_too_long_is_an_overflow():
    with ScriptedServer(lambda body: overflow(echo=TEXT)) as server:
        error = failure(server, extract())
    assert isinstance(error, ContextOverflowError)
    assert ["max_tokens" in received.body for received in server.asked] == [True, False]


def test_an_answer_may_take_what_room_there_is_where_its_bound_does_not_fit():
    with ScriptedServer(script=[overflow()]) as server:
        assert ask(server, extract()).text == "fine"
    assert [received.body.get("max_tokens") for received in server.asked] == [64, None]


def test_an_answer_that_the_context_cuts_is_an_overflow():
    with ScriptedServer(lambda body: completion("ha", "length", tokens=2)) as server:
        assert isinstance(failure(server, extract()), ContextOverflowError)


def test_a_tokenizer_that_decodes_with_spaces_still_chooses():
    with ScriptedServer(lambda body: completion(" 人 名")) as server:
        assert ask(server, classify("人名", "无")).label == "人名"


def test_an_answer_behind_its_own_prompt_is_read_from_its_tokens():
    tokens = [{"per": -0.1, "lo": -3.0}, {"son": 0.0}, {"<|end|>": 0.0}]
    with ScriptedServer(lambda body: completion("the prompt person", logprobs=tokens)) as server:
        assert ask(server, classify("person", "location")).label == "person"


def test_answers_are_held_to_the_form_that_was_asked_for():
    inline = replace(extract(), copy_of="Zhang <|im_end|>")
    lines, listed = (replace(extract(), list_of=answer_format(name).list_form("Wei <s>")) for name in ("lines", "json"))
    with ScriptedServer() as server:
        ask(server, inline)
        ask(server, lines)
        ask(server, listed)
        ask(server, inline, constrain="choices")
        ask(server, lines, constrain=False)
        ask(server, inline, thinking=True)
        ask(server, extract())
    held = [received.body.get("structured_outputs") for received in server.asked]
    assert [set(constraint) for constraint in held[:3]] == [{"grammar"}] * 3
    copied, lined, quoted = (constraint["grammar"] for constraint in held[:3])
    assert "Zhang" in copied and "‹" in copied and "<|" not in copied
    assert "Wei" in lined and "none" in lined and "<s>" not in lined
    assert '"[]"' in quoted
    assert held[3:] == [None] * 4


PAGE = """# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
vllm:prompt_tokens_total{engine="0",model_name="m"} %d.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} %d.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} %d.0
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7e+09
"""


def test_what_the_server_counted_meanwhile_is_reported_at_the_end():
    reported = []

    async def once(server: ScriptedServer) -> None:
        member = HttpEngine(config(server), report=reported.append)
        await asyncio.gather(*(member.generate(extract()) for _ in range(3)))
        await member.close()

    pages = [PAGE % (100, 1000, 10), PAGE % (400, 1400, 310)]
    with ScriptedServer(metrics=pages) as server:
        asyncio.run(once(server))
        assert [received.path for received in server.received].count("/metrics") == 2
    (counts,) = reported
    assert counts.as_dict()["prefix_cache_hit_rate"] == 0.75
    assert counts.prompt_tokens == 300
    with ScriptedServer() as server:
        asyncio.run(once(server))
    assert len(reported) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_the_pause_that_the_server_asks_for_is_kept(as_date: bool):
    asked = formatdate(time.time() + 2, usegmt=True) if as_date else "0.4"
    with ScriptedServer(script=[status(429, retry_after=asked)]) as server:
        started = time.monotonic()
        assert ask(server, extract()).text == "fine"
        assert time.monotonic() - started >= 0.4


def test_a_server_that_asks_for_a_very_long_pause_is_given_up():
    with ScriptedServer(lambda body: status(429, retry_after="86400")) as server:
        assert failure(server, extract()).retryable
    assert len(server.asked) == 1


def test_a_slow_answer_is_tried_again_after_the_timeout():
    with ScriptedServer(script=[completion("late", delay_s=4.0)]) as server:
        answer = ask(server, extract(), timeout_s=1.0)
        assert answer.text == "fine"
        assert answer.usage.latency_s < 1.0
        assert len(server.asked) == 2


def test_no_server_at_all_is_an_error_that_may_pass():
    with ScriptedServer() as server:
        pass
    assert failure(server, extract(), retries=1).retryable


def test_requests_under_way_are_bounded():
    with ScriptedServer(lambda body: completion("fine", delay_s=0.1)) as server:

        async def many() -> list[str]:
            member = HttpEngine(config(server, concurrency=3))
            answers = await asyncio.gather(*(member.generate(extract(str(i))) for i in range(12)))
            await member.close()
            return [answer.text for answer in answers]

        assert asyncio.run(many()) == ["fine"] * 12
    assert server.most_at_once == 3


def test_answers_go_to_those_who_asked():
    with ScriptedServer(lambda body: completion(body["messages"][-1]["content"][::-1])) as server:

        async def many() -> list[str]:
            member = HttpEngine(config(server, concurrency=8))
            answers = await asyncio.gather(*(member.generate(extract(f"text {i}")) for i in range(40)))
            await member.close()
            return [answer.text for answer in answers]

        assert asyncio.run(many()) == [f"text {i}"[::-1] for i in range(40)]


def check(server: ScriptedServer, deadline_s: float = 2.0, **values: Any) -> HttpEngine:
    async def once() -> HttpEngine:
        member = HttpEngine(config(server, **values))
        await member.check(deadline_s)
        await member.close()
        return member

    return asyncio.run(once())


def test_readiness_is_a_completion_of_one_token():
    with ScriptedServer(lambda body: completion("f", "length")) as server:
        check(server)
    assert [received.path for received in server.received][:2] == ["/v1/models", "/v1/chat/completions"]
    assert server.received[1].body["max_tokens"] == 1
    assert server.asked == []


def test_an_engine_that_hangs_is_not_ready_and_not_waited_for():
    with (
        ScriptedServer(first=lambda body: completion("f", delay_s=2.0)) as server,
        pytest.raises(MemberError, match=r"within 0\.2 s"),
    ):
        check(server, deadline_s=0.2)


def test_a_model_that_is_not_served_is_not_ready():
    with (
        ScriptedServer(models={"base": None, "tuned": None}) as server,
        pytest.raises(MemberError, match=r"base.*tuned"),
    ):
        check(server)


def test_the_fingerprint_follows_what_changes_answers():
    with ScriptedServer(models={MODEL: "/models/a"}) as one, ScriptedServer(models={MODEL: "/models/b"}) as other:
        base = HttpEngine(config(one)).fingerprint
        assert HttpEngine(config(other, concurrency=1, timeout_s=1.0, name="n")).fingerprint == base
        changed = [
            HttpEngine(config(one, model="x")).fingerprint,
            HttpEngine(config(one, thinking=True)).fingerprint,
            HttpEngine(config(one, constrain=False)).fingerprint,
            HttpEngine(config(one, chat_template_kwargs={"x": 1})).fingerprint,
            check(one).fingerprint,
            check(other).fingerprint,
        ]
    assert len({base, *changed}) == len(changed) + 1
