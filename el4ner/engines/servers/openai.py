"""Any other OpenAI-compatible server: nothing but standard fields, and of those what it is found to take."""

from dataclasses import dataclass, replace
from typing import Any

from el4ner.config import MemberConfig
from el4ner.engines.base import Answer, Request
from el4ner.engines.choice_probs import Position
from el4ner.engines.endpoint import RefusedError
from el4ner.engines.openai_replies import read_answer, read_choice
from el4ner.engines.servers.connection import ConnectedServer, Connection, Conversation, conversation
from el4ner.engines.servers.greedy import GREEDY, QUESTION, TOP_LOGPROBS, choice_tokens, supports_system_role
from el4ner.engines.servers.schemas import choice_schema, limitations, list_schema, stop_strings
from el4ner.engines.servers.single_call import SingleCallClient, json_string
from el4ner.errors import MemberError
from el4ner.prompts.messages import Message

_CHOICE = Request("classify", (Message("user", "1"),), 16, choices=("zebra", "yak"))
_FEWER = 5
"""Alternatives at each token, where more are refused."""


@dataclass(frozen=True)
class OpenAi:
    """How a server of unknown kind is asked.

    Attributes:
        supports_system_role: whether the template has a system role.
        arguments: whether it takes arguments for the chat template.
        supports_json_schema: whether it holds an answer to a JSON schema.
        log_probs: alternatives that it gives at each token.
    """

    config: MemberConfig
    path: str
    special_tokens: tuple[str, ...]
    supports_system_role: bool = True
    arguments: bool = False
    supports_json_schema: bool = False
    log_probs: int = 0
    end: str = ""
    may_truncate_prompt: bool = True

    @property
    def unconstrained(self) -> bool:
        """See :class:`Dialect`."""
        return not self.config.thinking

    def body(self, request: Request) -> dict[str, Any]:
        """See :class:`Dialect`."""
        body = self._about(request) | {"max_tokens": request.max_tokens}
        if request.choices:
            body["max_tokens"] = choice_tokens(request, self.config.thinking)
            body |= {"logprobs": True, "top_logprobs": self.log_probs} if self.log_probs else {}
        schema = list_schema(request) if self.config.constrain is True and self.supports_json_schema else None
        if schema is not None:
            return body | _response_format(schema)
        stops = stop_strings(request, self.config.thinking)
        return body | ({"stop": stops} if stops else {})

    def constrained_body(self, request: Request) -> dict[str, Any] | None:
        """See :class:`Dialect`."""
        if not self.config.constrain or not self.supports_json_schema:
            return None
        longest = choice_tokens(request, self.config.thinking, quoted=True)
        return self._about(request) | {"max_tokens": longest} | _response_format(choice_schema(request))

    def _about(self, request: Request) -> dict[str, Any]:
        return self.common(conversation(request.messages, self.special_tokens, self.supports_system_role))

    def common(self, messages: Conversation) -> dict[str, Any]:
        """What every request holds."""
        body: dict[str, Any] = {**GREEDY, "model": self.config.model, "messages": messages}
        if self.arguments:
            body["chat_template_kwargs"] = {"enable_thinking": self.config.thinking, **self.config.chat_template_kwargs}
        return body

    def body_without_limit(self, body: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Dialect`."""
        return {key: value for key, value in body.items() if key != "max_tokens"}

    def read(self, reply: Any) -> tuple[Answer, list[Position]]:
        """See :class:`Dialect`."""
        return read_choice(reply)


async def connect_openai(connection: Connection, root: str | None) -> ConnectedServer:
    """Find out what it takes, one feature after the other.

    Raises:
        MemberError: the server does not answer.
    """
    config = connection.config
    if config.chat_template == "none":
        raise MemberError(config.name, "chat_template: none works with vLLM and llama.cpp; this is another server")
    bare = OpenAi(config, f"{connection.api}/chat/completions", connection.special_tokens)

    async def prompt_tokens(messages: Conversation) -> int:
        answer = await connection.post(bare.path, bare.common(messages) | {"max_tokens": 1}, read_answer)
        return answer.usage.prompt_tokens

    await prompt_tokens(QUESTION)
    found = replace(bare, supports_system_role=await supports_system_role(prompt_tokens))
    found = replace(found, arguments=await _takes(connection, replace(found, arguments=True), {}))
    for count in (TOP_LOGPROBS, _FEWER):
        if await _gives_log_probs(connection, found, count):
            found = replace(found, log_probs=count)
            break
    found = replace(found, supports_json_schema=await _holds_json(connection, found))
    notes = limitations("this OpenAI-compatible server", config, found.supports_json_schema, bool(found.log_probs))
    traits = (root, found.supports_system_role, found.arguments, found.supports_json_schema, found.log_probs)
    return ConnectedServer(
        "OpenAI-compatible", SingleCallClient(config.name, connection.endpoint, found), traits, notes
    )


async def _takes(connection: Connection, dialect: OpenAi, more: dict[str, Any]) -> bool:
    try:
        await connection.post(dialect.path, dialect.common(QUESTION) | {"max_tokens": 1} | more, read_answer)
    except RefusedError:
        return False
    return True


async def _gives_log_probs(connection: Connection, dialect: OpenAi, count: int) -> bool:
    asked = dialect.common(QUESTION) | {"max_tokens": 1, "logprobs": True, "top_logprobs": count}
    try:
        _, positions = await connection.post(dialect.path, asked, read_choice)
    except RefusedError:
        return False
    return bool(positions)


async def _holds_json(connection: Connection, dialect: OpenAi) -> bool:
    """Whether an answer that the model would not give of itself is held to a schema."""
    asked = replace(dialect, supports_json_schema=True).constrained_body(_CHOICE)
    if asked is None:
        return False
    try:
        answer, _ = await connection.post(dialect.path, asked, read_choice)
    except RefusedError:
        return False
    return json_string(answer.text) in _CHOICE.choices


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    }


__all__ = ["OpenAi", "connect_openai"]
