"""Stage 4: the type of a candidate by vote; every rule and every tie is explicit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from el4ner.ensemble.ballots import Ballot
from el4ner.ensemble.polls import Rule, Tie, elect_all, poll_ballots


def elect(
    ballots: Mapping[str, Ballot],
    types: Sequence[str],
    *,
    rule: Rule = "plurality",
    tie: Tie = "none",
    electorate: float | None = None,
    threshold: float | None = None,
) -> str | None:
    """The winning type of one candidate, or None for no entity; ``polls.elect_all`` says how.

    Args:
        ballots: by member; members that abstained are missing.
        types: type names in the configuration's order.
        rule: see there.
        tie: see there.
        electorate: votes that shares and means are counted over; None: the ballots'. Set to the weight of all members, an
            abstention counts as a vote for no entity.
        threshold: for ``probability``, see there.
    """
    (row,) = elect_all(poll_ballots([ballots], types, electorate), rule, tie, threshold).tolist()
    return None if row < 0 else types[row]


def runner_up(ballots: Mapping[str, Ballot], winner: str, types: Sequence[str]) -> str | None:
    """The type with the most votes after the winner, by mean probability among equals; None if nobody voted for another."""
    votes = _count(ballot for ballot in ballots.values() if ballot.type not in (winner, None))
    if not votes:
        return None
    most = max(votes.values())
    leading = [name for name in types if votes[name] == most]
    return max(leading, key=lambda name: support(ballots, name, "probability"))


def share(ballots: Mapping[str, Ballot], type_name: str) -> float:
    """Share of the ballots that are for a type; 0 where nobody voted."""
    return _count(ballots.values())[type_name] / _weight(ballots) if ballots else 0.0


def support(ballots: Mapping[str, Ballot], type_name: str, rule: str) -> float:
    """How strongly the ballots are for a type, from 0 to 1: their mean probability under that rule, else their share."""
    if rule != "probability" or not ballots:
        return share(ballots, type_name)
    return sum(ballot.weight * ballot.probability(type_name) for ballot in ballots.values()) / _weight(ballots)


def _count(ballots: Iterable[Ballot]) -> defaultdict[str | None, float]:
    votes: defaultdict[str | None, float] = defaultdict(float)
    for ballot in ballots:
        votes[ballot.type] += ballot.weight
    return votes


def _weight(ballots: Mapping[str, Ballot]) -> float:
    return sum(ballot.weight for ballot in ballots.values())


__all__ = ["Ballot", "Rule", "Tie", "elect", "runner_up", "share", "support"]
