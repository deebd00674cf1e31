"""Conversations as token ids, with the loss on the answers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from el4ner.errors import ModelError
from el4ner.members.engine import special_tokens
from el4ner.members.neutralise import neutralise
from el4ner.prompts.messages import Message

IGNORE = -100
"""Label of tokens that no loss falls on."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and its labels: the id where a loss falls on it, else ``IGNORE``."""

    ids: list[int]
    labels: list[int]


def encode(tokenizer: Any, messages: Sequence[Message], template_arguments: dict[str, Any] | None = None) -> Encoded:
    """The conversation as its model's chat template writes it; every assistant turn, with its end sign, bears loss.

    Each answer is tokenised apart from what stands before it, exactly as at inference, where the prompt is tokenised alone;
    control tokens in the texts are made harmless as there.

    Raises:
        ModelError: the template rewrites earlier turns, so that answers in mid-conversation cannot be told from prompts.
    """
    specials = special_tokens(tokenizer)
    turns = [{"role": message.role, "content": neutralise(message.content, specials)} for message in messages]
    arguments = template_arguments or {}

    def write(upto: int, prompt: bool) -> str:
        return str(
            tokenizer.apply_chat_template(turns[:upto], tokenize=False, add_generation_prompt=prompt, **arguments)
        )

    ids: list[int] = []
    labels: list[int] = []
    written = ""
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        before, after = write(index, True), write(index + 1, False)
        if not (before.startswith(written) and after.startswith(before)):
            raise ModelError(
                "the chat template rewrites earlier turns; set demonstrations.k: 0 and train on single turns"
            )
        prompt = tokenizer(before[len(written) :], add_special_tokens=False)["input_ids"]
        answer = tokenizer(after[len(before) :], add_special_tokens=False)["input_ids"]
        ids += prompt + answer
        labels += [IGNORE] * len(prompt) + answer
        written = after
    return Encoded(ids, labels)
