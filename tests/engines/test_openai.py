"""An OpenAI-compatible server of unknown kind, as an imitation plays it: standard fields, and what it is found to take."""

from typing import Any

import pytest
from imitations import Other
from scripted_server import ScriptedServer, completion

from el4ner.errors import ContextOverflowError, MemberError
from tests.engines.scripted import ASKED, CHOICE, JSON, ask, bodies, long


def test_another_server_gets_standard_fields_alone():
    with Other(takes_arguments=False, supports_json_schema=None, most_log_probs=0).server() as server:
        ask(server, ASKED)
    known = {"model", "messages", "temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens"}
    assert set(bodies(server)[-1]) == known


def test_another_server_that_can_holds_json_and_choices():
    with Other(lambda body: "in a place", most_log_probs=5).server() as server:
        listed, choice = ask(server, JSON, CHOICE)
    asked_list, asked_freely, asked_again = bodies(server)[-3:]
    assert listed.text == '["in a place"]'
    assert asked_list["response_format"]["json_schema"]["schema"]["type"] == "array"
    assert asked_list["chat_template_kwargs"] == {"enable_thinking": False}
    assert "response_format" not in asked_freely and asked_freely["top_logprobs"] == 5
    assert asked_again["response_format"]["json_schema"]["schema"]["enum"] == ["person", "place"]
    assert (choice.label, choice.log_probs) == ("place", None)


@pytest.mark.parametrize("supports_json_schema", [None, False])
@pytest.mark.parametrize("written", ["place", " Place.", '"place"', "place\nbecause it is one"])
def test_a_choice_that_nothing_holds_is_read_from_its_line(
    supports_json_schema: bool | None, written: str, caplog: pytest.LogCaptureFixture
):
    with Other(lambda body: written, supports_json_schema=supports_json_schema, most_log_probs=0).server() as server:
        (choice,) = ask(server, CHOICE)
    assert choice.label == "place"
    assert "response_format" not in bodies(server)[-1] and bodies(server)[-1]["stop"] == ["\n"]
    assert "cannot hold copies of the text and closed choices" in caplog.text
    assert "gives no log-probabilities" in caplog.text


def test_a_choice_that_is_none_of_them_is_an_error():
    with (
        Other(lambda body: "somewhere", supports_json_schema=False).server() as server,
        pytest.raises(MemberError, match="none of the"),
    ):
        ask(server, CHOICE)


def test_a_prompt_that_another_server_cut_is_an_overflow():
    with Other(cut_at=100).server() as server, pytest.raises(ContextOverflowError, match="cut the prompt"):
        ask(server, long(200))


def test_a_server_that_counts_nothing_is_believed():
    def silent(body: Any) -> Any:
        return completion("fine", "length" if body.get("max_tokens") == 1 else "stop", tokens=0, prompt_tokens=0)

    with ScriptedServer(silent, owner="x", first=silent) as server:
        assert ask(server, ASKED)[0].text == "fine"
    assert bodies(server)[-1]["messages"][0]["role"] == "system"
