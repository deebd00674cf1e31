"""Sentences with their questions side by side in rows of one length: nothing is padded but the ends of rows.

Each row holds several bundles (what examples share, then what each has alone). A mask lets a token see its own bundle's beginning
and its own example, and its position is counted from its bundle's start: each example is computed as if it stood alone.
"""

import random
from collections.abc import Sequence

import torch

from el4ner.train.encode import IGNORE, Encoded
from el4ner.train.length_batches import POOL
from el4ner.train.shared_prefix import Bundle

Row = list[Bundle]
UNIT = 32
"""Rows are as long as a multiple of it."""


def row_length(max_length: int, batch_tokens: int) -> int:
    """The length of rows for examples of at most ``max_length`` tokens: twice that, where a batch holds it.

    What shares a beginning that is nearly as long as a row would stand in several rows, each with the beginning.
    """
    return -(-max(max_length, min(2 * max_length, batch_tokens)) // UNIT) * UNIT


def split_bundle(whole: Bundle, length: int) -> list[Bundle]:
    """The bundle in parts of at most ``length`` tokens, each with the common beginning."""
    parts: list[Bundle] = []
    tails: list[Encoded] = []
    for tail in whole.tails:
        if tails and Bundle(whole.prefix, [*tails, tail]).size > length:
            parts.append(Bundle(whole.prefix, tails))
            tails = []
        tails.append(tail)
    return [*parts, Bundle(whole.prefix, tails)]


def fill_rows(bundles: Sequence[Bundle], length: int, seed: int, pool: int = POOL) -> list[Row]:
    """All bundles in rows of at most ``length`` tokens, the longest of each pool first; a pool's rows are shuffled."""
    rng = random.Random(seed)
    parts = [part for whole in bundles for part in split_bundle(whole, length)]
    filled: list[Row] = []
    for start in range(0, len(parts), pool):
        rows: list[Row] = []
        by_space: dict[int, list[Row]] = {}
        for part in sorted(parts[start : start + pool], key=lambda part: -part.size):
            space = min((space for space, fitting in by_space.items() if fitting and space >= part.size), default=None)
            if space is None:
                rows.append(row := [])
                space = length
            else:
                row = by_space[space].pop()
            row.append(part)
            by_space.setdefault(space - part.size, []).append(row)
        rng.shuffle(rows)
        filled += rows
    return filled


def collate_rows(batch: Sequence[Row], pad_id: int, length: int) -> dict[str, torch.Tensor]:
    """Rows as a batch.

    Returns:
        ``input_ids``, ``position_ids`` and ``labels``, ``(rows, length)``, and ``attention_mask``, ``(rows, 1, length, length)``
        bool: which tokens (last) a token sees.
    """
    columns = [_columns(row) for row in batch]

    def padded(at: int, fill: int) -> torch.Tensor:
        return torch.tensor([[*row[at], *[fill] * (length - len(row[at]))] for row in columns], dtype=torch.long)

    bundles, tails = padded(3, -1), padded(4, 0)
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    same_bundle = bundles[:, None, :] == bundles[:, :, None]
    same_tail = (tails[:, None, :] == tails[:, :, None]) | (tails[:, None, :] == 0)
    return {
        "input_ids": padded(0, pad_id),
        "position_ids": padded(1, 0),
        "attention_mask": (earlier & same_bundle & same_tail)[:, None],
        "labels": padded(2, IGNORE),
    }


def _columns(row: Row) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Of each token: its id, its position, its label, the number of its bundle, and of its tail (0: the common beginning)."""
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    bundles: list[int] = []
    tails: list[int] = []
    for number, part in enumerate(row):
        shared = len(part.prefix)
        ids += part.prefix
        positions += range(shared)
        labels += [IGNORE] * shared
        bundles += [number] * part.size
        tails += [0] * shared
        for place, tail in enumerate(part.tails, 1):
            ids += tail.ids
            positions += range(shared, shared + len(tail.ids))
            labels += tail.labels
            tails += [place] * len(tail.ids)
    return ids, positions, labels, bundles, tails
