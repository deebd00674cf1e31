"""Asking scripted servers, as the tests of each kind of server do."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scripted_server import MODEL, ScriptedServer

from el4ner.config import MemberConfig
from el4ner.engines.base import Message, Request
from el4ner.engines.http import HttpEngine
from el4ner.prompts.formats import answer_format

TEXT = "Ada wrote to Karl."
ASKED = Request("extract", (Message("system", "Find names."), Message("user", TEXT)), 64)
LINES, JSON = (replace(ASKED, list_of=answer_format(name).list_form(TEXT)) for name in ("lines", "json"))
CHOICE = Request("classify", (Message("user", TEXT),), 16, choices=("person", "place"))


def long(words: int) -> Request:
    """A request with a long prompt."""
    return replace(ASKED, messages=(Message("user", "word " * words),))


def member(server: ScriptedServer, **values: Any) -> HttpEngine:
    """A member whose server it is."""
    given = {"name": "m", "engine": "http", "model": MODEL, "endpoint": server.endpoint, "retries": 1, "timeout_s": 5.0}
    return HttpEngine(MemberConfig.model_validate(given | values), backoff_s=0.01)


def ask(server: ScriptedServer, *requests: Request, **values: Any) -> list[Any]:
    """The answers of one member."""

    async def all_of_them() -> list[Any]:
        asked = member(server, **values)
        try:
            return [await (asked.choose if r.choices else asked.generate)(r) for r in requests]
        finally:
            await asked.close()

    return asyncio.run(all_of_them())


def bodies(server: ScriptedServer) -> Sequence[Any]:
    """What it was sent to be answered."""
    return [received.body for received in server.asked]
