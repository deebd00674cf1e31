"""Which rows a model reads together."""

from collections.abc import Callable, Sequence
from typing import TypeVar

HELD = 2
"""Tokens in memory for each token to compute, at most: keys and values of cached beginnings are many."""

Row = TypeVar("Row")


def cut_batches(
    rows: Sequence[Row], lengths: Callable[[Row], tuple[int, int]], batch_tokens: int, *, padded: bool = False
) -> list[list[Row]]:
    """Rows by length, in batches of bounded size; a longer row stands alone.

    Args:
        rows: what is to be computed.
        lengths: tokens to compute of a row, and tokens to hold in memory, those in the cache of beginnings included.
        batch_tokens: most tokens to compute; :data:`HELD` times as many are held, each row counted as the longest.
        padded: whether each row is computed as if it were the longest.
    """
    batches: list[list[Row]] = []
    computed = held = longest = 0
    for (compute, hold), row in sorted(((lengths(row), row) for row in rows), key=lambda item: item[0], reverse=True):
        size = len(batches[-1]) + 1 if batches else 1
        computed = size * max(longest, compute) if padded else computed + compute
        held = max(held, hold)
        if not batches or computed > batch_tokens or size * held > HELD * batch_tokens:
            batches.append([])
            computed, longest, held = compute, compute, hold
        batches[-1].append(row)
    return batches
