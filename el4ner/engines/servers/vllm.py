"""vLLM: answers held to grammars and patterns, by chat or, for base models, by plain prompts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from el4ner.config import MemberConfig
from el4ner.engines.base import Answer, Request
from el4ner.engines.choice_probs import Position
from el4ner.engines.endpoint import MalformedReplyError, RefusedError
from el4ner.engines.openai_replies import read_answer, read_choice, read_completion
from el4ner.engines.servers.connection import ConnectedServer, Connection, Conversation, conversation
from el4ner.engines.servers.greedy import GREEDY, QUESTION, TOP_LOGPROBS, choice_tokens, supports_system_role
from el4ner.engines.servers.single_call import SingleCallClient
from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.engines.structured_outputs import Constraint, structured_outputs
from el4ner.prompts.chat import PLAIN_END, ChatTemplate
from el4ner.prompts.messages import Message

DEFAULTS_OFF: Mapping[str, Any] = MappingProxyType({**GREEDY, "top_k": 0, "min_p": 0, "repetition_penalty": 1})
"""Greedy, and nothing of the sampling defaults in the model's ``generation_config.json``."""
_CONTROL = re.compile(r"<[^<>\s]+>|\[/?[A-Za-z_]+\]")
_PLAIN_NOTE = "its model has no chat template; it gets plain prompts"


@dataclass(frozen=True)
class VllmChat:
    """By chat, with the model's own template on the server.

    Attributes:
        supports_system_role: whether the template has a system role.
        turn_end: the token that ends a turn in it; None where the server does not tell.
    """

    config: MemberConfig
    path: str
    special_tokens: tuple[str, ...]
    supports_system_role: bool = True
    turn_end: int | None = None
    end: str = ""
    may_truncate_prompt: bool = False
    unconstrained: bool = False

    def body(self, request: Request) -> dict[str, Any]:
        """See :class:`Dialect`."""
        messages = conversation(request.messages, self.special_tokens, self.supports_system_role)
        body = self.common(messages) | {"max_tokens": request.max_tokens}
        # A thinking model's thoughts are no part of its answer's form; for choices its server has to tell them apart.
        constrain: Constraint = "choices" if self.config.thinking and self.config.constrain else self.config.constrain
        if request.wants_log_probs:
            body |= {"logprobs": True, "top_logprobs": 0}
        if request.choices:
            longest = choice_tokens(request, self.config.thinking)
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS, "max_tokens": longest}
        return body | _constraint(request, constrain, self.special_tokens)

    def common(self, messages: Conversation) -> dict[str, Any]:
        """What every request holds."""
        arguments = {"enable_thinking": self.config.thinking, **self.config.chat_template_kwargs}
        ends = {} if self.turn_end is None else {"stop_token_ids": [self.turn_end]}
        return {
            **DEFAULTS_OFF, **ends, "model": self.config.model, "messages": messages, "chat_template_kwargs": arguments,
        }  # fmt: skip

    def constrained_body(self, request: Request) -> None:
        """See :class:`Dialect`; the first answer was held already."""

    def body_without_limit(self, body: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Dialect`."""
        return {key: value for key, value in body.items() if key != "max_tokens"}

    def read(self, reply: Any) -> tuple[Answer, list[Position]]:
        """See :class:`Dialect`."""
        return read_choice(reply)


@dataclass(frozen=True)
class VllmPlain:
    """By plain prompts, for a base model: each answer ends with the blank line that ends a turn in them."""

    config: MemberConfig
    path: str
    special_tokens: tuple[str, ...]
    end: str = PLAIN_END
    may_truncate_prompt: bool = False
    unconstrained: bool = False

    def body(self, request: Request) -> dict[str, Any]:
        """See :class:`Dialect`."""
        messages = [Message(m.role, escape_special_tokens(m.content, self.special_tokens)) for m in request.messages]
        body = self.common(ChatTemplate(None).render(messages)) | {"max_tokens": request.max_tokens}
        if request.choices:
            body |= {"logprobs": TOP_LOGPROBS, "max_tokens": choice_tokens(request, False, self.end)}
        constrained = _constraint(request, self.config.constrain, self.special_tokens, self.end)
        # A text that is copied may hold blank lines itself.
        return body | (constrained or {"stop": [self.end]})

    def common(self, prompt: str) -> dict[str, Any]:
        """What every request holds."""
        return {**DEFAULTS_OFF, "model": self.config.model, "prompt": prompt}

    def constrained_body(self, request: Request) -> None:
        """See :class:`Dialect`; the first answer was held already."""

    def body_without_limit(self, body: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Dialect`; without a bound of its own, a completion ends after 16 tokens."""
        return body | {"max_tokens": None}

    def read(self, reply: Any) -> tuple[Answer, list[Position]]:
        """See :class:`Dialect`."""
        answer, positions = read_completion(reply)
        return Answer(answer.text.removesuffix(self.end), answer.finish_reason, answer.usage), positions


async def connect_vllm(connection: Connection, root: str | None) -> ConnectedServer:
    """Find out how its model is asked, which takes some answers of one token.

    Args:
        connection: to the server.
        root: the path of the weights, as the server tells it.

    Raises:
        MemberError: the server does not answer.
    """
    config = connection.config
    if config.chat_template == "none":
        return await _open_plain(connection, root, ())
    chat = VllmChat(config, f"{connection.api}/chat/completions", connection.special_tokens)

    async def prompt_tokens(messages: Conversation) -> int:
        answer = await connection.post(chat.path, chat.common(messages) | {"max_tokens": 1}, read_answer)
        return answer.usage.prompt_tokens

    try:
        await prompt_tokens(QUESTION)
    except RefusedError as error:
        if not error.no_template:
            raise
        return await _open_plain(connection, root, (_PLAIN_NOTE,))
    system = await supports_system_role(prompt_tokens)
    turn_end, sign = await _turn_end(connection, chat)
    special_tokens = tuple(dict.fromkeys((*connection.special_tokens, *sign)))
    found = VllmChat(config, chat.path, special_tokens, system, turn_end)
    return ConnectedServer("vLLM", SingleCallClient(config.name, connection.endpoint, found), (root, system, turn_end))


async def _open_plain(connection: Connection, root: str | None, notes: tuple[str, ...]) -> ConnectedServer:
    plain = VllmPlain(connection.config, f"{connection.api}/completions", connection.special_tokens)
    await connection.post(plain.path, plain.common("1") | {"max_tokens": 1}, read_completion)
    return ConnectedServer(
        "vLLM", SingleCallClient(connection.config.name, connection.endpoint, plain), (root, "plain"), notes
    )


async def _turn_end(connection: Connection, chat: VllmChat) -> tuple[int | None, tuple[str, ...]]:
    """The token that ends an answer in the model's template, and its text; it need not be the tokenizer's end of sequence.

    It is what a finished answer has more than one to be continued.
    """
    answered = [*QUESTION, {"role": "assistant", "content": "7"}]
    body = {key: chat.common(answered)[key] for key in ("model", "messages", "chat_template_kwargs")}
    body |= {"add_generation_prompt": False, "return_token_strs": True}
    try:
        begun = await connection.post("/tokenize", body | {"continue_final_message": True}, _read_tokens)
        finished = await connection.post("/tokenize", body, _read_tokens)
    except RefusedError:
        return None, ()
    more = finished[len(begun) :] if finished[: len(begun)] == begun else []
    token, sign = more[0] if more else (None, "")
    return (token, (sign,)) if _CONTROL.fullmatch(sign) else (None, ())


def _read_tokens(reply: Any) -> list[tuple[int, str]]:
    try:
        return list(zip(map(int, reply["tokens"]), map(str, reply["token_strs"]), strict=True))
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedReplyError("holds no tokens") from error


def _constraint(
    request: Request, constrain: Constraint, special_tokens: Sequence[str], end: str = ""
) -> dict[str, Any]:
    constraint = structured_outputs(request, constrain, special_tokens, end)
    return {} if constraint is None else {"structured_outputs": constraint}


__all__ = ["VllmChat", "VllmPlain", "connect_vllm"]
