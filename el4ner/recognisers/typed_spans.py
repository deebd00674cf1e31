"""What a member that names mentions with their types said of a text: candidates and votes in one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from el4ner.config import Language
from el4ner.recognisers.base import PromptedMember
from el4ner.text.spans import Entity, Span
from el4ner.vote.votes import Vote

Found = dict[str, list[Span]]
"""Spans by type name, for each type whose answer could be read."""


@dataclass(frozen=True, slots=True)
class TypedSpans:
    """What a member answered to the questions about one text.

    Attributes:
        types: the types of each span that it named, in the order of the labels; nearly always one.
        complete: whether all of its answers could be read.
        probabilities: the probability of each type, and of None, for spans that it marked or was asked to rescore, where its
            engine tells them.
    """

    types: Mapping[Span, tuple[str, ...]]
    complete: bool
    probabilities: Mapping[Span, Mapping[str | None, float]] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether it said anything: spans, or that there are none."""
        return self.complete or bool(self.types)

    def vote(self, span: Span, weight: float) -> Vote | None:
        """Its vote on a candidate; None where it abstains.

        A span that it named under a type has that type; under several, the first of them, and equal probabilities. One that
        it did not name is no entity, if all of its answers were read: a lost answer may have named it.
        """
        named = self.types.get(span, ())
        if (probabilities := self.probabilities.get(span)) is not None:
            likeliest = max(probabilities, key=lambda kind: probabilities[kind])
            return Vote(likeliest, probabilities, weight, found=bool(named))
        if named:
            shares: dict[str | None, float] | None = None
            if len(named) > 1:
                shares = {name: 1 / len(named) for name in named}
            return Vote(named[0], shares, weight)
        return Vote(None, None, weight, found=False) if self.complete else None

    def added_to(self, later: "TypedSpans") -> "TypedSpans":
        """Later answers about the same text, and of these the spans that overlap none of theirs."""
        new = {span: types for span, types in self.types.items() if not any(map(span.overlaps, later.types))}
        known = {span: self.probabilities[span] for span in new if span in self.probabilities}
        return TypedSpans({**later.types, **new}, self.complete and later.complete, {**later.probabilities, **known})


def typed_spans_of(entities: Sequence[Entity], types: Sequence[str]) -> TypedSpans:
    """Entities as if a member had named them."""
    read: Found = {name: [entity.span for entity in entities if entity.type == name] for name in types}
    return TypedSpans(by_span(read, types), complete=True)


def merge_earlier(answers: Mapping[str, TypedSpans], earlier: Mapping[str, TypedSpans]) -> dict[str, TypedSpans]:
    """Each member's answers with its earlier ones added, where it gave both; else those that it gave."""
    both = {name: earlier[name].added_to(later) for name, later in answers.items() if name in earlier}
    return {**earlier, **answers, **both}


def all_votes(
    span: Span,
    typed: Mapping[str, Vote],
    found: Mapping[str, Sequence[Span]],
    answers: Mapping[str, TypedSpans],
    members: Sequence[PromptedMember],
    language: Language,
) -> dict[str, Vote]:
    """Everybody's vote on a candidate, in the order of the members.

    Args:
        span: the candidate.
        typed: votes of the members that were asked for its type.
        found: the spans that each member named itself.
        answers: of the members that name mentions with their types.
        members: all members that were asked about the text.
        language: of the text.
    """
    votes = {name: replace(vote, found=span in found.get(name, ())) for name, vote in typed.items()}
    for member in members:
        if member.name in answers and (vote := answers[member.name].vote(span, member.weight(language))):
            votes[member.name] = vote
    return {member.name: votes[member.name] for member in members if member.name in votes}


def by_span(read: Found, types: Sequence[str]) -> dict[Span, tuple[str, ...]]:
    """The types of each span, in the order of ``types``."""
    spans = sorted({span for found in read.values() for span in found})
    return {span: tuple(name for name in types if span in read.get(name, ())) for span in spans}
