"""vLLM, scripted: templates of every kind, base models, and the end of a turn; real servers are in tests/vllm."""

import math
from dataclasses import replace
from typing import Any

import pytest
from scripted_server import ScriptedServer, completion, first_token, page, status

from el4ner.prompts.chat import PLAIN_END
from tests.engines.scripted import ASKED, CHOICE, LINES, TEXT, ask, bodies


def no_system(body: Any) -> Any:
    """A template that refuses a system message."""
    return status(400, "System role not supported") if body["messages"][0]["role"] == "system" else first_token(body)


def drops_system(body: Any) -> Any:
    """A template that leaves it out."""
    return first_token({"messages": [m for m in body["messages"] if m["role"] != "system"]})


@pytest.mark.parametrize("first", [no_system, drops_system])
def test_without_a_system_role_its_text_goes_into_the_question(first: Any):
    with ScriptedServer(first=first) as server:
        ask(server, ASKED)
    assert bodies(server)[0]["messages"] == [{"role": "user", "content": f"Find names.\n\n{TEXT}"}]


def no_template(body: Any) -> Any:
    """A base model behind vLLM, asked by chat or plainly."""
    said = "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template"
    return status(400, said) if "messages" in body else plainly("1", "length", tokens=1)


def plainly(text: str, reason: str = "stop", tokens: int = 3, log_probs: Any = None) -> Any:
    usage = {"prompt_tokens": 9, "completion_tokens": tokens}
    return page({"choices": [{"text": text, "finish_reason": reason, "logprobs": log_probs}], "usage": usage})


@pytest.mark.parametrize("template", ["model", "none"])
def test_a_base_model_gets_plain_prompts(template: str, caplog: pytest.LogCaptureFixture):
    with ScriptedServer(lambda body: plainly("Ada" + PLAIN_END), first=no_template) as server:
        (answer,) = ask(server, LINES, chat_template=template)
        ask(server, ASKED, chat_template=template)
    held, free = bodies(server)
    assert answer.text == "Ada"
    assert held["prompt"] == free["prompt"] == f"Find names.\n\n### Input\n{TEXT}\n\n### Output\n"
    assert "\\n\\n" in held["structured_outputs"]["grammar"] and "stop" not in held
    assert free["stop"] == [PLAIN_END] and "structured_outputs" not in free
    assert [received.path for received in server.asked] == ["/v1/completions"] * 2
    assert ("no chat template" in caplog.text) == (template == "model")


def test_a_base_models_choices_have_probabilities():
    tokens = {"tokens": ["pl", "ace", "\n\n"], "token_logprobs": [-0.5, 0.0, 0.0]}
    tokens |= {"top_logprobs": [{"pl": -0.5, "per": -1.5}, {"ace": 0.0}, {"\n\n": 0.0}]}
    with ScriptedServer(lambda body: plainly("place\n\n", log_probs=tokens), first=no_template) as server:
        (choice,) = ask(server, CHOICE, chat_template="none")
    total = math.log(math.exp(-0.5) + math.exp(-1.5))
    assert choice.label == "place"
    assert choice.log_probs == pytest.approx({"person": -1.5 - total, "place": -0.5 - total})
    assert bodies(server)[0]["structured_outputs"] == {"regex": "[ \\n]?(person|place)\\n\\n"}


@pytest.mark.parametrize(
    ("pieces", "known"), [(["[[Ada|", "person]]"], True), (["[[", "\ufffd", "\ufffd|person]]"], False)]
)
def test_marks_have_log_probabilities_where_the_tokens_spell_the_answer(pieces: list[str], known: bool):
    answer = "[[Ada|person]]" if known else "[[é|person]]"
    tokens = [{piece: -0.5} for piece in pieces]
    with ScriptedServer(lambda body: completion(answer, logprobs=tokens)) as server:
        asked = replace(ASKED, copy_of="Ada", copy_types=("person",))
        marked, plain = ask(server, asked, ASKED)
    assert marked.token_log_probs == (((6, -0.5), (8, -0.5)) if known else ())
    assert bodies(server)[0]["logprobs"] is True and "logprobs" not in bodies(server)[1]
    assert plain.text == marked.text == answer


def tokenized(end: str) -> Any:
    """``/tokenize`` of a template in which ``end`` ends a turn."""

    def reply(body: Any) -> Any:
        more = [] if body.get("continue_final_message") else [end, "Ċ"]
        return page({"tokens": list(range(4 + len(more))), "token_strs": ["<s>", "1", "<a>", "7", *more]})

    return reply


@pytest.mark.parametrize(("end", "stops"), [("<end_of_turn>", [4]), ("Ċ", None)])
def test_the_end_of_a_turn_is_asked_for_where_it_is_a_token_of_its_own(end: str, stops: Any):
    with ScriptedServer(pages={"/tokenize": tokenized(end)}) as server:
        ask(server, ASKED)
    assert bodies(server)[0].get("stop_token_ids") == stops
