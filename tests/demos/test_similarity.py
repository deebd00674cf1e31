"""SpanSim: the batched form against the paper's formula, and the undefined cases."""

import doctest

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.demos import partition, pool, ragged, similarity
from el4ner.demos.ragged import Ragged
from el4ner.demos.similarity import span_sim, span_sim_many

VALUES = st.floats(-1, 1, width=32)


@pytest.mark.parametrize("module", [similarity, ragged, partition, pool])
def test_doctests(module):
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted > 0 and outcome.failed == 0


def test_hand_worked():
    inputs = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    pool_spans = np.array([[0.8, 0.6], [-0.6, 0.8]], dtype=np.float32)
    weights = np.array([4, 2, 0], dtype=np.float32)
    assert span_sim(inputs, pool_spans, weights) == pytest.approx((4 * 0.8 + 2 * 0.8) / 6)


@given(st.data())
def test_many_equals_one_by_one(data):
    lengths = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    m, starts = data.draw(st.integers(1, 4)), np.concatenate([[0], np.cumsum(lengths)])
    inputs = data.draw(hnp.arrays(np.float32, (m, 3), elements=VALUES))
    spans = data.draw(hnp.arrays(np.float32, (int(starts[-1]), 3), elements=VALUES))
    weights = data.draw(hnp.arrays(np.float32, m, elements=st.sampled_from([0.0, 1.0, 2.0, 4.0])))
    many = span_sim_many(inputs @ spans.T, starts, weights)
    for place, length in enumerate(lengths):
        one = span_sim(inputs, spans[starts[place] : starts[place + 1]], weights)
        if one is None:
            assert many is None or (length == 0 and many[place] == -np.inf)
        else:
            assert many[place] == pytest.approx(one, abs=1e-5)


def test_undefined_is_none_and_not_a_number():
    empty, one = np.zeros((0, 2), np.float32), np.ones((1, 2), np.float32)
    assert span_sim(empty, one, np.zeros(0, np.float32)) is None
    assert span_sim(one, empty, np.ones(1, np.float32)) is None
    assert span_sim(one, one, np.zeros(1, np.float32)) is None


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), max_size=6), st.data())
def test_ragged_take_and_inverse(rows, data):
    packed = Ragged.of(rows)
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    assert packed.take(np.array(wanted, dtype=np.int64)).values.tolist() == [v for row in wanted for v in rows[row]]
    inverse = packed.inverse(6)
    for value in range(6):
        owners = inverse.take(np.array([value])).values.tolist()
        assert owners == [place for place, row in enumerate(rows) if value in row]
