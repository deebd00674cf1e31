"""One item of a list that a model wrote: the mentions that it names, without bullets, quotes and types around them."""

import re
from collections.abc import Iterator

from el4ner.text.align import find

_MARKER = re.compile(r"^(?:[-*•·‣]\s+|[(（]?\d{1,3}[.)、）．:：]\s*)")
_BULLET = re.compile(r"^[-*•·‣]\s+")
_STARS = re.compile(r"(\*{1,3}|_{2,3})(\S.*?)\1", re.DOTALL)
_QUOTES = "\"'`“”‘’「」『』《》*"
_BRACKETS = "[]{}()（）【】"
_ENDS = " \t.。!！,，;；、"
_TYPE_BEHIND = re.compile(r"^(.*\S)\s*[(（\[【<][^()（）\[\]【】<>]*[)）\]】>]$", re.DOTALL)
_HEAD = re.compile(r"[:：]|\t|\s*\|\s*|\s*(?:->|=>|→)\s*|\s+[-–—]\s+|(?<=\w)\s*=\s*")
"""What parts a type from its mention: ``person: Ada``, ``Ada - person``, ``Ada | person``."""
_COLON = re.compile("[:：]")
_COMMA = re.compile(r"\s*(?:[、，;；]|,(?!\d)|(?<!\d),)\s*(?:(?:and|or)\s+)?")
_AND = re.compile(r"\s+(?:and|or)\s+|(?<=\S\S)(?:以及|和|及|与)(?=\S\S)")
_TAIL = re.compile(
    r"(?:D\.C|N\.[CDHJMY]|S\.[CD]|R\.I|B\.C|Inc|Ltd|LLC|Corp|Co|Jr|Sr|Ph\.?D|M\.?D|Esq|I{2,3}|IV|\d{1,4})\.?"
)
"""What belongs to the name before its comma: ``Washington, D.C.``."""


def mentions_in(item: str, text: str) -> list[str]:
    """The surfaces that an item names.

    What stands in the text as a whole is one mention, unless it is an enumeration without quotes ("Paris, London"). Otherwise the
    item is taken apart at commas, and each part without the type before or behind it. What does not stand in the text at all is
    given back without ornaments, to be counted.
    """
    whole = _standing(item, text)
    if whole is not None:
        return [whole] if _is_quoted(item.strip()) else _enumerated(whole, text) or [whole]
    read = [(part, _parts_standing(part, text)) for part in _split(item, text)]
    if any(found for _, found in read):
        return [surface for part, found in read for surface in found or [bare(part)] if surface]
    return [bare(item)]


def stands(item: str, text: str) -> bool:
    """Whether anything that an item names stands in the text."""
    return any(find(surface, text) for surface in mentions_in(item, text))


def bare(item: str) -> str:
    """An item without bullet, number, stars and quotes."""
    return _MARKER.sub("", item.strip()).strip(_QUOTES).strip()


def _is_quoted(item: str) -> bool:
    return item[:1] + item[-1:] in ('""', "“”")


def _standing(item: str, text: str) -> str | None:
    """The first reading of an item as one mention that stands in the text."""
    return next((reading for reading in dict.fromkeys(_readings(item, text)) if reading and find(reading, text)), None)


def _readings(item: str, text: str) -> Iterator[str]:
    """Ways to read an item as one mention, from the most literal on."""
    plain = _BULLET.sub("", item.strip())
    starred = _STARS.fullmatch(plain)
    plain = starred[2] if starred else plain
    yield from (plain, plain[1:-1].strip() if _is_quoted(plain) else plain)
    stripped = bare(plain)
    typed = _TYPE_BEHIND.match(stripped)
    head, *after = _COLON.split(stripped, maxsplit=1)
    for reading in (stripped, typed[1] if typed else "", after[0].strip() if after and head not in text else ""):
        unquoted = reading.strip(_QUOTES).strip()
        yield from (reading, unquoted, unquoted.rstrip(_ENDS), unquoted.rstrip(_ENDS).strip(_QUOTES))


def _enumerated(whole: str, text: str) -> list[str]:
    """The mentions of an enumeration; empty where it is one mention that holds a comma ("Washington, D.C.")."""
    parts = _split(whole, text)
    alike = len({part[:1].isupper() for part in parts}) == 1 and not any(part[:1].isdigit() for part in parts)
    return parts if len(parts) > 1 and alike and all(find(part, text) for part in parts) else []


def _split(item: str, text: str) -> list[str]:
    """An item cut at its commas, and the last part at its "and"; abbreviations and numbers stay with the name before them."""
    parts: list[str] = []
    for part in _COMMA.split(item.strip()):
        name = _HEAD.split(parts[-1])[-1].strip(_QUOTES) if parts else ""
        if name and _TAIL.fullmatch(part.strip(_QUOTES)) and find(f"{name}, {part.strip(_QUOTES)}", text):
            parts[-1] = f"{parts[-1].rstrip(_QUOTES)}, {part.strip(_QUOTES)}"
        elif part:
            parts.append(part)
    return [*parts[:-1], *_AND.split(parts[-1], maxsplit=1)] if len(parts) > 1 else parts


def _parts_standing(part: str, text: str) -> list[str]:
    """What of a part stands in the text: all of it, or the mention that a type stands beside."""
    whole = _standing(part, text)
    if whole is not None:
        return [whole]
    pieces = [piece.strip(_QUOTES + _BRACKETS + _ENDS) for piece in _HEAD.split(_MARKER.sub("", part.strip()))]
    found = [piece for piece in pieces if piece and find(piece, text)]
    return [piece for piece in found if piece in text] or found
