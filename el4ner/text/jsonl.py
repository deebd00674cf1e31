"""Documents in JSON lines: ``{"id", "text", "entities": [{"start", "end", "type", "text"?}]?}``, one object a line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from el4ner.errors import AlignmentError, InputError
from el4ner.text.documents import Document
from el4ner.text.files import check_text
from el4ner.text.spans import Entity, Span, check_surface

_KINDS = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def parse_jsonl(lines: Iterable[tuple[int, str]], where: str, stem: str) -> Iterator[tuple[str, Document]]:
    """The documents of numbered lines, each with its place (``where, line N``) for messages; blank lines are skipped.

    An id may be a string or a whole number; a line without one gets ``stem:N``. Keys that are not known are ignored.
    Entities are sorted, and duplicates of the same span and type are merged.

    Raises:
        InputError: a line is not such an object, or an entity does not lie in its text or differs from its surface.
    """
    for number, line in lines:
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        record = _load(line, place)
        text = record.get("text")
        if not isinstance(text, str):
            raise InputError(f'{place}: "text" must be a string; it is {_kind(text)}')
        check_text(text, place)
        identity = _identity(record.get("id"), f"{stem}:{number}", place)
        yield place, Document(identity, text, _entities(record.get("entities"), text, place))


def _load(line: str, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at column {error.colno}"
    except (ValueError, RecursionError):
        problem = "a number is too long or lists are nested too deeply"
    else:
        if isinstance(record, dict):
            return record
        problem = f"an object was expected, not {_kind(record)}"
    raise InputError(f'{place}: not a JSON object ({problem}); write one {{"id": ..., "text": ...}} a line')


def _identity(value: object, default: str, place: str) -> str:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f'{place}: "id" must be a string (not empty) or a whole number; it is {_kind(value)}')
    return check_text(str(value), f"{place}, id")


def _entities(value: object, text: str, place: str) -> tuple[Entity, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise InputError(f'{place}: "entities" must be a list; it is {_kind(value)}')
    return tuple(sorted({_entity(item, text, f"{place}, entity {number}") for number, item in enumerate(value, 1)}))


def _entity(item: object, text: str, place: str) -> Entity:
    if not isinstance(item, dict):
        raise InputError(f'{place}: expected {{"start": ..., "end": ..., "type": ...}}, not {_kind(item)}')
    start, end, kind, surface = (item.get(key) for key in ("start", "end", "type", "text"))
    if type(start) is not int or type(end) is not int:
        raise InputError(f'{place}: "start" and "end" must be whole numbers (code points, end excluded)')
    if not isinstance(kind, str) or not kind:
        raise InputError(f'{place}: "type" must be a string that is not empty')
    try:
        if surface is None:
            Span(start, end).surface(text)
        else:
            check_surface(text, Span(start, end), surface, place)
    except AlignmentError as error:
        message = str(error).removeprefix(f"{place}: ")
        raise InputError(f"{place}: {message} (offsets are code points, neither bytes nor UTF-16 units)") from error
    return Entity(start, end, kind)


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    if value == "":
        return "empty"
    return _KINDS.get(type(value), type(value).__name__)
