"""Who wins a vote: the typed options of many spans at once, by counts or by mean probabilities.

One code for a window's ballots and for whole prediction files. Notation: n options, S spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from el4ner.ensemble.ballots import Ballot
from el4ner.ensemble.table import RETYPED, BoolArray, FloatArray, IntArray, VoteTable

Rule: TypeAlias = Literal["plurality", "majority", "probability", "two-stage"]
Tie: TypeAlias = Literal["none", "probability", "order"]

_EQUAL = 1e-9
"""Sums of weights that differ by less are equal: their order of adding must not decide."""


@dataclass(frozen=True, slots=True)
class Poll:
    """What was said of S spans; the options of a span are consecutive, in the order of the types.

    Attributes:
        span: ``(n,)``, number of each option's span; every span has an option.
        votes: ``(n,)``, votes for each option.
        mass: ``(n,)``, the voters' probabilities of each option, summed; a vote without probabilities is 1 for its type.
        none_votes: ``(S,)``, votes for no entity.
        none_mass: ``(S,)``, probabilities of no entity, summed.
        total: ``(S,)``, all votes.
    """

    span: IntArray
    votes: FloatArray
    mass: FloatArray
    none_votes: FloatArray
    none_mass: FloatArray
    total: FloatArray


def elect_all(poll: Poll, rule: Rule, tie: Tie = "none", threshold: float | None = None) -> IntArray:
    """``(S,)``: the winning option of each span, or -1 for no entity.

    - ``plurality``: most votes, "no entity" being an option like the types.
    - ``majority``: over half of the votes, else no entity.
    - ``probability``: the highest mean probability; among equal ones the first, "no entity" being last. With a
      ``threshold``: an entity from this mean probability of the winning type on.
    - ``two-stage``: an entity where at least half of the votes are for one; of the commonest type, the first of equal ones.

    Ties of ``plurality``: ``none``: no entity; ``probability``: the higher mean probability; ``order``: the first option.
    """
    if not len(poll.span):
        return np.zeros(0, dtype=np.int64)
    first = np.flatnonzero(np.diff(poll.span, prepend=-1))
    if rule == "probability":
        return _most_probable(poll, first, threshold)
    top = np.maximum.reduceat(poll.votes, first)
    leads = (poll.votes >= top[poll.span] - _EQUAL) & (poll.votes > 0)
    winner = _first_of(leads, poll, first)
    if rule == "two-stage":
        return np.where(2 * (poll.total - poll.none_votes) >= poll.total - _EQUAL, winner, -1)
    if rule == "majority":
        return np.where(2 * top > poll.total + _EQUAL, winner, -1)
    none_leads = poll.none_votes >= top - _EQUAL
    tied = (np.add.reduceat(leads.astype(np.int64), first) > 1) | none_leads
    resolved = _resolve(poll, first, leads, none_leads, winner, tie)
    return np.where(poll.none_votes > top + _EQUAL, -1, np.where(tied, resolved, winner))


def poll_ballots(
    ballots: Sequence[Mapping[str, Ballot]], types: Sequence[str], electorate: float | None = None
) -> Poll:
    """The poll of candidates with ballots by member; every type is an option of each.

    Args:
        ballots: of each candidate; members that abstained are missing.
        types: type names, in order.
        electorate: votes that shares are counted over: what is missing to it counts as votes for no entity.
    """
    options = [*types, None]
    votes, mass = np.zeros((len(ballots), len(options))), np.zeros((len(ballots), len(options)))
    total = np.zeros(len(ballots))
    for number, given in enumerate(ballots):
        for ballot in given.values():
            votes[number] += [ballot.weight * (ballot.type == option) for option in options]
            mass[number] += [ballot.weight * ballot.probability(option) for option in options]
            total[number] += ballot.weight
    absent = np.maximum(0.0, (electorate or 0.0) - total)
    votes[:, -1] += absent
    mass[:, -1] += absent
    span = np.repeat(np.arange(len(ballots)), len(types))
    return Poll(span, votes[:, :-1].ravel(), mass[:, :-1].ravel(), votes[:, -1], mass[:, -1], total + absent)


def poll_table(table: VoteTable) -> Poll:
    """The poll of a table's spans; members that abstained do not count, one that gives a span two types counts for both."""
    places = np.stack([table.document, table.start, table.end], axis=1)
    starts = np.ones(len(table), dtype=np.bool_)
    starts[1:] = (places[1:] != places[:-1]).any(axis=1)
    first, span = np.flatnonzero(starts), np.cumsum(starts) - 1
    total = table.answered.sum(axis=1)[first].astype(np.float64)
    votes = table.votes.sum(axis=1).astype(np.float64)
    none_votes = total - (table.codes >= RETYPED).sum(axis=1)[first]
    if table.chances is None or not len(table):
        return Poll(span, votes, votes, none_votes, none_votes, total)
    mass = np.where(np.isnan(table.chances), table.votes, table.chances) * table.answered
    by_member = np.minimum(np.add.reduceat(mass, first), 1.0)
    return Poll(span, votes, mass.sum(axis=1), none_votes, total - by_member.sum(axis=1), total)


def _most_probable(poll: Poll, first: IntArray, threshold: float | None) -> IntArray:
    top = np.maximum.reduceat(poll.mass, first)
    winner = _first_of((poll.mass >= top[poll.span] - _EQUAL) & (poll.mass > 0), poll, first)
    if threshold is None:
        return np.where(poll.none_mass > top + _EQUAL, -1, winner)
    return np.where(top >= threshold * poll.total - _EQUAL, winner, -1)


def _resolve(
    poll: Poll, first: IntArray, leads: BoolArray, none_leads: BoolArray, winner: IntArray, tie: Tie
) -> IntArray:
    """``(S,)``: the winner of each span's leading options."""
    if tie == "none":
        return np.full(len(first), -1)
    if tie == "order":
        return winner
    mass = np.where(leads, poll.mass, -1.0)
    top = np.maximum.reduceat(mass, first)
    probable = _first_of(leads & (mass >= top[poll.span] - _EQUAL), poll, first)
    return np.where(none_leads & (poll.none_mass > top + _EQUAL), -1, probable)


def _first_of(chosen: BoolArray, poll: Poll, first: IntArray) -> IntArray:
    """``(S,)``: the first chosen option of each span, or -1."""
    rows = np.where(chosen, np.arange(len(chosen)), len(chosen))
    earliest = np.minimum.reduceat(rows, first)
    return np.where(earliest < len(chosen), earliest, -1)
