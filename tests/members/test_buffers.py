"""Buffers are taken again once they are given back, hold numbers, and do not pile up."""

import pytest

torch = pytest.importorskip("torch")

from el4ner.members.buffers import Buffers  # noqa: E402

LIKE = torch.zeros(1)


def test_what_is_given_back_is_taken_again():
    buffers = Buffers()
    first = buffers.take((2, 3, 4), LIKE)
    assert first.shape == (2, 3, 4) and not first.any()
    first.fill_(7)
    buffers.give(first)
    second = buffers.take((4, 5), LIKE)
    assert second.shape == (4, 5) and bool((second == 7).all())
    assert not buffers.take((4, 5), LIKE).any()


def test_what_is_in_use_is_not_taken():
    buffers = Buffers()
    one, two = buffers.take((6,), LIKE), buffers.take((6,), LIKE)
    one.fill_(1)
    assert not two.any()


def test_too_small_ones_make_way_for_larger_ones():
    buffers = Buffers()
    for size in range(1, 50):
        buffers.give(buffers.take((size,), LIKE))
    assert len(buffers._free) == 1 and buffers._free[0].numel() == 49
    assert buffers.take((3, 2), LIKE).shape == (3, 2)


def test_half_precision_begins_with_zeros_each_time():
    buffers, like = Buffers(), torch.zeros(1, dtype=torch.float16)
    taken = buffers.take((4,), like)
    taken.fill_(float("inf"))
    buffers.give(taken)
    assert not buffers.take((4,), like).any()
