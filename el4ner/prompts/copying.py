"""Copies: a text copied with marks around its mentions, with or without their types, written and read back to exact offsets.

Models copy almost, not quite: another case, lost accents or white space, a changed quote. Reading therefore folds both
sides (case, accents, width, white space) through per-character maps and aligns what remains; a mention counts only where
its folded characters stand in the text.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import accumulate

from el4ner.errors import ParseError
from el4ner.text.spans import Span, uncrossed

OPEN, CLOSE = "[[", "]]"
TYPED = "|"
"""What parts a mention from its type: ``[[Paris|location]]``."""
UNKNOWN = "\ufffd"
"""What a tokenizer without a token for a character prints; it matches any single character of the text."""
MIN_COPIED = 0.5
"""Share of the text that an answer must copy to count as a copy at all."""
MIN_COPIED_UNMARKED = 0.8
"""The same for an answer without marks: talk about a text repeats much of it, and must not count as "no entity"."""
_TYPED_MARK = re.compile(r"\[\[([^\[\]]*)\|([^\[\]|]*)\]\]")
MAX_GROWTH, MAX_TALK = 4, 2000
"""A longer answer than so many times the text, and so many characters of talk, is no copy; aligning takes their product."""
_PIECE = re.compile(r"\[+|\]+|[^\[\]]+")


def escape_marks(text: str) -> str:
    """The text with the marks of the inline format replaced by look-alikes of the same length, so that offsets stay."""
    return text.replace(OPEN, "⟦⟦").replace(CLOSE, "⟧⟧")


def write_copy(text: str, spans: Sequence[Span]) -> str:
    """``text`` with marks around the spans; nested spans nest their marks, and of two that cross the longer one is marked.

    Raises:
        AlignmentError: a span does not lie in the text.
    """
    events: list[tuple[int, int, int, str]] = []
    for span in uncrossed(spans):
        span.surface(text)
        events.append((span.start, 1, -span.end, OPEN))
        events.append((span.end, 0, -span.start, CLOSE))
    pieces, at = [], 0
    for position, _, _, mark in sorted(events):
        pieces += [text[at:position], mark]
        at = position
    return "".join([*pieces, text[at:]])


def write_typed_copy(text: str, mentions: Sequence[tuple[Span, str]]) -> str:
    """``text`` with marks around the mentions, each with its type: ``I live in [[Paris|location]].``

    Args:
        text: to be copied.
        mentions: spans with what their types are called; none overlaps another.

    Raises:
        AlignmentError: a span does not lie in the text.
    """
    pieces, at = [], 0
    for span, kind in sorted(mentions):
        pieces += [text[at : span.start], OPEN, span.surface(text), TYPED, kind, CLOSE]
        at = span.end
    return "".join([*pieces, text[at:]])


def is_copy(answer: str, text: str) -> bool:
    """Whether an answer is exactly the text with marks; white space around both aside."""
    return _split_marks(answer)[0].strip() == text.strip()


def is_typed_copy(answer: str, text: str) -> bool:
    """The same for an answer whose marks state types."""
    return is_copy(_without_types(answer)[0], text)


def read_typed_copy(answer: str, text: str) -> list[tuple[str, Span | None, str]]:
    """The marked mentions of an answer: surface as written, span in ``text`` (None where it is not there), type as written.

    A mark without a type has an empty one.

    Raises:
        ParseError: as :func:`read_copy`.
    """
    plain, kinds = _without_types(answer)
    body, closed = _split_marks(plain)
    return [(surface, span, kinds[number]) for number, surface, span in _located(body, closed, text)]


def mark_log_probs(answer: str, tokens: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """How probable each typed mark of an answer is: log-probabilities of the mention and, given the mention, of the type.

    The mention's is that of the tokens from the one that opens the mark to the one that ends the mention, the type's that of
    those after it up to the closing sign. A token counts once, where it begins.

    Args:
        answer: the copy.
        tokens: of the answer from its beginning, bytes (UTF-8) and log-probability of each; empty where they are not known.

    Returns:
        One pair for each mark in order of place; empty where the tokens do not reach the end of the answer.
    """
    ends = list(accumulate(size for size, _ in tokens))
    if not ends or ends[-1] < len(answer.encode()):
        return []
    found: list[tuple[float, float]] = []
    for mark in _TYPED_MARK.finditer(answer):
        start, parting, end = (len(answer[:at].encode()) for at in (mark.start(), mark.end(1), mark.end(2)))
        first, middle, last = bisect_right(ends, start), bisect_right(ends, parting), bisect_right(ends, end)
        values = [log_prob for _, log_prob in tokens[first : last + 1]]
        split = middle - first + 1
        found.append((sum(values[:split]), sum(values[split:])))
    return found


def read_copy(answer: str, text: str) -> list[tuple[str, Span | None]]:
    """The marked mentions of an answer: surface as written, and span in ``text`` (None where it is not there).

    Raises:
        ParseError: the answer copies less than half of the text, or is no full copy and marks nothing.
    """
    body, closed = _split_marks(answer)
    return [(surface, span) for _, surface, span in _located(body, closed, text)]


def _located(body: str, closed: Sequence[tuple[int, int]], text: str) -> list[tuple[int, str, Span | None]]:
    """Each marked interval of an answer's body in order of place: its number, its surface, and its span in the text."""
    order = sorted(range(len(closed)), key=lambda number: closed[number])
    marked = [closed[number] for number in order]
    if body.strip() == text.strip():
        return [(order[at], surface, span) for at, surface, span in _exact(body, marked, text)]
    folded_text, text_index = _fold(text)
    folded_body, body_index = _fold(body)
    if len(folded_body) > MAX_GROWTH * len(folded_text) + MAX_TALK:
        raise ParseError("the answer is many times as long as the text; a copy was asked for")
    mapping = _align(folded_body, folded_text)
    copied = sum(position is not None for position in mapping)
    if copied < (MIN_COPIED if marked else MIN_COPIED_UNMARKED) * len(folded_text):
        raise ParseError(
            f"the answer copies {copied} of {len(folded_text)} characters of the text; a full copy was asked for"
        )
    where = _BodyMap(body_index, mapping)
    mentions: list[tuple[int, str, Span | None]] = []
    for number, (start, end) in zip(order, marked, strict=True):
        surface = body[start:end].strip()
        if surface:
            span = _locate(where, start, end, text_index, folded_body, folded_text)
            mentions.append((number, surface, span and _with_accents(span, text)))
    return mentions


def _exact(body: str, marked: Sequence[tuple[int, int]], text: str) -> list[tuple[int, str, Span]]:
    shift = (len(text) - len(text.lstrip())) - (len(body) - len(body.lstrip()))
    mentions: list[tuple[int, str, Span]] = []
    for at, (start, end) in enumerate(marked):
        inner = body[start:end]
        surface = inner.strip()
        if surface:
            first = start + len(inner) - len(inner.lstrip()) + shift
            mentions.append((at, surface, Span(first, first + len(surface))))
    return mentions


def _with_accents(span: Span, text: str) -> Span:
    """The span with the combining marks that follow its last character: folding has dropped them."""
    end = span.end
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return Span(span.start, end)


@lru_cache(maxsize=8192)
def _fold_character(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold().replace(" ", "")


def _fold(text: str) -> tuple[str, list[int]]:
    folded, index = [], []
    for position, character in enumerate(text):
        if character.isspace():
            continue
        for part in _fold_character(character):
            folded.append(part)
            index.append(position)
    return "".join(folded), index


def _without_types(answer: str) -> tuple[str, list[str]]:
    """The answer without the types in its marks, and these in the order in which the marks close; empty where there is none."""
    pieces, kinds = _PIECE.findall(answer), []
    opened = 0
    for at, piece in enumerate(pieces):
        if piece[0] == "[":
            opened += len(piece) // 2
        if piece[0] != "]":
            continue
        closing = min(len(piece) // 2, opened)
        opened -= closing
        surface, parting, kind = pieces[at - 1].rpartition(TYPED) if at else ("", "", "")
        if closing and parting:
            pieces[at - 1] = surface
        kinds += [kind.strip() if parting and not number else "" for number in range(closing)]
    return "".join(pieces), kinds


def _split_marks(answer: str) -> tuple[str, list[tuple[int, int]]]:
    """The answer without marks, and the marked intervals in it in the order in which they close.

    A mark without its partner is ignored.

    In an odd run of brackets the outermost is the text's own: ``[[[1]]]`` marks the 1 of ``[1]``.
    """
    pieces: list[str] = []
    length = 0
    opened: list[int] = []
    marked: list[tuple[int, int]] = []
    for piece in _PIECE.findall(answer):
        marks, own = divmod(len(piece), 2) if piece[0] in "[]" else (0, len(piece))
        if piece[0] == "]":
            marked += [(opened.pop(), length) for _ in range(min(marks, len(opened)))]
        pieces.append(piece[:own])
        length += own
        if piece[0] == "[":
            opened += [length] * marks
    return "".join(pieces), marked


def _align(body: str, text: str) -> list[int | None]:
    """For each folded character of the answer, the folded character of the text it copies."""
    if body == text:
        return list(range(len(body)))
    mapping: list[int | None] = [None] * len(body)
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, body, text, autojunk=False).get_opcodes():
        same_length = i2 - i1 == j2 - j1
        if tag == "equal" or (tag == "replace" and same_length and set(body[i1:i2]) == {UNKNOWN}):
            mapping[i1:i2] = range(j1, j2)
    return mapping


@dataclass(frozen=True, slots=True)
class _BodyMap:
    index: list[int]
    mapping: list[int | None]

    def between(self, start: int, end: int) -> list[tuple[int, int | None]]:
        return [(i, self.mapping[i]) for i, position in enumerate(self.index) if start <= position < end]


def _locate(
    where: _BodyMap, start: int, end: int, text_index: list[int], folded_body: str, folded_text: str
) -> Span | None:
    inside = where.between(start, end)
    targets = [target for _, target in inside]
    if not targets or targets[0] is None or targets[-1] is None:
        return None
    first, last = targets[0], targets[-1]
    written = "".join(folded_body[i] for i, _ in inside)
    copied = folded_text[first : last + 1]
    if len(written) != len(copied) or any(a not in (b, UNKNOWN) for a, b in zip(written, copied, strict=True)):
        return None
    return Span(text_index[first], text_index[last] + 1)
