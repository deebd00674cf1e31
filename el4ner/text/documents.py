"""The unit of work: a document exactly as given, and the windows cut from it."""

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

from el4ner.text.spans import Entity, Span


@dataclass(frozen=True, slots=True)
class Document:
    """A document: all offsets are code points into ``text`` exactly as given.

    Attributes:
        id: unique within a job.
        text: the text, unchanged.
        entities: gold entities where the input holds them, else None (an empty tuple means: labelled, none).
        tokens: token spans where the input was tokenised (CoNLL), else None.
    """

    id: str
    text: str
    entities: tuple[Entity, ...] | None = None
    tokens: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a document that cannot be read.

    Attributes:
        id: the id that it states, else that of its place; unique within a job.
        place: its file, and the line where that has several documents.
        reason: where it stands, what is wrong, and what to do; never text.
        digest: of its bytes (see :func:`digest`), so that a mended one is known for another.
    """

    id: str
    place: str
    reason: str
    digest: str


Item: TypeAlias = Document | Unreadable
"""What an input holds in a document's place."""


def digest(data: bytes) -> str:
    """16 hexadecimal digits (BLAKE2b) of some bytes; enough to see that they changed, too few to find them by."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch ``document.text[start:end]`` that is given to the models at once.

    The windows of a document overlap, but their *owned* stretches ``[own_start, own_end)`` partition it: an entity belongs
    to the window that owns its first character, so nothing is found twice and nothing is lost.

    Attributes:
        document_id: the document it was cut from.
        index: its place among the document's windows, from 0.
        start: document offset of its first character.
        text: its text.
        own_start: document offset where its owned stretch begins.
        own_end: document offset where its owned stretch ends.
        language: ``"en"`` or ``"zh"``.
    """

    document_id: str
    index: int
    start: int
    text: str
    own_start: int
    own_end: int
    language: str

    @property
    def end(self) -> int:
        """Document offset after its last character."""
        return self.start + len(self.text)

    def owns(self, span: Span) -> bool:
        """Whether a span, in window offsets, begins in the owned stretch."""
        return self.own_start <= self.start + span.start < self.own_end
