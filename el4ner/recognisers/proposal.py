"""What a recogniser found in a window: spans, and their types where it types them, which are its votes as well."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span
from el4ner.vote.votes import Vote


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a recogniser found in a window.

    Attributes:
        types: the types of each span that it found, in the order of the labels; nearly always one; none where it did not type it.
        complete: whether all of its answers could be read.
        probabilities: the probability of each type, and of None, for spans that it gives them for; spans that it did not find
            may be among them.
        demonstrations: those that it was shown.
    """

    types: Mapping[Span, tuple[str, ...]]
    complete: bool = True
    probabilities: Mapping[Span, Mapping[str | None, float]] = field(default_factory=dict)
    demonstrations: tuple[Document, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it says anything: spans, or that there are none."""
        return self.complete or bool(self.types)

    def vote(self, span: Span, weight: float) -> Vote | None:
        """What it says of a candidate; None where that is nothing.

        A span that it named under a type has that type; under several, the first of them, and equal probabilities. One that
        it did not name is no entity, if all of its answers were read: a lost answer may have named it.
        """
        named = self.types.get(span)
        if (probabilities := self.probabilities.get(span)) is not None:
            likeliest = max(probabilities, key=lambda kind: probabilities[kind])
            return Vote(likeliest, probabilities, weight, found=named is not None)
        if named:
            shares: dict[str | None, float] | None = None
            if len(named) > 1:
                shares = {name: 1 / len(named) for name in named}
            return Vote(named[0], shares, weight)
        return Vote(None, None, weight, found=False) if named is None and self.complete else None

    def added_to(self, later: "Proposal") -> "Proposal":
        """A later proposal for the same text, and of this one what it did not type, or what overlaps nothing of the later."""
        new = {
            span: types for span, types in self.types.items() if not types or not any(map(span.overlaps, later.types))
        }
        known = {span: self.probabilities[span] for span in new if span in self.probabilities}
        return Proposal(
            {**later.types, **new},
            self.complete and later.complete,
            {**later.probabilities, **known},
            later.demonstrations,
        )


def proposal_of(entities: Sequence[Entity], types: Sequence[str]) -> Proposal:
    """Entities as if a recogniser had named them."""
    return Proposal(
        by_span({name: [entity.span for entity in entities if entity.type == name] for name in types}, types)
    )


def by_span(found: Mapping[str, Iterable[Span]], types: Sequence[str]) -> dict[Span, tuple[str, ...]]:
    """From spans by type name to the types of each span, in the order of ``types``."""
    spans = sorted({span for named in found.values() for span in named})
    return {span: tuple(name for name in types if span in found.get(name, ())) for span in spans}


def disputed(candidates: Iterable[Span], proposals: Sequence[Proposal]) -> list[tuple[Span, ...]]:
    """Groups of overlapping candidates that the proposals do not type alike."""
    groups: list[list[Span]] = []
    for span in sorted(candidates):
        if groups and span.start < max(other.end for other in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    return [tuple(group) for group in groups if _differ(group, proposals)]


def _differ(group: Sequence[Span], proposals: Iterable[Proposal]) -> bool:
    return len({tuple(proposal.types.get(span, ())[:1] for span in group) for proposal in proposals}) > 1
