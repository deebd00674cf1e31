"""Spans and entities: half-open code-point offsets into a text, and what can be done with sets of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from el4ner.errors import AlignmentError


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open interval ``[start, end)`` of code points."""

    start: int
    end: int

    def surface(self, text: str) -> str:
        """The covered text.

        Raises:
            AlignmentError: the span is empty or does not lie in ``text``.
        """
        if not 0 <= self.start < self.end <= len(text):
            raise AlignmentError(f"span [{self.start}, {self.end}) does not lie in a text of {len(text)} characters")
        return text[self.start : self.end]

    def overlaps(self, other: "Span") -> bool:
        """Whether the two share at least one character."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: "Span") -> bool:
        """Whether ``other`` lies in this span (equal spans contain each other)."""
        return self.start <= other.start and other.end <= self.end

    def shift(self, by: int) -> "Span":
        """The span moved by ``by`` characters."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """A typed span of a text: ``[start, end)`` code points, and the name of its type."""

    start: int
    end: int
    type: str

    @property
    def span(self) -> Span:
        """The span without its type."""
        return Span(self.start, self.end)


def check_surface(text: str, span: Span, surface: str, where: str) -> None:
    """Refuse a span whose surface differs from the text at its offsets; ``where`` names the document, never the text."""
    if span.surface(text) != surface:
        raise AlignmentError(
            f"{where}: the text at [{span.start}, {span.end}) is not the stated surface; fix the offsets"
        )


def crosses(a: Span, b: Span) -> bool:
    """Whether two spans overlap and neither contains the other."""
    return a.overlaps(b) and not a.contains(b) and not b.contains(a)


def is_nested(spans: Iterable[Span]) -> bool:
    """Whether any two different spans overlap."""
    ordered = sorted(set(spans))
    reach = -1
    for span in ordered:
        if span.start < reach:
            return True
        reach = max(reach, span.end)
    return False


def uncrossed(spans: Iterable[Span]) -> list[Span]:
    """The spans without those that cross a longer one, or an earlier one of the same length; marks cannot say both."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span.start - span.end, span.start)):
        if not any(crosses(span, other) for other in kept):
            kept.append(span)
    return kept
