"""The union of stages 1 and 3, by hand and by property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.spans import Span
from el4ner.vote.union import unite

A, B, C = Span(0, 5), Span(0, 9), Span(7, 12)
span_sets = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.builds(lambda s, n: Span(s, s + n), st.integers(0, 20), st.integers(1, 5)))
)


@pytest.mark.parametrize(
    ("found", "expected"),
    [({}, []), ({"a": []}, []), ({"a": [C, A], "b": [B, A]}, [A, B, C]), ({"a": [A, A]}, [A])],
)
def test_by_hand(found: dict[str, list[Span]], expected: list[Span]):
    assert unite(found) == expected


@given(span_sets)
def test_nothing_is_lost_and_nothing_added(found: dict[str, list[Span]]):
    assert unite(found) == sorted({span for spans in found.values() for span in spans})


@given(span_sets, st.randoms())
def test_the_order_of_members_and_spans_does_not_matter(found, rng):
    names = list(found)
    rng.shuffle(names)
    shuffled = {name: rng.sample(found[name], len(found[name])) for name in names}
    assert unite(shuffled) == unite(found)
