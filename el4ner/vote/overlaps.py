"""What may overlap in the output: the strongest of a window's entities, or the best set of all documents' candidates."""

from collections.abc import Callable, Iterable

import numpy as np

from el4ner.text.spans import Span, crosses
from el4ner.vote.entities import VotedEntity
from el4ner.vote.table import BoolArray, FloatArray, VoteTable


def flatten(entities: Iterable[VotedEntity], strength: Callable[[VotedEntity], float]) -> list[VotedEntity]:
    """Entities without any overlap, sorted by place: the stronger stays, then the longer, then the earlier."""
    kept: list[VotedEntity] = []
    for entity in sorted(entities, key=lambda e: (-strength(e), e.start - e.end, e.start)):
        if not any(entity.span.overlaps(other.span) for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: (e.start, e.end))


def nest(entities: Iterable[VotedEntity], strength: Callable[[VotedEntity], float]) -> list[VotedEntity]:
    """Entities that lie apart or inside one another, sorted by place; of two that cross, the stronger stays."""
    kept: list[VotedEntity] = []
    for entity in sorted(entities, key=lambda e: (-strength(e), e.start - e.end, e.start)):
        if not any(crosses(entity.span, other.span) for other in kept):
            kept.append(entity)
    return sorted(kept, key=lambda e: (e.start, e.end))


def best_flat(table: VoteTable, gains: FloatArray) -> BoolArray:
    """``(n,)``: the candidates without overlap whose gains sum to the most (weighted interval scheduling).

    None without a positive gain. Among equal sums the set that ends earlier wins. Takes ``n log n`` steps.
    """
    kept = gains > 0
    rows = np.flatnonzero(kept & (table.n_overlapping > 0))
    if not len(rows):
        return kept
    beyond = int(table.end[rows].max()) + 1
    start = table.start[rows] + table.document[rows] * beyond
    end = table.end[rows] + table.document[rows] * beyond
    order = np.lexsort((table.type[rows], start, end))
    before = np.searchsorted(end[order], start[order], side="right").tolist()
    totals = [0.0]
    for index, gain in enumerate(gains[rows[order]].tolist()):
        totals.append(max(totals[index], gain + totals[before[index]]))
    kept[rows] = False
    index = len(order)
    while index:
        if totals[index] > totals[index - 1]:
            kept[rows[order[index - 1]]] = True
            index = before[index - 1]
        else:
            index -= 1
    return kept


def best_nested(table: VoteTable, gains: FloatArray) -> BoolArray:
    """``(n,)``: candidates of positive gain that lie apart or inside one another; of two that cross, the weaker goes.

    Of the types of one span the strongest stays.
    """
    kept = gains > 0
    rows = np.flatnonzero(kept & (table.n_overlapping > 0))
    kept[rows] = False
    standing: dict[int, set[Span]] = {}
    for row in rows[np.lexsort((rows, -gains[rows]))].tolist():
        span = Span(int(table.start[row]), int(table.end[row]))
        others = standing.setdefault(int(table.document[row]), set())
        if span not in others and not any(crosses(span, other) for other in others):
            others.add(span)
            kept[row] = True
    return kept
