"""Stage 4: the type of a candidate by vote; every rule and every tie is explicit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Rule = Literal["plurality", "majority", "probability"]
Tie = Literal["none", "probability", "order"]


@dataclass(frozen=True, slots=True)
class Ballot:
    """One member's vote on one candidate.

    Attributes:
        type: type name, or None for "no entity".
        probabilities: probability of each type name and of None, where the engine gives them.
        weight: how many votes it counts for, above 0.
    """

    type: str | None
    probabilities: Mapping[str | None, float] | None = None
    weight: float = 1.0


def elect(
    ballots: Mapping[str, Ballot],
    types: Sequence[str],
    *,
    rule: Rule = "plurality",
    tie: Tie = "none",
    electorate: float | None = None,
    threshold: float | None = None,
) -> str | None:
    """The winning type, or None for no entity.

    - ``plurality``: most votes, "no entity" being a candidate like the types.
    - ``majority``: over half of the electorate, else no entity.
    - ``probability``: highest mean probability; a ballot without probabilities counts as 1 for its type. Among equal
      means the type listed first wins, "no entity" being last.

    Args:
        ballots: by member; members that abstained are missing.
        types: type names in the configuration's order.
        rule: see above.
        tie: ``none``: no entity; ``probability``: the higher mean probability, among equal ones the type listed first;
            ``order``: the type listed first.
        electorate: votes that shares and means are counted over; None: the ballots'. Set to the weight of all members, an
            abstention counts as a vote for no entity.
        threshold: for ``probability``: an entity from this mean probability of being one on; None: where its type is more
            probable than "no entity".
    """
    if not ballots:
        return None
    options: list[str | None] = [*types, None]
    cast = _weight(ballots)
    absent = max(0.0, (electorate or 0) - cast)
    if rule == "probability":
        if threshold is None:
            return _most_probable(ballots, options, absent)
        entity = sum(b.weight * (1 - _probability(b, None)) for b in ballots.values()) / (cast + absent)
        return _most_probable(ballots, options[:-1]) if entity >= threshold else None
    votes = _count(ballots.values())
    votes[None] += absent
    most = max(votes.values())
    winners = [option for option in options if votes[option] == most]
    if rule == "majority":
        return winners[0] if 2 * most > cast + absent else None
    if len(winners) == 1:
        return winners[0]
    if tie == "probability":
        return _most_probable(ballots, winners, absent)
    return next((option for option in winners if option is not None), None) if tie == "order" else None


def runner_up(ballots: Mapping[str, Ballot], winner: str, types: Sequence[str]) -> str | None:
    """The type with the most votes after the winner, by mean probability among equals; None if nobody voted for another."""
    votes = _count(ballot for ballot in ballots.values() if ballot.type not in (winner, None))
    if not votes:
        return None
    most = max(votes.values())
    return _most_probable(ballots, [name for name in types if votes[name] == most])


def share(ballots: Mapping[str, Ballot], type_name: str) -> float:
    """Share of the ballots that are for a type; 0 where nobody voted."""
    votes = sum(ballot.weight for ballot in ballots.values() if ballot.type == type_name)
    return votes / _weight(ballots) if ballots else 0.0


def support(ballots: Mapping[str, Ballot], type_name: str, rule: Rule) -> float:
    """How strongly the ballots are for a type, from 0 to 1: their mean probability under that rule, else their share."""
    if rule != "probability" or not ballots:
        return share(ballots, type_name)
    return sum(ballot.weight * _probability(ballot, type_name) for ballot in ballots.values()) / _weight(ballots)


def _count(ballots: Iterable[Ballot]) -> defaultdict[str | None, float]:
    votes: defaultdict[str | None, float] = defaultdict(float)
    for ballot in ballots:
        votes[ballot.type] += ballot.weight
    return votes


def _weight(ballots: Mapping[str, Ballot]) -> float:
    return sum(ballot.weight for ballot in ballots.values())


def _most_probable(ballots: Mapping[str, Ballot], options: Sequence[str | None], absent: float = 0) -> str | None:
    def total(option: str | None) -> float:
        probable = sum(ballot.weight * _probability(ballot, option) for ballot in ballots.values())
        return probable + (absent if option is None else 0)

    return max(options, key=total)


def _probability(ballot: Ballot, option: str | None) -> float:
    if ballot.probabilities is None:
        return float(ballot.type == option)
    return ballot.probabilities.get(option, 0.0)
