"""Who wins a vote: the typed options of many spans at once, by counts or by mean probabilities.

One code for a window's votes and for whole prediction files. Notation: n options, S spans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from el4ner.vote.table import OTHER_TYPE, BoolArray, FloatArray, IntArray, VoteTable
from el4ner.vote.votes import Vote

Rule: TypeAlias = Literal["plurality", "majority", "probability", "two-stage"]
Tie: TypeAlias = Literal["none", "probability", "order"]

_EQUAL = 1e-9
"""Sums of weights that differ by less are equal: their order of adding must not decide."""


@dataclass(frozen=True, slots=True)
class VoteCounts:
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


def elect_all(counts: VoteCounts, rule: Rule, tie: Tie = "none", threshold: float | None = None) -> IntArray:
    """``(S,)``: the winning option of each span, or -1 for no entity.

    - ``plurality``: most votes, "no entity" being an option like the types.
    - ``majority``: over half of the votes, else no entity.
    - ``probability``: the highest mean probability; among equal ones the first, "no entity" being last. With a
      ``threshold``: an entity from this mean probability of the winning type on.
    - ``two-stage``: an entity where at least half of the votes are for one; of the commonest type, the first of equal ones.

    Ties of ``plurality``: ``none``: no entity; ``probability``: the higher mean probability; ``order``: the first option.
    """
    if not len(counts.span):
        return np.zeros(0, dtype=np.int64)
    first = np.flatnonzero(np.diff(counts.span, prepend=-1))
    if rule == "probability":
        return _most_probable(counts, first, threshold)
    top = np.maximum.reduceat(counts.votes, first)
    leads = (counts.votes >= top[counts.span] - _EQUAL) & (counts.votes > 0)
    winner = _first_of(leads, counts, first)
    if rule == "two-stage":
        return np.where(2 * (counts.total - counts.none_votes) >= counts.total - _EQUAL, winner, -1)
    if rule == "majority":
        return np.where(2 * top > counts.total + _EQUAL, winner, -1)
    none_leads = counts.none_votes >= top - _EQUAL
    tied = (np.add.reduceat(leads.astype(np.int64), first) > 1) | none_leads
    resolved = _resolve(counts, first, leads, none_leads, winner, tie)
    return np.where(counts.none_votes > top + _EQUAL, -1, np.where(tied, resolved, winner))


def count_votes(
    candidates: Sequence[Mapping[str, Vote]], types: Sequence[str], total_weight: float | None = None
) -> VoteCounts:
    """The counts of candidates with votes by member; every type is an option of each.

    Args:
        candidates: of each candidate; members that abstained are missing.
        types: type names, in order.
        total_weight: votes that shares are counted over: what is missing to it counts as votes for no entity.
    """
    options = [*types, None]
    votes, mass = np.zeros((len(candidates), len(options))), np.zeros((len(candidates), len(options)))
    total = np.zeros(len(candidates))
    for number, given in enumerate(candidates):
        for vote in given.values():
            votes[number] += [vote.weight * (vote.type == option) for option in options]
            mass[number] += [vote.weight * vote.probability(option) for option in options]
            total[number] += vote.weight
    absent = np.maximum(0.0, (total_weight or 0.0) - total)
    votes[:, -1] += absent
    mass[:, -1] += absent
    span = np.repeat(np.arange(len(candidates)), len(types))
    return VoteCounts(span, votes[:, :-1].ravel(), mass[:, :-1].ravel(), votes[:, -1], mass[:, -1], total + absent)


def count_table(table: VoteTable) -> VoteCounts:
    """The counts of a table's spans; members that abstained do not count, one that gives a span two types counts for both."""
    places = np.stack([table.document, table.start, table.end], axis=1)
    starts = np.ones(len(table), dtype=np.bool_)
    starts[1:] = (places[1:] != places[:-1]).any(axis=1)
    first, span = np.flatnonzero(starts), np.cumsum(starts) - 1
    total = table.answered.sum(axis=1)[first].astype(np.float64)
    votes = table.votes.sum(axis=1).astype(np.float64)
    none_votes = total - (table.codes >= OTHER_TYPE).sum(axis=1)[first]
    if table.probabilities is None or not len(table):
        return VoteCounts(span, votes, votes, none_votes, none_votes, total)
    mass = np.where(np.isnan(table.probabilities), table.votes, table.probabilities) * table.answered
    by_member = np.minimum(np.add.reduceat(mass, first), 1.0)
    return VoteCounts(span, votes, mass.sum(axis=1), none_votes, total - by_member.sum(axis=1), total)


def _most_probable(counts: VoteCounts, first: IntArray, threshold: float | None) -> IntArray:
    top = np.maximum.reduceat(counts.mass, first)
    winner = _first_of((counts.mass >= top[counts.span] - _EQUAL) & (counts.mass > 0), counts, first)
    if threshold is None:
        return np.where(counts.none_mass > top + _EQUAL, -1, winner)
    return np.where(top >= threshold * counts.total - _EQUAL, winner, -1)


def _resolve(
    counts: VoteCounts, first: IntArray, leads: BoolArray, none_leads: BoolArray, winner: IntArray, tie: Tie
) -> IntArray:
    """``(S,)``: the winner of each span's leading options."""
    if tie == "none":
        return np.full(len(first), -1)
    if tie == "order":
        return winner
    mass = np.where(leads, counts.mass, -1.0)
    top = np.maximum.reduceat(mass, first)
    probable = _first_of(leads & (mass >= top[counts.span] - _EQUAL), counts, first)
    return np.where(none_leads & (counts.none_mass > top + _EQUAL), -1, probable)


def _first_of(chosen: BoolArray, counts: VoteCounts, first: IntArray) -> IntArray:
    """``(S,)``: the first chosen option of each span, or -1."""
    rows = np.where(chosen, np.arange(len(chosen)), len(chosen))
    earliest = np.minimum.reduceat(rows, first)
    return np.where(earliest < len(chosen), earliest, -1)
