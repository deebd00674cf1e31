"""What members say of a candidate that all of them are asked about, and how much of it is for a type."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


def share(votes: Mapping[str, Vote], type_name: str, total_weight: float | None = None) -> float:
    """Share of the votes that are for a type; 0 where nobody voted.

    Args:
        votes: on one candidate, by member; members that abstained are missing.
        type_name: the type.
        total_weight: votes that the share is counted over, where these are more than were given: an abstention counts as a
            vote for no entity.
    """
    return _mean(_count(votes.values())[type_name], votes, total_weight)


def mean_probability(votes: Mapping[str, Vote], type_name: str, total_weight: float | None = None) -> float:
    """The mean probability that the members give a type, from 0 to 1: ``sum_j w_j p_j / sum_j w_j``, 0 where nobody voted.

    A member j that states no probabilities has the p_j 1 for its type and 0 for others. ``total_weight``: see :func:`share`;
    what is missing to it has the probability 0.
    """
    total = sum(vote.weight * vote.probability(type_name) for vote in votes.values())
    return _mean(total, votes, total_weight)


def support(votes: Mapping[str, Vote], type_name: str, rule: str, total_weight: float | None = None) -> float:
    """What a rule counts for a type, from 0 to 1: its mean probability under ``probability``, else its share of the votes."""
    return (mean_probability if rule == "probability" else share)(votes, type_name, total_weight)


def runner_up(votes: Mapping[str, Vote], winner: str, types: Sequence[str]) -> str | None:
    """The type with the most votes after the winner, by mean probability among equals; None if nobody voted for another."""
    by_type = _count(vote for vote in votes.values() if vote.type not in (winner, None))
    if not by_type:
        return None
    most = max(by_type.values())
    leading = [name for name in types if by_type[name] == most]
    return max(leading, key=lambda name: mean_probability(votes, name))


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


def _count(votes: Iterable[Vote]) -> defaultdict[str | None, float]:
    by_type: defaultdict[str | None, float] = defaultdict(float)
    for vote in votes:
        by_type[vote.type] += vote.weight
    return by_type


def _mean(total: float, votes: Mapping[str, Vote], total_weight: float | None) -> float:
    voters = max(sum(vote.weight for vote in votes.values()), total_weight or 0.0)
    return total / voters if voters else 0.0
