"""The cache of beginnings: the longest one is found, the oldest go first, the size is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.members.prefix_cache import NOTHING, PrefixCache  # noqa: E402

rows = st.lists(st.integers(0, 2), min_size=1, max_size=8)


def read(ids: list[int]) -> list["torch.Tensor"]:
    """Keys and values whose numbers are the tokens: 2 x 1 head x length x 1 x 4 bytes."""
    return [torch.tensor([ids, ids], dtype=torch.float32)[:, None, :, None]]


@given(st.lists(rows, max_size=12), rows)
def test_the_longest_beginning_is_found_and_leaves_a_token(held: list[list[int]], wanted: list[int]):
    cache = PrefixCache(2**20)
    for ids in held:
        cache.put(ids, read(ids))
    found = cache.longest(wanted)

    def shared(ids: list[int]) -> int:
        return next(
            (at for at, (a, b) in enumerate(zip(ids, wanted, strict=False)) if a != b), min(len(ids), len(wanted))
        )

    assert found.length == min(max(map(shared, held), default=0), len(wanted) - 1)
    if found.length:
        assert found.layers[0][0, 0, : found.length, 0].tolist() == wanted[: found.length]


def test_the_beginning_that_was_unused_for_longest_goes_first():
    cache = PrefixCache(3 * 3 * 2 * 4)
    for first in (1, 2, 3):
        cache.put([first, 0, 0], read([first, 0, 0]))
    assert cache.longest([1, 0, 0, 5]).length == 3
    cache.put([4, 0, 0], read([4, 0, 0]))
    assert [cache.longest([first, 0, 0, 5]).length for first in (1, 2, 3, 4)] == [3, 0, 3, 3]


def test_what_is_larger_than_the_cache_is_not_kept_and_empties_nothing():
    cache = PrefixCache(2 * 2 * 4)
    cache.put([1, 2], read([1, 2]))
    cache.put([5, 6, 7], read([5, 6, 7]))
    assert cache.longest([5, 6, 7, 8]) is NOTHING
    assert cache.longest([1, 2, 3]).length == 2


def test_a_cache_of_no_size_keeps_nothing():
    cache = PrefixCache(0)
    cache.put([1], read([1]))
    assert cache.longest([1, 2]) is NOTHING
