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
    return max(leading, key=lambda name: mean_probability(ballots, name))


def share(ballots: Mapping[str, Ballot], type_name: str, electorate: float | None = None) -> float:
    """Share of the votes that are for a type; 0 where nobody voted. ``electorate``: see :func:`elect`."""
    return _mean(_count(ballots.values())[type_name], ballots, electorate)


def mean_probability(ballots: Mapping[str, Ballot], type_name: str, electorate: float | None = None) -> float:
    """The mean probability that the members give a type, from 0 to 1: ``sum_j w_j p_j / sum_j w_j``, 0 where nobody voted.

    A member j that states no probabilities has the p_j 1 for its type and 0 for others. ``electorate``: see :func:`elect`;
    what is missing to it has the probability 0.
    """
    total = sum(ballot.weight * ballot.probability(type_name) for ballot in ballots.values())
    return _mean(total, ballots, electorate)


def support(ballots: Mapping[str, Ballot], type_name: str, rule: str, electorate: float | None = None) -> float:
    """What a rule counts for a type, from 0 to 1: its mean probability under ``probability``, else its share of the votes."""
    return (mean_probability if rule == "probability" else share)(ballots, type_name, electorate)


def _count(ballots: Iterable[Ballot]) -> defaultdict[str | None, float]:
    votes: defaultdict[str | None, float] = defaultdict(float)
    for ballot in ballots:
        votes[ballot.type] += ballot.weight
    return votes


def _mean(total: float, ballots: Mapping[str, Ballot], electorate: float | None) -> float:
    voters = max(sum(ballot.weight for ballot in ballots.values()), electorate or 0.0)
    return total / voters if voters else 0.0


__all__ = ["Ballot", "Rule", "Tie", "elect", "mean_probability", "runner_up", "share", "support"]
