"""What members say of a candidate that all of them are asked about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from el4ner.text.spans import Entity, Span
from el4ner.vote.table import MemberOutput


@dataclass(frozen=True, slots=True)
class Vote:
    """One member's vote on one candidate.

    Attributes:
        type: type name, or None for "no entity".
        probabilities: probability of each type name and of None, where the engine gives them.
        weight: how many votes it counts for, above 0.
        found: whether the member had marked the candidate itself, before it was asked for its type.
    """

    type: str | None
    probabilities: Mapping[str | None, float] | None = None
    weight: float = 1.0
    found: bool = True

    def probability(self, option: str | None) -> float:
        """What it gives an option; 1 for its type and 0 for the others where it states no probabilities."""
        if self.probabilities is None:
            return float(self.type == option)
        return self.probabilities.get(option, 0.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A span that some member found, and what all members say of it.

    Attributes:
        span: its place.
        votes: by member; members that abstained are missing.
    """

    span: Span
    votes: Mapping[str, Vote]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: votes, and probabilities of types where a member states them; weights are left out."""
        votes = self.votes.items()
        stated = {
            name: {kind: round(probability, 4) for kind, probability in vote.probabilities.items() if kind is not None}
            for name, vote in votes
            if vote.probabilities is not None
        }
        types = {name: vote.type for name, vote in votes}
        found = [name for name, vote in votes if vote.found]
        record = {"start": self.span.start, "end": self.span.end, "found": found, "votes": types}
        return {**record, "probabilities": stated} if stated else record


def parse_candidate(data: Mapping[str, Any]) -> Candidate:
    """A candidate as ``as_dict`` gives it; what its probabilities leave is for no entity.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    stated: dict[str, dict[str, float]] = data.get("probabilities", {})
    found = data.get("found", list(data["votes"]))
    votes = {
        name: Vote(kind, _with_none(stated.get(name)), found=name in found) for name, kind in data["votes"].items()
    }
    return Candidate(Span(int(data["start"]), int(data["end"])), votes)


def discounted(vote: Vote, discount: float) -> Vote:
    """The vote of a member that did not find the candidate itself, its probabilities of types multiplied by ``discount``.

    What they lose goes to "no entity", and the vote to what is most probable then. Other votes stay as they are, and so
    do those without probabilities.
    """
    if vote.found or vote.probabilities is None:
        return vote
    probabilities: dict[str | None, float] = {
        kind: discount * probability for kind, probability in vote.probabilities.items() if kind is not None
    }
    probabilities[None] = 1 - sum(probabilities.values())
    return replace(vote, type=max(probabilities, key=lambda kind: probabilities[kind]), probabilities=probabilities)


def member_outputs(votes: Mapping[Span, Mapping[str, Vote]]) -> dict[str, MemberOutput]:
    """The votes on all candidates of a document by member; members without any vote are missing."""
    names = dict.fromkeys(name for by_member in votes.values() for name in by_member)
    return {name: _output_of(name, votes) for name in names}


def _output_of(name: str, votes: Mapping[Span, Mapping[str, Vote]]) -> MemberOutput:
    found: dict[Entity, float | None] = {}
    alternatives: dict[Entity, float] = {}
    for span, by_member in votes.items():
        vote = by_member.get(name)
        if vote is None:
            continue
        probabilities = vote.probabilities or {}
        if vote.type is not None:
            found[Entity(span.start, span.end, vote.type)] = probabilities.get(vote.type)
        others = ((kind, probability) for kind, probability in probabilities.items() if kind not in (None, vote.type))
        alternatives.update({Entity(span.start, span.end, str(kind)): probability for kind, probability in others})
    unanswered = frozenset(span for span, by_member in votes.items() if name not in by_member)
    return MemberOutput(found, alternatives, unanswered)


def _with_none(stated: Mapping[str, float] | None) -> dict[str | None, float] | None:
    if stated is None:
        return None
    complete: dict[str | None, float] = {kind: float(probability) for kind, probability in stated.items()}
    complete[None] = max(0.0, 1 - sum(stated.values()))
    return complete
