"""Ollama, by its own API: the context is set for each request, and a prompt that does not fit is an error.

Written from Ollama's documentation and source (0.12 to 0.40). By default its context is small, and it cuts a longer prompt
without a word. ``truncate: false`` and ``shift: false`` make that an error since 0.12; whether they do is tried at the
start, and where they do not, prompts that may not fit are not sent.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from el4ner.config import MemberConfig
from el4ner.engines.base import Answer, Request, Usage
from el4ner.engines.choice_probs import Position
from el4ner.engines.endpoint import MalformedReplyError, RefusedError
from el4ner.engines.openai_replies import read_positions, without_thoughts
from el4ner.engines.servers.connection import ConnectedServer, Connection, Conversation, conversation
from el4ner.engines.servers.greedy import TOP_LOGPROBS, choice_tokens, supports_system_role
from el4ner.engines.servers.schemas import choice_schema, limitations, list_schema, stop_strings
from el4ner.engines.servers.single_call import SingleCallClient
from el4ner.errors import ContextOverflowError, MemberError
from el4ner.prompts.messages import Message

CONTEXT = 8192
"""Tokens of the longest prompt with its answer, where the model has room for them and its Modelfile says nothing else."""
_OPTIONS = {
    "temperature": 0, "top_k": 1, "top_p": 1, "min_p": 0, "repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0,
}  # fmt: skip
_REFUSES_SINCE = (0, 12)
"""The version from which it can be asked not to cut prompts."""
_AROUND_MESSAGE = 32
"""Tokens that a template may put around a message."""
_PARAMETER = re.compile(r"^(stop|num_ctx)\s+(.+?)\s*$", re.MULTILINE)
_CHOICE = Request("classify", (Message("user", "zebra or yak?"),), 16, choices=("zebra", "yak"))


@dataclass(frozen=True)
class Ollama:
    """How Ollama is asked.

    Attributes:
        context: tokens of the longest prompt with its answer; a change makes Ollama load the model again.
        stops: where the model's answers end, as its Modelfile says.
        refuses: whether a prompt that does not fit is an error.
        supports_system_role: whether the template has a system role.
    """

    config: MemberConfig
    special_tokens: tuple[str, ...]
    context: int
    stops: tuple[str, ...] = ()
    refuses: bool = True
    supports_system_role: bool = True
    path: str = "/api/chat"
    end: str = ""
    may_truncate_prompt: bool = False

    @property
    def unconstrained(self) -> bool:
        """See :class:`Dialect`."""
        return not self.config.thinking

    def body(self, request: Request) -> dict[str, Any]:
        """See :class:`Dialect`."""
        thinking = self.config.thinking
        longest = choice_tokens(request, thinking) if request.choices else request.max_tokens
        schema = list_schema(request) if self.config.constrain is True else None
        body = self._about(request, longest, [] if schema else stop_strings(request, thinking))
        if request.choices:
            return body | {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body | ({"format": schema} if schema else {})

    def constrained_body(self, request: Request) -> dict[str, Any] | None:
        """See :class:`Dialect`."""
        if not self.config.constrain:
            return None
        longest = choice_tokens(request, self.config.thinking, quoted=True)
        return self._about(request, longest, []) | {"format": choice_schema(request)}

    def _about(self, request: Request, longest: int, stops: list[str]) -> dict[str, Any]:
        messages = conversation(request.messages, self.special_tokens, self.supports_system_role)
        self._check_room(messages, longest)
        return self.common(messages, longest, stops)

    def common(self, messages: Conversation, longest: int, stops: list[str]) -> dict[str, Any]:
        """What every request holds."""
        options: dict[str, Any] = {**_OPTIONS, "num_ctx": self.context, "num_predict": longest}
        if stops:
            # They take the place of the Modelfile's.
            options["stop"] = [*self.stops, *stops]
        return {
            "model": self.config.model, "messages": messages, "options": options, "think": self.config.thinking,
            "stream": False, "truncate": False, "shift": False,
        }  # fmt: skip

    def body_without_limit(self, body: dict[str, Any]) -> None:
        """See :class:`Dialect`."""

    def read(self, reply: Any) -> tuple[Answer, list[Position]]:
        """See :class:`Dialect`."""
        try:
            text, reason = reply["message"]["content"], reply.get("done_reason", "stop")
            usage = Usage(int(reply.get("prompt_eval_count") or 0), int(reply.get("eval_count") or 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MalformedReplyError("is no chat response of Ollama's") from error
        if not isinstance(text, str) or not reply.get("done") or reason not in ("stop", "length"):
            raise MalformedReplyError("is no complete chat response of Ollama's")
        return Answer(without_thoughts(text), reason, usage), read_positions(reply.get("logprobs"))

    def _check_room(self, messages: Conversation, longest: int) -> None:
        """Where a prompt would be cut without a word, all that may not fit are refused: a token is at least a byte."""
        most = sum(len(message["content"].encode(errors="replace")) + _AROUND_MESSAGE for message in messages) + longest
        if not self.refuses and most > self.context:
            raise ContextOverflowError(
                self.config.name,
                f"the prompt may not fit into the {self.context} tokens of this Ollama, which would cut it",
            )


async def connect_ollama(connection: Connection, version: str) -> ConnectedServer:
    """Find out about the model, and whether the server holds choices, gives log-probabilities, and refuses what it cannot read.

    Raises:
        MemberError: the server does not answer, or has not the model.
    """
    config = connection.config
    if config.chat_template == "none":
        raise MemberError(
            config.name, "chat_template: none works with vLLM and llama.cpp; Ollama writes prompts itself"
        )
    context, stops, identity = await connection.post("/api/show", {"model": config.model}, _read_model)
    if connection.deadline_s is not None:
        # The first request makes it load the model.
        connection = replace(connection, deadline_s=max(connection.deadline_s, config.timeout_s))
    first = Ollama(config, connection.special_tokens, context, stops)
    _, positions = await connection.post(first.path, first.body(_CHOICE), first.read)

    async def prompt_tokens(messages: Conversation) -> int:
        read, _ = await connection.post(first.path, first.common(messages, 1, []), first.read)
        return read.usage.prompt_tokens

    refuses = _parts(version) >= _REFUSES_SINCE and await _refuses(connection, first)
    found = replace(first, refuses=refuses, supports_system_role=await supports_system_role(prompt_tokens))
    notes = limitations("Ollama", config, supports_json_schema=True, gives_log_probs=bool(positions))
    if not refuses:
        notes += (
            f"this Ollama ({version}) cuts long prompts without a word: those that may not fit into {context} tokens are not "
            "sent; update it, or give the model a larger num_ctx",
        )
    return ConnectedServer(
        "Ollama",
        SingleCallClient(config.name, connection.endpoint, found),
        (identity, found.supports_system_role),
        notes,
    )


async def _refuses(connection: Connection, ollama: Ollama) -> bool:
    """Whether a prompt that is too long is an error."""
    words: Conversation = [{"role": "user", "content": "a " * (ollama.context + 64)}]
    # Once, even where time is no matter: a server that reads all of it should not do so again.
    once = replace(connection, deadline_s=connection.deadline_s or ollama.config.timeout_s)
    try:
        await once.post(ollama.path, ollama.common(words, 1, []), ollama.read)
    except (ContextOverflowError, RefusedError):
        return True
    except MemberError:
        return False
    return False


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def _read_model(reply: Any) -> tuple[int, tuple[str, ...], str]:
    """The context to ask for, the Modelfile's stops, and what tells the model from others."""
    try:
        details, parameters = reply["model_info"], reply.get("parameters") or ""
        architecture = details.get("general.architecture", "")
        longest = int(details.get(f"{architecture}.context_length") or CONTEXT)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedReplyError("describes no model") from error
    found = _PARAMETER.findall(parameters)
    wanted = next((int(value) for name, value in found if name == "num_ctx" and value.isdigit()), CONTEXT)
    stops = tuple(value.strip('"') for name, value in found if name == "stop")
    return (
        min(wanted, longest),
        stops,
        repr(sorted((reply.get("details") or {}).items())) + str(reply.get("modified_at")),
    )


__all__ = ["CONTEXT", "Ollama", "connect_ollama"]
