"""Answers as JSON schemas, for servers that are told the form of an answer so and in no other way.

Closed choices are asked for freely at first: demonstrations show bare labels, and a model that is held to a quoted one instead
chooses by it. What the tokens' alternatives say of the labels counts, whatever the answer is (``choice_log_probs``).
"""

from typing import Any

from el4ner.config import MemberConfig
from el4ner.engines.base import Request

BLANK_LINE = "\n\n"
"""Ends a list of lines, where nothing else bounds it but the longest answer."""

_MAX_ITEMS = 128
"""Of a list, whatever its text; a model that repeats itself comes to an end."""


def choice_schema(request: Request) -> dict[str, Any]:
    """A closed choice as a string."""
    return {"type": "string", "enum": list(request.choices)}


def list_schema(request: Request) -> dict[str, Any] | None:
    """A list of mentions, where it is one of JSON."""
    if request.list_of is None or not request.list_of.quoted:
        return None
    most = min(len(request.list_of.text) // 3 + 1, _MAX_ITEMS)
    return {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": most}


def stop_strings(request: Request, thinking: bool) -> list[str]:
    """Where an answer that nothing holds ends: a list of lines at a blank one, a choice at the end of its line."""
    if thinking:
        return []
    if request.choices:
        return ["\n"]
    return [BLANK_LINE] if request.list_of is not None and not request.list_of.quoted else []


def limitations(
    server: str, config: MemberConfig, supports_json_schema: bool, gives_log_probs: bool
) -> tuple[str, ...]:
    """What a server cannot do for a member, in one line; nothing where it can do all."""
    unheld = {"inline": "copies of the text", "lines": "lists to the text", "json": "JSON lists to the text"}
    kinds = [unheld[config.answer_format]] if config.constrain is True else []
    if not supports_json_schema and config.constrain:
        kinds.append("closed choices")
    said = [f"cannot hold {' and '.join(kinds)}; answers are read as they come"] if kinds else []
    if not gives_log_probs:
        said.append("gives no log-probabilities; its votes are whole")
    return (f"{server} {'; it '.join(said)}",) if said else ()


__all__ = ["BLANK_LINE", "choice_schema", "limitations", "list_schema", "stop_strings"]
