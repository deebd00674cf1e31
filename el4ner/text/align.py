"""From a surface string, as a model gives it, to its offsets in the text: exact places first, then tolerant ones."""

import unicodedata
from functools import lru_cache

from el4ner.text.language import is_cjk, is_word_char
from el4ner.text.spans import Span

_LOOK_ALIKES = str.maketrans(
    dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»「」『』", '"') | dict.fromkeys("‐‑‒–—―−", "-") | {"İ": "i"}
)
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")


def occurrences(surface: str, text: str) -> list[Span]:
    """Every place where ``text`` holds exactly ``surface``, left to right; places do not overlap one another.

    Where the surface begins or ends with a letter or digit of a script that parts its words, the text must have a word
    boundary there ("art" is not in "party"). CJK surfaces match anywhere, and a CJK neighbour is a boundary.
    A surface without any visible character has no place.
    """
    if not surface.strip():
        return []
    spans: list[Span] = []
    start = text.find(surface)
    while start >= 0:
        end = start + len(surface)
        fits = _at_boundaries(text, start, end)
        if fits:
            spans.append(Span(start, end))
        start = text.find(surface, end if fits else start + 1)
    return spans


def stands_at(surface: str, text: str, start: int) -> bool:
    """Whether ``text`` holds exactly ``surface`` there, by the rules of ``occurrences``."""
    return text.startswith(surface, start) and _at_boundaries(text, start, start + len(surface))


def find(surface: str, text: str, tolerant: bool = True) -> list[Span]:
    """Where a surface stands in a text: its exact occurrences or, if there are none, those that only look different.

    Tolerated are differences of case, full and half width, compatibility forms, quotes and dashes, invisible
    characters, runs of white space (none counts as much as one next to a CJK character), and white space around the
    surface. Spans cover the text as it is written there; the rules of ``occurrences`` hold.
    """
    spans = occurrences(surface, text)
    return spans if spans or not tolerant else _tolerant_occurrences(surface, text)


def fold(text: str) -> tuple[str, tuple[int, ...]]:
    """A text without the differences that ``find`` tolerates, and for each character of it the offset that it came from."""
    return _fold_text(text)


def _tolerant_occurrences(surface: str, text: str) -> list[Span]:
    pattern, _ = _fold(surface)
    folded, origins = _fold_text(text)
    spans: list[Span] = []
    at = folded.find(pattern) if pattern else -1
    while at >= 0:
        after = at + len(pattern)
        start, end = origins[at], origins[after - 1] + 1
        fits = _is_whole(origins, at, after) and _at_boundaries(text, start, end)
        if fits:
            spans.append(Span(start, end))
        at = folded.find(pattern, after if fits else at + 1)
    return spans


def _at_boundaries(text: str, start: int, end: int) -> bool:
    return not (_inside_word(text, start) or _inside_word(text, end))


def _inside_word(text: str, offset: int) -> bool:
    return 0 < offset < len(text) and is_word_char(text[offset - 1]) and is_word_char(text[offset])


def _is_whole(origins: tuple[int, ...], at: int, after: int) -> bool:
    """Whether a folded stretch covers whole characters of the text (not half of an ``ß`` that was folded to ``ss``)."""
    begins = at == 0 or origins[at - 1] != origins[at]
    ends = after == len(origins) or origins[after] != origins[after - 1]
    return begins and ends


def _fold(text: str) -> tuple[str, tuple[int, ...]]:
    """The text without the tolerated differences, and for each character of it the offset that it came from."""
    folded: list[str] = []
    origins: list[int] = []
    space: int | None = None
    for offset, char in enumerate(text):
        if char.isspace():
            space = offset if space is None else space
            continue
        pieces = _fold_char(char)
        if pieces and space is not None:
            if folded and not is_cjk(folded[-1]) and not is_cjk(char):
                folded.append(" ")
                origins.append(space)
            space = None
        folded.extend(pieces)
        origins.extend([offset] * len(pieces))
    return "".join(folded), tuple(origins)


_fold_text = lru_cache(maxsize=8)(_fold)
"""``_fold`` for the text: all surfaces of a window are sought one after the other."""


@lru_cache(maxsize=8192)
def _fold_char(char: str) -> str:
    if char in _INVISIBLE:
        return ""
    plain = unicodedata.normalize("NFKD", char.translate(_LOOK_ALIKES))
    return unicodedata.normalize("NFKD", plain.casefold()).translate(_LOOK_ALIKES)
