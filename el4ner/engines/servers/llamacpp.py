"""llama.cpp's server: the same client as for GGUF files in this process, with the template that the server tells of."""

import re
from typing import Any

from el4ner.engines.endpoint import MalformedReplyError
from el4ner.engines.llamacpp import LlamaCppClient
from el4ner.engines.servers.connection import ConnectedServer, Connection
from el4ner.prompts.chat import ChatTemplate

_SIGN = re.compile(r"<\|?[^<>\s'\"{}]{1,40}\|?>|\[/?[A-Z_]{2,}\]")
"""What looks like a control token in a chat template."""
_SMALL = 1024
"""Tokens that a prompt with demonstrations and its answer easily need."""


def is_llamacpp(props: dict[str, Any]) -> bool:
    """Whether the page ``/props`` is llama.cpp's, of a server that serves one model."""
    return "chat_template" in props and isinstance(props.get("default_generation_settings"), dict)


async def connect_llamacpp(connection: Connection, props: dict[str, Any], identity: str) -> ConnectedServer:
    """The client for the served model.

    Args:
        connection: to the server.
        props: its page ``/props``.
        identity: what else tells its model from others.

    Raises:
        MemberError: the server does not answer.
        TemplateError: the model's chat template is broken.
    """
    config = connection.config
    arguments = {"enable_thinking": config.thinking, **config.chat_template_kwargs}
    begin = await _tokens(connection, {"content": "", "add_special": True})
    first = begin[0] if begin else None
    source, bos, eos = (
        str(props["chat_template"]),
        first or props.get("bos_token") or None,
        props.get("eos_token") or None,
    )
    template = ChatTemplate(source, bos, eos, arguments, puts_bos=first is not None)
    notes: tuple[str, ...] = ()
    if config.chat_template == "none" or not await _is_its_own(connection, template):
        template = ChatTemplate(None, bos, eos, puts_bos=first is not None)
        notes = () if config.chat_template == "none" else ("its model has no chat template; it gets plain prompts",)
    signs = () if template.plain else (template.end, *_SIGN.findall(source))
    special_tokens = tuple(filter(None, dict.fromkeys((*connection.special_tokens, *signs, bos, eos))))
    constrain = config.constrain is True and not config.thinking
    client = LlamaCppClient(config.name, connection.endpoint, template, special_tokens, first, constrain)
    room = props["default_generation_settings"].get("n_ctx")
    if isinstance(room, int) and room < _SMALL:
        notes += (f"llama.cpp has room for {room} tokens a request; start it with a larger -c, or with fewer -np",)
    return ConnectedServer("llama.cpp", client, (str(props.get("model_path")), identity, template.plain), notes)


async def _is_its_own(connection: Connection, template: ChatTemplate) -> bool:
    """Whether the template is the model's: llama.cpp invents one for base models, whose end is no token of theirs."""
    return len(await _tokens(connection, {"content": template.end, "add_special": False, "parse_special": True})) == 1


async def _tokens(connection: Connection, asked: dict[str, Any]) -> list[str]:
    return await connection.post("/tokenize", asked | {"with_pieces": True}, _read_pieces)


def _read_pieces(reply: Any) -> list[str]:
    try:
        return [str(token["piece"]) for token in reply["tokens"]]
    except (KeyError, TypeError) as error:
        raise MalformedReplyError("holds no tokens") from error


__all__ = ["connect_llamacpp", "is_llamacpp"]
