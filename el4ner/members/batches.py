"""Which rows a model reads together: of like length, since what is shorter is padded to the longest."""

from collections.abc import Callable, Sequence
from typing import TypeVar

HELD = 2
"""Tokens in memory for each token to compute, at most: keys and values of cached beginnings are many."""
LIKE = 0.75
"""Rows below this share of the longest wait for the next batch, where the batch is worth computing without them."""
WORTH = 256
"""Tokens from which a batch is worth computing: below, the calls cost more than the padding."""

Row = TypeVar("Row")


def cut_batches(rows: Sequence[Row], lengths: Callable[[Row], tuple[int, int]], batch_tokens: int) -> list[list[Row]]:
    """Rows by length, in batches of bounded padded size, those of like length together; a longer row stands alone.

    Args:
        rows: what is to be computed.
        lengths: tokens to compute of a row, and tokens to hold in memory, those in the cache of beginnings included.
        batch_tokens: most tokens to compute, padding included; :data:`HELD` times as many are held.
    """
    batches: list[list[Row]] = []
    longest = held = 0
    for (compute, hold), row in sorted(((lengths(row), row) for row in rows), key=lambda item: item[0], reverse=True):
        held = max(held, hold)
        size = len(batches[-1]) + 1 if batches else 1
        full = size * longest > batch_tokens or size * held > HELD * batch_tokens
        ragged = compute < LIKE * longest and (size - 1) * longest >= WORTH
        if not batches or full or ragged:
            batches.append([])
            longest, held = compute, hold
        batches[-1].append(row)
    return batches
