"""Conversations as token ids, with the loss on the answers only."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.errors import ModelError
from el4ner.prompts.chat import ChatTemplate
from el4ner.prompts.messages import Message

log = logging.getLogger(__name__)
IGNORE = -100
"""Label of tokens that no loss falls on."""
Places = Callable[[], list[tuple[int, int]]]
"""Gives where each token begins and ends in its text."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and its labels: the id where a loss falls on it, else ``IGNORE``."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class _Written:
    """The last answer of a conversation with its end sign, its prompt, and where earlier answers stand in that."""

    prompt: str
    answer: str
    earlier: list[tuple[int, int]]


class Encoder:
    """Conversations that end with an answer, as they are asked at inference; each answer, with its end sign, bears loss.

    The prompt is tokenised as a whole, the last answer apart from it; control tokens in the texts are escaped. An earlier
    answer bears loss where it stands in the prompt as it was given; some templates leave out or rewrite what is past. Tokenizers
    are called with many texts at once, since a call costs as much as a short prompt.

    Args:
        tokenizer: of Transformers.
        template_arguments: further variables of its chat template.

    Raises:
        ModelError: the chat template cannot be used, or the tokenizer cannot write what ends an answer.
    """

    def __init__(self, tokenizer: Any, template_arguments: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._special_tokens = special_tokens(tokenizer)
        self._template = template_of(tokenizer, template_arguments)
        self._end = self._template.end
        self._warned = False
        if tokenizer.is_fast:  # settings of the file that Transformers would lift at every call
            tokenizer.backend_tokenizer.no_truncation()
            tokenizer.backend_tokenizer.no_padding()
        if not self._tokens([self._end])[self._end][0]:
            name = tokenizer.name_or_path or "the model"
            raise ModelError(
                f"{name}: its tokenizer cannot write what ends an answer; add a chat_template.jinja with an end sign"
            )

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[Encoded]:
        """The conversations, each encoded on its own.

        Raises:
            TemplateError: the chat template refuses one of them.
        """
        written = [self._write(messages) for messages in conversations]
        tokens = self._tokens([text for one in written for text in (one.prompt, one.answer)])
        encoded = []
        for one in written:
            (ids, places), (answer, _) = tokens[one.prompt], tokens[one.answer]
            labels = [IGNORE] * len(ids)
            ends = [end for _, end in places()] if one.earlier else []
            for start, end in one.earlier:
                inside = slice(bisect_right(ends, start), bisect_right(ends, end))
                labels[inside] = ids[inside]
            encoded.append(Encoded(ids + answer, labels + answer))
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

    def _write(self, messages: Sequence[Message]) -> _Written:
        safe = [Message(m.role, escape_special_tokens(m.content, self._special_tokens)) for m in messages]
        prompt = self._template.render(safe[:-1])
        earlier = []
        for at, message in enumerate(safe[:-1]):
            if message.role == "assistant":
                place = self._place(prompt, self._template.render(safe[:at]), message.content)
                earlier += [place] if place else []
                self._warn(place is None)
        return _Written(prompt, safe[-1].content + self._end, earlier)

    def _place(self, prompt: str, before: str, answer: str) -> tuple[int, int] | None:
        """Where an earlier answer stands in a prompt, up to its end sign; None where it does not stand there unchanged."""
        if not prompt.startswith(before):
            return None
        start = _after_spaces(prompt, len(before))
        if not (self._tokenizer.is_fast and prompt.startswith(answer, start)):  # only fast ones say where tokens stand
            return None
        end = _after_spaces(prompt, start + len(answer))
        return (start, end + len(self._end)) if prompt.startswith(self._end, end) else None

    def _warn(self, lost: bool) -> None:
        if lost and not self._warned:
            self._warned = True
            log.warning(
                "the chat template rewrites earlier answers; no loss falls on them, only on the last of an example"
            )

    def _tokens(self, texts: Sequence[str]) -> dict[str, tuple[list[int], Places]]:
        """Token ids of each different text, and where they stand in it."""
        different = list(dict.fromkeys(texts))
        if self._tokenizer.is_fast:  # the same without Transformers' wrapping, which takes as long as the tokenizer
            found = self._tokenizer.backend_tokenizer.encode_batch(different, add_special_tokens=False)
            return {
                text: (one.ids, partial(getattr, one, "offsets")) for text, one in zip(different, found, strict=True)
            }
        return {text: (self._tokenizer(text, add_special_tokens=False)["input_ids"], list) for text in different}


def special_tokens(tokenizer: Any) -> list[str]:
    """Control tokens of a tokenizer, sorted: what must be escaped wherever it stands in a text."""
    return sorted({str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special})


def template_of(tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> ChatTemplate:
    """How conversations with a tokenizer's model are written: by its chat template, or plainly where it has none.

    Args:
        tokenizer: of Transformers.
        arguments: further variables of the template.

    Raises:
        ModelError: the template is no valid Jinja, or there are several and none is the default.
    """
    source = tokenizer.chat_template or None
    if isinstance(source, dict):
        if "default" not in source:
            raise ModelError(
                f"the tokenizer has the chat templates {', '.join(sorted(source))}; call one of them default"
            )
        source = source["default"]
    bos = tokenizer.bos_token_id
    puts_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    return ChatTemplate(source, tokenizer.bos_token, tokenizer.eos_token, arguments, puts_bos=puts_bos)


def _after_spaces(text: str, at: int) -> int:
    while text.startswith(" ", at):
        at += 1
    return at


def _without_first(messages: Sequence[Message]) -> list[Message]:
    """The conversation without its first demonstration; empty if it has none."""
    head = [message for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    return [*head, *turns[2:]] if len(turns) > 2 else []
