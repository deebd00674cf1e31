"""Beginnings of prompts that a model has read, kept so that the next prompt that begins alike need not read them again.

A window's text is the beginning of every question about it, and popular demonstrations are the beginning of many prompts.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from el4ner.members.prefixes import common_prefix

KeyValues = list[torch.Tensor]
"""Of each layer, the keys and values of one row: ``(2, length, heads, head size)``."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first ``length`` tokens of a row, as the model has read them; ``layers`` may hold more."""

    layers: KeyValues
    length: int


NOTHING = Beginning([], 0)


class PrefixCache:
    """Beginnings by their token ids; the one unused for longest goes first.

    Args:
        limit_bytes: size of all keys and values together; 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._held: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()
        self._sorted: list[tuple[int, ...]] = []

    def longest(self, ids: Sequence[int]) -> Beginning:
        """The longest beginning of ``ids`` that is held, at least one token short of the whole."""
        wanted = tuple(ids)
        at = bisect_left(self._sorted, wanted)
        # In lexicographic order nothing shares more with a sequence than its neighbours.
        near = self._sorted[max(0, at - 1) : at + 1]
        lengths = [common_prefix([(*key, -1), wanted]) for key in near]
        if not any(lengths):
            return NOTHING
        key = near[lengths.index(max(lengths))]
        self._held.move_to_end(key)
        return Beginning(self._held[key], max(lengths))

    def put(self, ids: Sequence[int], layers: KeyValues) -> None:
        """Keep what was read of ``ids``; ``layers`` must not change any more."""
        key = tuple(ids)
        size = sum(layer.numel() * layer.element_size() for layer in layers)
        if not key or key in self._held or size > self._limit:
            return
        while self._size + size > self._limit:
            self._drop_oldest()
        self._held[key] = layers
        insort(self._sorted, key)
        self._size += size

    def _drop_oldest(self) -> None:
        key, layers = self._held.popitem(last=False)
        del self._sorted[bisect_left(self._sorted, key)]
        self._size -= sum(layer.numel() * layer.element_size() for layer in layers)
