"""Servers that answer a request in one call: what is common to them, over a small dialect for each kind."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from el4ner.engines.base import Answer, Choice, Request
from el4ner.engines.choice_probs import Position, choice_log_probs, likeliest_choice
from el4ner.engines.endpoint import Endpoint
from el4ner.errors import ContextOverflowError, MemberError

_AROUND = "\"'`“”‘’.。*"
"""What may stand around a label where nothing holds the answer to it."""

_FENCE = re.compile(r"^\s*```(?:json)?|```\s*$")


class Dialect(Protocol):
    """How one kind of server is asked."""

    @property
    def path(self) -> str:
        """Where requests go, below the server's root."""
        ...

    @property
    def unconstrained(self) -> bool:
        """Whether a closed choice is answered at once and by whatever the model likes."""
        ...

    @property
    def end(self) -> str:
        """What ends a choice besides the end of the answer."""
        ...

    @property
    def may_truncate_prompt(self) -> bool:
        """Whether prompts may be cut without a word, so that the tokens read are compared with the words sent."""
        ...

    def body(self, request: Request) -> dict[str, Any]:
        """What is sent for a request, as JSON.

        Raises:
            ContextOverflowError: the prompt may not fit, and the server would not say so.
        """
        ...

    def constrained_body(self, request: Request) -> dict[str, Any] | None:
        """What is sent where a free answer was none of the choices: held to one as a JSON string; None: it cannot be held."""
        ...

    def body_without_limit(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The same for an answer as long as there is room for; None where the bound does not count as part of the context."""
        ...

    def read(self, reply: Any) -> tuple[Answer, list[Position]]:
        """The answer, and its token log-probabilities (empty where there are none).

        Raises:
            MalformedReplyError: it is no reply of this kind.
        """
        ...


class SingleCallClient:
    """Asks a server that answers a request in one call.

    Args:
        name: the member's, for errors.
        endpoint: the HTTP side.
        dialect: of the server's kind.
    """

    def __init__(self, name: str, endpoint: Endpoint, dialect: Dialect) -> None:
        self.dialect = dialect
        self._name = name
        self._endpoint = endpoint

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, greedily, in at most ``request.max_tokens`` tokens (thoughts included).

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: the server cannot be reached, refuses, or does not answer in the expected form.
        """
        body = self.dialect.body(request)
        try:
            answer, _ = await self._post(request, body)
        except ContextOverflowError:
            # The bound of the answer may be what does not fit: ask again for as much as there is room for.
            again = self.dialect.body_without_limit(body)
            if again is None:
                raise
            answer, _ = await self._post(request, again)
        if answer.finish_reason == "length" and 0 < answer.usage.answer_tokens < request.max_tokens:
            raise ContextOverflowError(self._name, "the context ended before the answer; use smaller windows")
        return answer

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``; the answer is as long as the choices need, whatever ``max_tokens`` says.

        ``log_probs`` are read from the answer's tokens (see ``choice_log_probs``), and None where they do not show.

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: as for ``generate``, or the answer is none of the choices.
        """
        if request.answer_prefix is not None:
            raise MemberError(self._name, "this server cannot go on from the beginning of an answer")
        answer, positions = await self._post(request, self.dialect.body(request))
        log_probs = self._log_probs(request.choices, positions)
        if log_probs is not None:
            # The likeliest choice, which may be spelled in more than one way, need not be the likeliest spelling.
            return Choice(max(log_probs, key=lambda choice: log_probs[choice]), log_probs, answer.usage)
        label = self._label(request.choices, answer.text, positions) if answer.finish_reason == "stop" else None
        if label is None and self.dialect.unconstrained:
            label = likeliest_choice(request.choices, positions)
        constrained = self.dialect.constrained_body(request) if label is None else None
        if constrained is not None:
            answer, _ = await self._post(request, constrained)
            label = json_string(answer.text)
        if label not in request.choices:
            raise MemberError(self._name, f"stage {request.stage}: the answer is none of the choices")
        return Choice(label, None, answer.usage)

    async def _post(self, request: Request, body: dict[str, Any]) -> tuple[Answer, list[Position]]:
        (answer, positions), latency_s = await self._endpoint.post(self.dialect.path, body, self.dialect.read)
        if self.dialect.may_truncate_prompt and 0 < answer.usage.prompt_tokens < min_tokens(request):
            raise ContextOverflowError(self._name, "the server cut the prompt; give it a longer context")
        return replace(answer, usage=replace(answer.usage, latency_s=latency_s)), positions

    def _log_probs(self, choices: Sequence[str], positions: Sequence[Position]) -> dict[str, float] | None:
        ended = tuple(choice + self.dialect.end for choice in choices)
        found = choice_log_probs(ended, positions, free_answer=self.dialect.unconstrained) if positions else None
        return found and {choice: found[spelled] for choice, spelled in zip(choices, ended, strict=True)}

    def _label(self, choices: Sequence[str], text: str, positions: Sequence[Position]) -> str | None:
        """The choice that was answered; None if it is none of them.

        Some tokenizers put a space between any two tokens that they decode. And where the prompt ends in characters that a
        tokenizer does not know, vLLM gives the prompt back before the answer: the tokens alone then say what was chosen.
        """
        tokens = [position.token for position in positions]
        said = [text, "".join(tokens[:-1]), "".join(tokens)]
        exact = {_unspaced(choice): choice for choice in choices}
        loose = {_unspaced(choice).casefold(): choice for choice in choices}
        found = [exact.get(_unspaced(answer)) for answer in said]
        if len(loose) == len(choices):
            found.append(loose.get(_unspaced(text).casefold().strip(_AROUND)))
        return next((choice for choice in found if choice is not None), None)


def min_tokens(request: Request) -> int:
    """Fewest tokens that the texts of a request can have: one a word, and one for four Chinese characters."""
    texts = [message.content for message in request.messages]
    return sum(max(len(text.split()), sum("\u4e00" <= c <= "\u9fff" for c in text) // 4) for text in texts)


def json_string(text: str) -> str | None:
    """The JSON string that an answer is, with or without a fence around it; None if it is none."""
    try:
        said = json.loads(_FENCE.sub("", text))
    except ValueError:
        return None
    return said if isinstance(said, str) else None


def _unspaced(text: str) -> str:
    return "".join(text.split())


__all__ = ["Dialect", "SingleCallClient", "json_string", "min_tokens"]
