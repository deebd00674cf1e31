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

Turn = dict[str, str]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and its labels: the id where a loss falls on it, else ``IGNORE``."""

    ids: list[int]
    labels: list[int]


class Encoder:
    """Conversations as a model's chat template writes them; every assistant turn, with its end sign, bears loss.

    Each answer is tokenised apart from what stands before it, exactly as at inference, where the prompt is tokenised alone;
    control tokens in the texts are made harmless as there. Templates and tokenizers are called with many conversations at
    once, since a call costs as much as a short prompt.
    """

    def __init__(self, tokenizer: Any, template_arguments: dict[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._specials = special_tokens(tokenizer)
        self._arguments = template_arguments or {}

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[Encoded]:
        """The conversations, each encoded on its own.

        Raises:
            ModelError: the template rewrites earlier turns, so that answers in mid-conversation cannot be told from prompts.
        """
        pieces = self._pieces([self._turns(messages) for messages in conversations])
        ids = self._ids([text for of_one in pieces for pair in of_one for text in pair])
        encoded = []
        for of_one in pieces:
            row: list[int] = []
            labels: list[int] = []
            for prompt, answer in of_one:
                row += ids[prompt] + ids[answer]
                labels += [IGNORE] * len(ids[prompt]) + ids[answer]
            encoded.append(Encoded(row, labels))
        return encoded

    def fitting(self, conversations: Sequence[Sequence[Message]], max_length: int) -> list[Encoded | None]:
        """The same, without first demonstrations where one is longer than ``max_length``; None where that does not help."""
        fitted: list[Encoded | None] = [
            encoded if len(encoded.ids) <= max_length else None for encoded in self.encode(conversations)
        ]
        shorter = {at: _without_first(conversations[at]) for at, encoded in enumerate(fitted) if encoded is None}
        shorter = {at: messages for at, messages in shorter.items() if messages}
        if shorter:
            for at, encoded in zip(shorter, self.fitting(list(shorter.values()), max_length), strict=True):
                fitted[at] = encoded
        return fitted

    def _turns(self, messages: Sequence[Message]) -> list[Turn]:
        return [{"role": m.role, "content": neutralise(m.content, self._specials)} for m in messages]

    def _pieces(self, conversations: Sequence[list[Turn]]) -> list[list[tuple[str, str]]]:
        """The text before each answer of each conversation, and the answer with its end sign."""
        places = [
            (at, index)
            for at, turns in enumerate(conversations)
            for index, turn in enumerate(turns)
            if turn["role"] == "assistant"
        ]
        prompts = self._written([conversations[at][:index] for at, index in places], prompt=True)
        answered = self._written([conversations[at][: index + 1] for at, index in places], prompt=False)
        pieces: list[list[tuple[str, str]]] = [[] for _ in conversations]
        written = [""] * len(conversations)
        for (at, _), before, after in zip(places, prompts, answered, strict=True):
            if not (before.startswith(written[at]) and after.startswith(before)):
                raise ModelError(
                    "the chat template rewrites earlier turns; set demonstrations.k: 0 and train on single turns"
                )
            pieces[at].append((before[len(written[at]) :], after[len(before) :]))
            written[at] = after
        return pieces

    def _written(self, conversations: list[list[Turn]], *, prompt: bool) -> list[str]:
        if not conversations:
            return []
        written = self._tokenizer.apply_chat_template(
            conversations, tokenize=False, add_generation_prompt=prompt, **self._arguments
        )
        return list(written)

    def _ids(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Token ids of each different text."""
        different = list(dict.fromkeys(texts))
        if not different:
            return {}
        return dict(zip(different, self._tokenizer(different, add_special_tokens=False)["input_ids"], strict=True))


def _without_first(messages: Sequence[Message]) -> list[Message]:
    """The conversation without its first demonstration; empty if it has none."""
    head = [message for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    return [*head, *turns[2:]] if len(turns) > 2 else []
