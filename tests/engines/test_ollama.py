"""Ollama, as an imitation plays it (``imitations.py``): what is sent, what is read, and that no prompt is cut unseen."""

import asyncio
import logging
import math
from dataclasses import replace
from typing import Any

import pytest
from imitations import Ollama
from scripted_server import page

from el4ner.errors import ContextOverflowError, MemberError
from tests.engines.scripted import ASKED, CHOICE, JSON, LINES, TEXT, ask, bodies, long, member


def test_ollama_is_told_its_context_and_cuts_nothing():
    with Ollama().server() as server:
        ask(server, ASKED)
    body = bodies(server)[-1]
    assert server.asked[-1].path == "/api/chat"
    assert (body["truncate"], body["shift"], body["think"], body["stream"]) == (False, False, False, False)
    assert body["options"]["num_ctx"] == 8192 and body["options"]["num_predict"] == 64
    assert (body["options"]["temperature"], body["options"]["repeat_penalty"]) == (0, 1)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("parameters", "trained", "context"),
    [
        ("", 40_960, 8192),
        ("", 2048, 2048),
        ('num_ctx   16384\nstop "x"', 40_960, 16_384),
        ("num_ctx 16384", 4096, 4096),
    ],
)
def test_the_context_is_the_modelfiles_or_ours_and_never_above_the_models(parameters: str, trained: int, context: int):
    with Ollama(parameters=parameters, context=trained).server() as server:
        ask(server, ASKED)
    assert {body["options"]["num_ctx"] for body in bodies(server)} == {context}


def test_lists_end_at_a_blank_line_and_where_the_modelfile_says():
    with Ollama(lambda body: "Ada\nKarl\n\nNote: ...", parameters='stop    "<|eot|>"').server() as server:
        (answer,) = ask(server, LINES)
    assert answer.text == "Ada\nKarl"
    assert bodies(server)[-1]["options"]["stop"] == ["<|eot|>", "\n\n"]


def test_ollama_holds_json_lists():
    with Ollama(lambda body: '["Ada"]').server() as server:
        (answer,) = ask(server, JSON)
    assert answer.text == '["Ada"]' and bodies(server)[-1]["format"]["type"] == "array"


@pytest.mark.parametrize("written", ["place", "The type is place."])
def test_a_choice_is_asked_for_freely_and_read_from_what_might_stand_there(written: str):
    with Ollama(lambda body: written, alternatives={"person": -2.0, "place": -1.0, "Well": -3.0}).server() as server:
        (choice,) = ask(server, CHOICE)
    chances = {"person": math.exp(-2.0), "place": math.exp(-0.5 if written == "place" else -1.0)}
    assert choice.label == "place"
    assert choice.log_probs == pytest.approx({c: math.log(p / sum(chances.values())) for c, p in chances.items()})
    assert "format" not in bodies(server)[-1] and bodies(server)[-1]["top_logprobs"] == 20


def test_what_is_none_of_the_choices_is_asked_again_and_held_to_them():
    with Ollama(lambda body: "地名" if "format" in body else "a town").server() as server:
        (choice,) = ask(server, replace(CHOICE, choices=("人名", "地名")))
        with pytest.raises(MemberError, match="none of the choices"):
            ask(server, CHOICE, constrain=False)
    assert (choice.label, choice.log_probs) == ("地名", None)
    assert [body["format"]["enum"] for body in bodies(server) if "format" in body] == [["人名", "地名"]]


def test_without_log_probs_a_vote_is_whole(caplog: pytest.LogCaptureFixture):
    with Ollama(lambda body: "place", log_probs=False).server() as server:
        (choice,) = ask(server, CHOICE)
    assert (choice.label, choice.log_probs) == ("place", None)
    assert "gives no log-probabilities" in caplog.text


def test_a_prompt_too_long_for_ollama_is_an_overflow():
    with Ollama().server() as server, pytest.raises(ContextOverflowError, match="do not fit"):
        ask(server, long(9000))


@pytest.mark.parametrize("version", ["0.5.1", "0.0.0", "0.13.0"])
def test_an_ollama_that_cuts_prompts_gets_none_that_may_not_fit(version: str, caplog: pytest.LogCaptureFixture):
    """Old versions are not even tried; what a newer one does counts, not what it says."""
    with Ollama(version=version, cuts=True).server() as server:
        assert ask(server, ASKED)[0].text == "fine"
        with pytest.raises(ContextOverflowError, match="would cut it"):
            ask(server, long(2000))
    assert max(len(body["messages"][-1]["content"]) for body in bodies(server)) < 100
    assert "cuts long prompts without a word" in caplog.text


def test_an_ollama_that_takes_too_long_over_a_long_prompt_counts_as_one_that_cuts():
    ollama = Ollama(cuts=True)
    slow = lambda body: replace(ollama.chat(body), delay_s=3.0 if len(str(body)) > 9000 else 0.0)  # noqa: E731
    with ollama.server() as server:
        server._first = slow
        assert ask(server, ASKED, timeout_s=1.0)[0].text == "fine"
        with pytest.raises(ContextOverflowError, match="would cut it"):
            ask(server, long(2000), timeout_s=1.0)


def test_a_model_of_ollama_without_a_system_role():
    with Ollama(has_system=False).server() as server:
        ask(server, ASKED)
    assert bodies(server)[-1]["messages"] == [{"role": "user", "content": f"Find names.\n\n{TEXT}"}]


def test_ollama_writes_prompts_itself():
    with Ollama().server() as server, pytest.raises(MemberError, match="chat_template"):
        ask(server, ASKED, chat_template="none")


@pytest.mark.parametrize(
    ("answer_format", "constrain", "said"),
    [
        ("lines", True, "lists to the text"),
        ("inline", True, "copies of the text"),
        ("lines", "choices", None),
        ("json", False, None),
    ],
)
def test_what_ollama_cannot_hold_is_said_once(
    answer_format: str, constrain: Any, said: str | None, caplog: pytest.LogCaptureFixture
):
    with Ollama().server() as server, caplog.at_level(logging.WARNING):
        for _ in range(2):
            ask(server, ASKED, answer_format=answer_format, constrain=constrain)
    lines = [record.getMessage() for record in caplog.records if record.name == "el4ner.engines.http"]
    wanted = [] if said is None else [f"member m: Ollama cannot hold {said}; answers are read as they come"]
    assert lines == wanted


def test_what_is_no_answer_of_ollamas_is_tried_again():
    garbled = [page({"message": {"content": "x"}, "done": False}), page({"done": True}), page([1])]
    ollama = Ollama()
    server = ollama.server()
    with server:
        asked = member(server, retries=3)

        async def go() -> str:
            await asked.generate(ASKED)
            server._script = garbled
            try:
                return (await asked.generate(ASKED)).text
            finally:
                await asked.close()

        assert asyncio.run(go()) == "fine"
