"""Unusual templates on real servers: none at all, and one without a system role whose turns end with a sign of its own."""

import pytest
from tiny_models import PAD
from tokenizers import Tokenizer

from el4ner.engines.base import Message, Request
from el4ner.prompts.formats import answer_format
from tests.vllm.box import Box

pytestmark = pytest.mark.vllm
TEXT = "Mira Solberg opened a bakery in Tromso."


@pytest.mark.parametrize("name", ["base", "glm"])
@pytest.mark.parametrize("form", ["lines", "json", "inline"])
def test_answers_are_held_and_end(box: Box, name: str, form: str):
    listed = answer_format(form).list_form(TEXT)
    messages = (Message("system", "Find names."), Message("user", TEXT))
    answer = box.ask(name, Request("extract", messages, 300, copy_of=None if listed else TEXT, list_of=listed))
    assert answer.finish_reason == "stop"
    assert all(mention.surface in TEXT for mention in answer_format(form).read(answer.text, TEXT))


def test_the_end_of_a_turn_is_found_in_the_template_and_the_system_message_moves(box: Box):
    sign = Tokenizer.from_file(str(box.models["glm"] / "tokenizer.json")).token_to_id(PAD)
    sent = box.sent("glm", Request("extract", (Message("system", "Find names."), Message("user", TEXT)), 8))
    assert sent["stop_token_ids"] == [sign]
    assert sent["messages"] == [{"role": "user", "content": f"Find names.\n\n{TEXT}"}]
