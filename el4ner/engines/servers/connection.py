"""A member's way to its server, while it is found out what is there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from el4ner.config import MemberConfig
from el4ner.engines.base import Answer, Choice, Request
from el4ner.engines.endpoint import Endpoint, RefusedError
from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.prompts.chat import merge_system_message
from el4ner.prompts.messages import Message

ResultT = TypeVar("ResultT")
Conversation = list[dict[str, str]]


class Client(Protocol):
    """What answers requests at a server; greedy, and safe to call concurrently."""

    async def generate(self, request: Request) -> Answer:
        """Answer in free text."""
        ...

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``."""
        ...


@dataclass(frozen=True)
class ConnectedServer:
    """A server that is known.

    Attributes:
        kind: ``vLLM``, ``llama.cpp``, ``Ollama`` or ``OpenAI-compatible``.
        client: what asks it.
        identity: what tells its model from others of the same name; part of the member's fingerprint.
        notes: what the user should know of it, one line each.
    """

    kind: str
    client: Client
    identity: tuple[Any, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """An endpoint and the member that asks it.

    Attributes:
        endpoint: its HTTP side; paths begin at the server's root.
        api: where the OpenAI-compatible paths begin, usually ``/v1``.
        special_tokens: control tokens to be escaped in texts.
        deadline_s: longest time of one call, in a single try; None: as the member's settings say, with retries.
    """

    config: MemberConfig
    endpoint: Endpoint
    api: str
    special_tokens: tuple[str, ...]
    deadline_s: float | None = None

    async def get(self, path: str, read: Callable[[Any], ResultT]) -> ResultT:
        """What ``read`` makes of a page; see :meth:`Endpoint.get`."""
        if self.deadline_s is None:
            return await self.endpoint.get(path, read)
        return await self.endpoint.once("GET", path, None, read, self.deadline_s)

    async def post(self, path: str, body: Any, read: Callable[[Any], ResultT]) -> ResultT:
        """What ``read`` makes of a reply; see :meth:`Endpoint.post`."""
        if self.deadline_s is None:
            return (await self.endpoint.post(path, body, read))[0]
        return await self.endpoint.once("POST", path, body, read, self.deadline_s)

    async def page(self, path: str) -> dict[str, Any]:
        """A page that only some servers have; empty where it is none of JSON."""
        try:
            return await self.get(path, lambda reply: reply if isinstance(reply, dict) else {})
        except RefusedError:
            return {}


def conversation(
    messages: Sequence[Message], special_tokens: Sequence[str], supports_system_role: bool
) -> Conversation:
    """Messages as servers take them, with the control tokens in their texts escaped."""
    taken = messages if supports_system_role else merge_system_message(messages)
    return [
        {"role": message.role, "content": escape_special_tokens(message.content, special_tokens)} for message in taken
    ]


__all__ = ["Client", "ConnectedServer", "Connection", "Conversation", "conversation"]
