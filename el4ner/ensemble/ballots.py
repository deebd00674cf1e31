"""What members say of a candidate that all of them are asked about."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from el4ner.ensemble.table import Opinion
from el4ner.text.spans import Entity, Span


@dataclass(frozen=True, slots=True)
class Ballot:
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
        ballots: by member; members that abstained are missing.
    """

    span: Span
    ballots: Mapping[str, Ballot]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: votes, and probabilities of types where a member states them; weights are left out."""
        ballots = self.ballots.items()
        stated = {
            name: {kind: round(chance, 4) for kind, chance in ballot.probabilities.items() if kind is not None}
            for name, ballot in ballots
            if ballot.probabilities is not None
        }
        votes = {name: ballot.type for name, ballot in ballots}
        found = [name for name, ballot in ballots if ballot.found]
        record = {"start": self.span.start, "end": self.span.end, "found": found, "votes": votes}
        return {**record, "probabilities": stated} if stated else record


def parse_candidate(data: Mapping[str, Any]) -> Candidate:
    """A candidate as ``as_dict`` gives it; what its probabilities leave is for no entity.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    stated: dict[str, dict[str, float]] = data.get("probabilities", {})
    found = data.get("found", list(data["votes"]))
    ballots = {
        name: Ballot(kind, _with_none(stated.get(name)), found=name in found) for name, kind in data["votes"].items()
    }
    return Candidate(Span(int(data["start"]), int(data["end"])), ballots)


def doubted(ballot: Ballot, trust: float) -> Ballot:
    """The ballot of a member that did not find the candidate itself, its probabilities of types multiplied by ``trust``.

    What they lose goes to "no entity", and the vote to what is most probable then. Other ballots stay as they are, and so
    do those without probabilities.
    """
    if ballot.found or ballot.probabilities is None:
        return ballot
    chances: dict[str | None, float] = {
        kind: trust * chance for kind, chance in ballot.probabilities.items() if kind is not None
    }
    chances[None] = 1 - sum(chances.values())
    return replace(ballot, type=max(chances, key=lambda kind: chances[kind]), probabilities=chances)


def opinions(ballots: Mapping[Span, Mapping[str, Ballot]]) -> dict[str, Opinion]:
    """The ballots on all candidates of a document as each member's opinion; members without any ballot are missing."""
    names = dict.fromkeys(name for given in ballots.values() for name in given)
    return {name: _opinion(name, ballots) for name in names}


def _opinion(name: str, ballots: Mapping[Span, Mapping[str, Ballot]]) -> Opinion:
    found: dict[Entity, float | None] = {}
    weighed: dict[Entity, float] = {}
    for span, given in ballots.items():
        ballot = given.get(name)
        if ballot is None:
            continue
        chances = ballot.probabilities or {}
        if ballot.type is not None:
            found[Entity(span.start, span.end, ballot.type)] = chances.get(ballot.type)
        others = ((kind, chance) for kind, chance in chances.items() if kind not in (None, ballot.type))
        weighed.update({Entity(span.start, span.end, str(kind)): chance for kind, chance in others})
    passed = frozenset(span for span, given in ballots.items() if name not in given)
    return Opinion(found, weighed, passed)


def _with_none(stated: Mapping[str, float] | None) -> dict[str | None, float] | None:
    if stated is None:
        return None
    complete: dict[str | None, float] = {kind: float(chance) for kind, chance in stated.items()}
    complete[None] = max(0.0, 1 - sum(stated.values()))
    return complete
