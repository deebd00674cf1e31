"""The consistent set of the greatest gain, compared with every set."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.spans import Entity
from el4ner.vote.overlaps import best_flat, best_nested
from el4ner.vote.table import VoteTable, tabulate

ENTITIES = st.builds(
    lambda start, length, kind: Entity(start, start + length, kind),
    st.integers(0, 12),
    st.integers(1, 5),
    st.sampled_from(["PER", "LOC"]),
)


def table_of(gains: list[dict[Entity, float]]) -> tuple[VoteTable, np.ndarray]:
    table = tabulate([{"m": frozenset(row)} for row in gains], ["m"])
    return table, np.array([gains[table.document[row]][table.entity(row)] for row in range(len(table))])


def entities(table: VoteTable, kept: np.ndarray, document: int = 0) -> list[Entity]:
    return [table.entity(row) for row in np.flatnonzero(kept & (table.document == document))]


@given(st.lists(st.dictionaries(ENTITIES, st.floats(-1, 1), max_size=6), max_size=3))
def test_the_flat_set_is_the_best_of_all_flat_sets_in_every_document(gains: list[dict[Entity, float]]):
    def flat(chosen: tuple[Entity, ...]) -> bool:
        return not any(a.span.overlaps(b.span) for a, b in itertools.combinations(chosen, 2))

    table, values = table_of(gains)
    kept = best_flat(table, values)
    for number, row in enumerate(gains):
        sets = (s for n in range(len(row) + 1) for s in itertools.combinations(row, n))
        best = max(sum(row[e] for e in chosen) for chosen in sets if flat(chosen))
        mine = tuple(entities(table, kept, number))
        assert flat(mine)
        assert sum(row[e] for e in mine) == pytest.approx(best)


def test_a_chain_of_overlaps_keeps_every_second_one():
    chain = {Entity(3 * n, 3 * n + 4, "PER"): 1.0 for n in range(7)}
    table, gains = table_of([chain, chain])
    for document in (0, 1):
        kept = entities(table, best_flat(table, gains), document)
        assert [entity.start for entity in kept] == [0, 6, 12, 18]


@pytest.mark.parametrize(
    ("gains", "flat"),
    [
        ({(0, 4): 0.0}, []),
        ({(0, 4): 1.0, (4, 8): 1.0}, [(0, 4), (4, 8)]),
        ({(0, 4): 1.0, (3, 8): 1.0}, [(0, 4)]),
        ({(0, 4): 1.0, (3, 8): 1.5, (7, 9): 1.0}, [(0, 4), (7, 9)]),
        ({(0, 4): 1.0, (3, 8): 2.5, (7, 9): 1.0}, [(3, 8)]),
    ],
)
def test_flat_sets_by_hand(gains, flat):
    table, values = table_of([{Entity(*place, "PER"): gain for place, gain in gains.items()}])
    assert [(e.start, e.end) for e in entities(table, best_flat(table, values))] == flat


@pytest.mark.parametrize(
    ("gains", "nested"),
    [
        ({(0, 4, "A"): 0.0}, []),
        ({(0, 9, "A"): 0.5, (2, 4, "A"): 1.0}, [(0, 9, "A"), (2, 4, "A")]),
        ({(0, 5, "A"): 0.5, (3, 9, "A"): 1.0}, [(3, 9, "A")]),
        ({(0, 5, "A"): 1.0, (3, 9, "A"): 1.0}, [(0, 5, "A")]),
        ({(0, 5, "A"): 0.5, (0, 5, "B"): 1.0}, [(0, 5, "B")]),
        ({(0, 5, "A"): 1.0, (3, 9, "A"): 0.9, (8, 12, "A"): 0.8}, [(0, 5, "A"), (8, 12, "A")]),
        ({(0, 5, "A"): 0.3, (20, 25, "A"): 0.2}, [(0, 5, "A"), (20, 25, "A")]),
    ],
)
def test_nested_sets_by_hand(gains, nested):
    document = {Entity(*place): gain for place, gain in gains.items()}
    table, values = table_of([document, document])
    kept = best_nested(table, values)
    for number in (0, 1):
        assert [(e.start, e.end, e.type) for e in entities(table, kept, number)] == nested
