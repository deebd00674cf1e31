"""One answer from many recognisers' answers: the rules that need no labels.

- ``agreement``: probabilities from the members' agreement and, where texts are given, from what stands elsewhere in the
  corpus; kept is the set of the greatest expected F. The scores are these probabilities: estimates without labels.
- ``weighted``: shares of votes, members weighted by agreement, in the place of probabilities; no scores.
- ``plurality``: the commonest answer about a span, "no entity" being one; a tie gives none.
- ``majority``: the answer of over half of the members that answered.
- ``probability``: the answer of the highest mean probability; a member that states none gives its answer 1.
- ``two-stage``: a span that at least half of the members marked, with its commonest type (Xie et al. 2024); a tie of types goes
  to the first by name.
- ``at-least``: entities of so many members; ``union``: of one; ``intersection``: of all that answered.

Flat output is the set of the greatest summed support; nested output gives up the weaker of two that cross. A vote is a member's
type for exactly that span; members that abstained are missing from the votes.
"""

from typing import Literal, cast, get_args

import numpy as np

from el4ner.errors import ConfigError
from el4ner.vote.entities import VotedEntity
from el4ner.vote.overlaps import best_flat, best_nested
from el4ner.vote.rules import Rule, count_table, elect_all
from el4ner.vote.table import (
    ABSTAINED,
    FOUND_UNSURE,
    OTHER_TYPE,
    BoolArray,
    FloatArray,
    VoteTable,
)

CombinationRule = Literal[
    "agreement", "weighted", "plurality", "majority", "probability", "two-stage", "at-least", "union", "intersection"
]
RULES: tuple[CombinationRule, ...] = get_args(CombinationRule)


def choose_by_count(table: VoteTable, rule: CombinationRule, at_least: int = 2, *, nested: bool = False) -> BoolArray:
    """``(n,)``: the consistent set of the greatest support among what a counting rule allows.

    Raises:
        ConfigError: ``at_least`` is below 1.
    """
    return (best_nested if nested else best_flat)(table, gains_by_count(table, rule, at_least))


def gains_by_count(table: VoteTable, rule: CombinationRule, at_least: int = 2) -> FloatArray:
    """``(n,)``: the support of each candidate that a counting rule allows, 0 for the others.

    Raises:
        ConfigError: ``at_least`` is below 1.
    """
    if at_least < 1:
        raise ConfigError(f"at-least {at_least} makes no sense; give 1 or more")
    votes = table.votes.sum(axis=1)
    if rule in get_args(Rule):
        return _by_span(table, cast(Rule, rule))
    needed = {"union": 1, "intersection": table.answered.sum(axis=1)}.get(rule, at_least)
    return np.where(votes >= needed, votes, 0).astype(np.float64)


def entities_of(table: VoteTable, kept: BoolArray, scores: FloatArray | None = None) -> list[tuple[VotedEntity, ...]]:
    """The kept candidates of each document as entities, sorted by place, with votes and, where given, scores ``(n,)``."""
    found: list[list[VotedEntity]] = [[] for _ in range(table.n_documents)]
    for row in np.flatnonzero(kept).tolist():
        entity = table.entity(row)
        score = None if scores is None else round(float(scores[row]), 4)
        found[table.document[row]].append(
            VotedEntity(entity.start, entity.end, entity.type, score, votes=_votes(table, row))
        )
    return [tuple(entities) for entities in found]


def _by_span(table: VoteTable, rule: Rule) -> FloatArray:
    counts = count_table(table)
    winners = elect_all(counts, rule)
    winners = winners[winners >= 0]
    strength = {"probability": counts.mass, "two-stage": (counts.total - counts.none_votes)[counts.span]}.get(
        rule, counts.votes
    )
    gains = np.zeros(len(table))
    gains[winners] = strength[winners]
    return gains


def _votes(table: VoteTable, row: int) -> dict[str, str | None]:
    own = table.types[table.type[row]]
    stated: dict[str, str | None] = {}
    for member, code in enumerate(table.codes[row].tolist()):
        if code != ABSTAINED:
            name = table.members[member]
            stated[name] = (
                own if code >= FOUND_UNSURE else _other_type(table, row, member) if code == OTHER_TYPE else None
            )
    return stated


def _other_type(table: VoteTable, row: int, member: int) -> str | None:
    """The type that a member gave to a row's span instead of the row's own, the first by name."""
    place = _place(table, row)
    first, after = row, row + 1
    while first > 0 and _place(table, first - 1) == place:
        first -= 1
    while after < len(table) and _place(table, after) == place:
        after += 1
    others = range(first, after)
    return next((table.entity(other).type for other in others if table.codes[other, member] >= FOUND_UNSURE), None)


def _place(table: VoteTable, row: int) -> tuple[int, int, int]:
    return int(table.document[row]), int(table.start[row]), int(table.end[row])
