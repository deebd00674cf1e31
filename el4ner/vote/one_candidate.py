"""Stage 4: the type of a candidate by vote; every rule and every tie is explicit."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from el4ner.vote.rules import Rule, Tie, count_votes, elect_all
from el4ner.vote.votes import Vote


def elect(
    votes: Mapping[str, Vote],
    types: Sequence[str],
    *,
    rule: Rule = "plurality",
    tie: Tie = "none",
    total_weight: float | None = None,
    threshold: float | None = None,
) -> str | None:
    """The winning type of one candidate, or None for no entity; ``rules.elect_all`` says how.

    Args:
        votes: by member; members that abstained are missing.
        types: type names in the configuration's order.
        rule: see there.
        tie: see there.
        total_weight: votes that shares and means are counted over; None: the votes'. Set to the weight of all members, an
            abstention counts as a vote for no entity.
        threshold: for ``probability``, see there.
    """
    (row,) = elect_all(count_votes([votes], types, total_weight), rule, tie, threshold).tolist()
    return None if row < 0 else types[row]


def runner_up(votes: Mapping[str, Vote], winner: str, types: Sequence[str]) -> str | None:
    """The type with the most votes after the winner, by mean probability among equals; None if nobody voted for another."""
    by_type = _count(vote for vote in votes.values() if vote.type not in (winner, None))
    if not by_type:
        return None
    most = max(by_type.values())
    leading = [name for name in types if by_type[name] == most]
    return max(leading, key=lambda name: mean_probability(votes, name))


def share(votes: Mapping[str, Vote], type_name: str, total_weight: float | None = None) -> float:
    """Share of the votes that are for a type; 0 where nobody voted. ``total_weight``: see :func:`elect`."""
    return _mean(_count(votes.values())[type_name], votes, total_weight)


def mean_probability(votes: Mapping[str, Vote], type_name: str, total_weight: float | None = None) -> float:
    """The mean probability that the members give a type, from 0 to 1: ``sum_j w_j p_j / sum_j w_j``, 0 where nobody voted.

    A member j that states no probabilities has the p_j 1 for its type and 0 for others. ``total_weight``: see :func:`elect`;
    what is missing to it has the probability 0.
    """
    total = sum(vote.weight * vote.probability(type_name) for vote in votes.values())
    return _mean(total, votes, total_weight)


def support(votes: Mapping[str, Vote], type_name: str, rule: str, total_weight: float | None = None) -> float:
    """What a rule counts for a type, from 0 to 1: its mean probability under ``probability``, else its share of the votes."""
    return (mean_probability if rule == "probability" else share)(votes, type_name, total_weight)


def _count(votes: Iterable[Vote]) -> defaultdict[str | None, float]:
    by_type: defaultdict[str | None, float] = defaultdict(float)
    for vote in votes:
        by_type[vote.type] += vote.weight
    return by_type


def _mean(total: float, votes: Mapping[str, Vote], total_weight: float | None) -> float:
    voters = max(sum(vote.weight for vote in votes.values()), total_weight or 0.0)
    return total / voters if voters else 0.0


__all__ = ["Rule", "Tie", "Vote", "elect", "mean_probability", "runner_up", "share", "support"]
