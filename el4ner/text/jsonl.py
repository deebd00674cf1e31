"""Documents in JSON lines: ``{"id", "text", "entities": [{"start", "end", "type", "text"?}]?}``, one object a line."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from el4ner.errors import AlignmentError, InputError
from el4ner.text.documents import Document, Item, Unreadable, digest
from el4ner.text.files import BLANK, Line, check_text, holds_one_line
from el4ner.text.spans import Entity, Span, check_surface

_KINDS = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}


def parse_jsonl(lines: Iterable[Line], stem: str) -> Iterator[tuple[str, Item]]:
    """What each line holds, with its place for messages; blank lines are skipped.

    An id may be a string or a whole number; a line without one gets ``stem:N``. Keys that are not known are ignored.
    Entities are sorted, and duplicates of the same span and type are merged. A line that is no such object, with an entity
    that does not lie in its text, or with an id that no line can hold, is unreadable.
    """
    for line in lines:
        if line.data.strip(BLANK):
            yield line.place, _item(line, f"{stem}:{line.number}")


def parse_document(line: str, default: str, place: str) -> Document:
    """The document of one line; ``default`` is its id if it states none.

    Raises:
        InputError: the line is not such an object; begins with ``place``.
    """
    record = _load(line, place)
    return _document(record, _identity(record.get("id"), default, place), place)


def _item(line: Line, default: str) -> Item:
    identity = default
    try:
        record = _load(line.text(), line.place)
        identity = _one_line(_identity(record.get("id"), default, line.place), line.place)
        return _document(record, identity, line.place)
    except InputError as error:
        return Unreadable(identity, line.place, str(error), digest(line.data))


def _document(record: dict[str, Any], identity: str, place: str) -> Document:
    text = record.get("text")
    if not isinstance(text, str):
        raise InputError(f'{place}: "text" must be a string; it is {_kind(text)}')
    check_text(text, place)
    return Document(identity, text, _entities(record.get("entities"), text, place))


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


def _one_line(identity: str, place: str) -> str:
    if identity.isspace() or not holds_one_line(identity):
        raise InputError(
            f"{place}: the id is blank, or holds a line break or another control character; write another one"
        )
    return identity


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
