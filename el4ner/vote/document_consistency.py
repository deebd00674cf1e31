"""What is sure in one place of a document is evidence in the others (non-local label consistency, Krishnan and Manning 2006).

Windows are read apart, and small models overlook a name in one sentence that they see in the next. A surface that was found
with one type, for sure in one place at least, is added where the same surface stands elsewhere between word borders, unless
the members read it often enough and took it for a common word. Letter case tells names from words where the script has it.
A name whose word also begins or ends a longer one of its type needs no share: both were found, and common words are no surnames.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from el4ner.text.align import occurrences, stands_at
from el4ner.text.boundaries import sentence_starts
from el4ner.text.spans import Span
from el4ner.vote.entities import VotedEntity

SURE_SCORE = 0.8
"""The score that one place of a surface must have."""
TYPE_SHARE = 0.75
"""Least share of a surface's entities that have the same type."""
NAME_SHARE = 0.1
"""Least share of a name's places where it was found; a name has a capital that its place in the sentence does not explain."""
WORD_SHARE = 0.6
"""The same of any other surface."""
_REACH = 32
_RUN = re.compile(r"[A-Za-z0-9]+")
_WORD = re.compile(r"[^\W\d_]+")
_WORD_BEFORE = re.compile(r"(?<!\w)([^\W\d_][\w'’-]*)\.? $")
_OPENERS = frozenset("\"'“‘«„([{:—–•*_")


def found_elsewhere(
    text: str, entities: Iterable[VotedEntity], unread: Iterable[tuple[int, int]] = ()
) -> list[VotedEntity]:
    """The entities to add to a document: further places of what was found in it, sorted by place.

    None overlaps an entity, another one that is added, or what was not read; a longer surface goes before a shorter one.
    The score is ``s (1 + m / n) / 2`` for a surface that was found in m of n places with the mean score s: halfway between
    the score where it was found and the mean score of all places, 0 where it was not found.

    Args:
        text: of the document.
        entities: what was found, with scores.
        unread: stretches ``(start, end)`` of the text that nobody read.
    """
    found: defaultdict[str, list[VotedEntity]] = defaultdict(list)
    covered = bytearray(len(text))
    for entity in entities:
        found[entity.span.surface(text)].append(entity)
        _cover(covered, entity.start, entity.end)
    for start, end in unread:
        _cover(covered, start, end)
    sure = {surface: agreed for surface, given in found.items() if len(surface) > 1 and (agreed := _agreed(given))}
    if not sure:
        return []
    words, parts = _Words.of(text), _parts(sure)
    added: list[VotedEntity] = []
    for surface in sorted(sure, key=lambda surface: (-len(surface), surface)):
        free = [span for span in words.places(surface) if covered.find(1, span.start, span.end) < 0]
        least = 0.0 if (surface, sure[surface][0].type) in parts else None
        added += _elsewhere(surface, sure[surface], free, words, least)
        for span in free:  # also those that were refused: no part of them is a mention of a shorter surface
            _cover(covered, span.start, span.end)
    return sorted(added, key=lambda entity: entity.start)


@dataclass(frozen=True, slots=True)
class _Words:
    """Where the words of a text stand, and what their letter case says of them.

    Attributes:
        text: of the document.
        starts: of each run of ASCII letters and digits.
        borders: offsets where sentences begin.
        common: the words that it also writes in lower words.
    """

    text: str
    starts: dict[str, list[int]]
    borders: frozenset[int]
    common: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Self:
        starts: defaultdict[str, list[int]] = defaultdict(list)
        for run in _RUN.finditer(text):
            starts[run[0]].append(run.start())
        common = frozenset(word for word in _WORD.findall(text) if word.islower())
        return cls(text, dict(starts), frozenset((0, *sentence_starts(text))), common)

    def places(self, surface: str) -> list[Span]:
        """As ``occurrences``, without reading the whole text for a surface that begins with a run."""
        first = _RUN.match(surface)
        if first is None:
            return occurrences(surface, self.text)
        spans: list[Span] = []
        for start in self.starts.get(first[0], ()):
            if stands_at(surface, self.text, start) and (not spans or start >= spans[-1].end):
                spans.append(Span(start, start + len(surface)))
        return spans

    def begins_sentence(self, start: int) -> bool:
        """Whether any word has a capital there: at the beginning of a sentence, a quotation, or an item."""
        before = self.text[max(0, start - _REACH) : start].rstrip()
        return start in self.borders or not before or before[-1] in _OPENERS

    def is_explained(self, surface: str, start: int) -> bool:
        """Whether the place alone may be why the surface has a capital."""
        return surface[1:] == surface[1:].lower() and self.begins_sentence(start)

    def is_common(self, surface: str) -> bool:
        """Whether the text also writes the surface in lower words."""
        lower = surface.lower()
        return lower in self.common if _WORD.fullmatch(lower) else bool(self.places(lower))

    def neighbours(self, span: Span) -> tuple[bool, bool]:
        """Whether a name's word stands right before a span, and after it: the span may be a part of a longer name."""
        after = self.text[span.end : span.end + 2]
        follows = after[:1] == " " and after[1:].isupper() and span.end + 1 not in self.borders
        before = _WORD_BEFORE.search(self.text[max(0, span.start - _REACH) : span.start])
        if before is None or span.start in self.borders or not before[1][0].isupper():
            return False, follows
        plain = before[1].lower() in self.common and self.begins_sentence(span.start - len(before[0]))
        return not plain, follows


def _agreed(entities: Sequence[VotedEntity]) -> list[VotedEntity]:
    """The entities of a surface's type; none where its type is not clear, or no place is sure."""
    by_type: defaultdict[str, list[VotedEntity]] = defaultdict(list)
    for entity in entities:
        by_type[entity.type].append(entity)
    most = max(by_type.values(), key=len)
    clear = len(most) >= TYPE_SHARE * len(entities)
    return most if clear and max(entity.score or 0.0 for entity in most) >= SURE_SCORE else []


def _parts(sure: Mapping[str, Sequence[VotedEntity]]) -> set[tuple[str, str]]:
    """First and last words, with a capital, of the longer names that are sure, with their types."""
    return {
        (word, agreed[0].type)
        for surface, agreed in sure.items()
        if len(words := surface.split()) > 1
        for word in (words[0], words[-1])
        if word != word.lower()
    }


def _elsewhere(
    surface: str, agreed: Sequence[VotedEntity], free: Sequence[Span], words: _Words, least: float | None = None
) -> list[VotedEntity]:
    """The entities in those of the free places that are meant; none where the surface was left unmarked too often.

    ``least``: the share of its places where it must have been found; None: as its letter case asks.
    """
    marked = [entity.span for entity in agreed]
    usual = {(False, False), *map(words.neighbours, marked)}
    places = [span for span in free if words.neighbours(span) in usual]
    asked = WORD_SHARE
    if surface != surface.lower():
        if not all(words.is_explained(surface, span.start) for span in (*marked, *places)):
            asked = NAME_SHARE
        if words.is_common(surface):
            places = [span for span in places if not words.is_explained(surface, span.start)]
    share = len(agreed) / (len(agreed) + len(places))
    if share < (asked if least is None else least):
        return []
    score = round(sum(entity.score or 0.0 for entity in agreed) / len(agreed) * (1 + share) / 2, 4)
    return [VotedEntity(span.start, span.end, agreed[0].type, score, source="document") for span in places]


def _cover(covered: bytearray, start: int, end: int) -> None:
    covered[start:end] = b"\1" * (end - start)
