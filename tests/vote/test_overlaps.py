"""What may overlap: by hand, and that no overlap or crossing survives."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.spans import Span, crosses
from el4ner.vote.entities import VotedEntity
from el4ner.vote.overlaps import flatten, nest

entities_st = st.lists(
    st.builds(
        lambda start, length, votes: VotedEntity(start, start + length, "PER", score=votes / 4),
        st.integers(0, 20),
        st.integers(1, 8),
        st.integers(0, 4),
    ),
    max_size=12,
    unique_by=lambda entity: entity.span,
)


def entity(start: int, end: int, strength: float) -> VotedEntity:
    return VotedEntity(start, end, "PER", score=strength)


def strength(e: VotedEntity) -> float:
    assert e.score is not None
    return e.score


def spans(entities: list[VotedEntity]) -> list[tuple[int, int]]:
    return [(e.start, e.end) for e in entities]


@pytest.mark.parametrize(
    ("given_entities", "flat", "nested"),
    [
        ([], [], []),
        ([(0, 5, 1), (5, 9, 1)], [(0, 5), (5, 9)], [(0, 5), (5, 9)]),
        ([(0, 9, 1), (2, 5, 0.5)], [(0, 9)], [(0, 9), (2, 5)]),
        ([(0, 9, 0.5), (2, 5, 1)], [(2, 5)], [(0, 9), (2, 5)]),
        ([(0, 5, 1), (0, 9, 1)], [(0, 9)], [(0, 5), (0, 9)]),
        ([(0, 5, 0.5), (3, 9, 1)], [(3, 9)], [(3, 9)]),
        ([(0, 5, 1), (3, 8, 1)], [(0, 5)], [(0, 5)]),
        ([(0, 5, 1), (4, 9, 0.9), (8, 12, 0.8)], [(0, 5), (8, 12)], [(0, 5), (8, 12)]),
    ],
)
def test_by_hand(given_entities, flat, nested):
    entities = [entity(*values) for values in given_entities]
    assert spans(flatten(entities, strength)) == flat
    assert spans(nest(entities, strength)) == nested


@given(entities_st, st.randoms())
def test_flat_entities_do_not_overlap_and_each_loser_lost_to_a_survivor(entities, rng):
    kept = flatten(entities, strength)
    assert not any(a.span.overlaps(b.span) for a, b in itertools.combinations(kept, 2))
    for lost in [e for e in entities if e not in kept]:
        assert any(k.span.overlaps(lost.span) and strength(k) >= strength(lost) for k in kept)
    assert kept == flatten(rng.sample(entities, len(entities)), strength)
    assert spans(kept) == sorted(spans(kept))


@given(entities_st, st.randoms())
def test_nested_entities_do_not_cross_and_each_loser_lost_to_a_survivor(entities, rng):
    kept = nest(entities, strength)
    assert not any(crosses(a.span, b.span) for a, b in itertools.combinations(kept, 2))
    for lost in [e for e in entities if e not in kept]:
        assert any(crosses(k.span, lost.span) and strength(k) >= strength(lost) for k in kept)
    assert kept == nest(rng.sample(entities, len(entities)), strength)
    assert {e.span for e in flatten(entities, strength)} <= {Span(e.start, e.end) for e in entities}
