"""Examples of about equal length in batches of bounded size."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

POOL = 4096
"""Items that are sorted by length together before they are cut into batches."""


def cut(
    items: Sequence[Item],
    length: Callable[[Item], int],
    cost: Callable[[Sequence[Item]], int],
    batch_tokens: int,
    seed: int,
    pool: int = POOL,
) -> list[list[Item]]:
    """Items in batches, those of like length together, the batches of each pool shuffled.

    Args:
        items: what goes into batches; each goes into one.
        length: what a pool is sorted by.
        cost: tokens of a batch; it holds one item or costs at most ``batch_tokens``.
        batch_tokens: see ``cost``.
        seed: seed of the shuffling.
        pool: items that are sorted together.
    """
    rng = random.Random(seed)
    batches: list[list[Item]] = []
    for start in range(0, len(items), pool):
        ready: list[list[Item]] = [[]]
        for item in sorted(items[start : start + pool], key=length):
            if ready[-1] and cost([*ready[-1], item]) > batch_tokens:
                ready.append([])
            ready[-1].append(item)
        rng.shuffle(ready)
        batches += ready
    return batches
