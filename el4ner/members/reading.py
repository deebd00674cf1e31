"""Rows of tokens that a model reads bit by bit, without gradients: keys and values stand in buffers with room to grow.

Appending to a cache by concatenation copies all of it at every step, and so does taking rows out; small models spend much of
their time on that.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from el4ner.members.batches import cut_batches
from el4ner.members.prefix_cache import NOTHING, Beginning, KeyValues, PrefixCache
from el4ner.members.prefixes import common_prefix, group_by_prefix, hidden_states, padded, unwrapped


class Reading:
    """Some rows, each read as far as it goes.

    Args:
        model: a causal language model for which :func:`~el4ner.members.prefixes.can_share` holds.
        starts: what each row has read before; :data:`~el4ner.members.prefix_cache.NOTHING` for a new one.
        room: tokens a row that will probably be read in all, so that the buffers seldom grow.
        device: where the model is.
    """

    def __init__(self, model: Any, starts: Sequence[Beginning], room: int, device: str) -> None:
        self._model = model
        self._starts = [start.length for start in starts]
        width = max(self._starts)
        self._layers = [_Layer(len(starts), room) for _ in DynamicCache(config=unwrapped(model).config).layers]
        self._cache = Cache(layers=list(self._layers))
        known = torch.tensor(self._starts, device=device)[:, None]
        self._mask = (torch.arange(width, device=device) >= width - known).long()
        self._last = width
        for index, layer in enumerate(self._layers):
            if width:
                layer.begin([(start.layers[index], start.length) if start.length else None for start in starts], width)

    def read(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Read on; the last hidden states ``(rows, length, hidden)``.

        Args:
            ids: the next tokens of each row, ``(rows, length)`` int64, padded on the right.
            mask: 1 where a token stands, 0 at padding.
        """
        self._last = self._mask.shape[1]
        self._mask = torch.cat([self._mask, mask], dim=1)
        return hidden_states(self._model, self._cache, ids, self._mask)

    def keep(self, kept: Sequence[int]) -> None:
        """Forget all but the first ``kept`` of the tokens that each row read last."""
        mask = self._mask[:, : self._last + max(kept)]
        places = torch.arange(mask.shape[1] - self._last, device=mask.device)
        mask[:, self._last :] *= places < torch.tensor(kept, device=mask.device)[:, None]
        self._mask = mask
        for layer in self._layers:
            layer.show(layer.rows, mask.shape[1])

    def retain(self, staying: Sequence[int]) -> list[int]:
        """Only these rows go on; returns which of them stands where now (the last ones move into the gaps)."""
        count = len(staying)
        gaps = sorted(set(range(count)) - set(staying))
        moves = dict(zip(gaps, (row for row in staying if row >= count), strict=True))
        for gap, row in moves.items():
            self._mask[gap] = self._mask[row]
            for layer in self._layers:
                layer.move(row, gap)
        self._mask = self._mask[:count]
        for layer in self._layers:
            layer.show(count, self._mask.shape[1])
        return [moves.get(place, place) for place in range(count)]

    def beginning(self, row: int, length: int) -> KeyValues:
        """A copy of what was read of the first ``length`` tokens of a row, after its first reading and nothing else."""
        start = self._last - self._starts[row]
        return [layer.copied(row, start, start + length) for layer in self._layers]


class _Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: the filled part of a buffer ``(2, rows, heads, capacity, head size)``."""

    def __init__(self, rows: int, room: int) -> None:
        super().__init__()
        self.rows = rows
        self._room = room
        self._length = 0
        self._buffer: torch.Tensor | None = None

    def begin(self, rows: Sequence[tuple[torch.Tensor, int] | None], width: int) -> None:
        """Fill the first ``width`` places with what rows have read already, at their right end."""
        like = next(row[0] for row in rows if row is not None)
        self._make_room(like[0][None], width)
        assert self._buffer is not None
        self._buffer[:, :, :, :width] = 0
        for number, row in enumerate(rows):
            if row is not None:
                layer, length = row
                self._buffer[:, number, :, width - length : width] = layer[:, :, :length]
        self.show(self.rows, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next keys and values in place; all of them, ``(rows, heads, length, head size)``."""
        start, end = self._length, self._length + key_states.shape[-2]
        self._make_room(key_states, end)
        assert self._buffer is not None
        self._buffer[0, : self.rows, :, start:end] = key_states
        self._buffer[1, : self.rows, :, start:end] = value_states
        self.show(self.rows, end)
        return self.keys, self.values

    def show(self, rows: int, length: int) -> None:
        """Let the model see so many rows and places."""
        assert self._buffer is not None
        self.rows, self._length = rows, length
        self.keys, self.values = self._buffer[0, :rows, :, :length], self._buffer[1, :rows, :, :length]

    def move(self, row: int, to: int) -> None:
        """Put a row in the place of another."""
        assert self._buffer is not None
        self._buffer[:, to, :, : self._length] = self._buffer[:, row, :, : self._length]

    def copied(self, row: int, start: int, end: int) -> torch.Tensor:
        """A stretch of a row, ``(2, heads, length, head size)``."""
        assert self._buffer is not None
        return self._buffer[:, row, :, start:end].clone()

    def _make_room(self, like: torch.Tensor, length: int) -> None:
        if self._buffer is None:
            self.lazy_initialization(like, like)
            heads, size = like.shape[1], like.shape[3]
            self._buffer = like.new_empty((2, self.rows, heads, max(length, self._room), size))
        elif length > self._buffer.shape[3]:
            _, rows, heads, _, size = self._buffer.shape
            larger = self._buffer.new_empty((2, rows, heads, length + length // 2, size))
            larger[:, : self.rows, :, : self._length] = self._buffer[:, : self.rows, :, : self._length]
            self._buffer = larger


def next_states(model: Any, prompts: Sequence[list[int]], cache: PrefixCache, pad_id: int, device: str) -> torch.Tensor:
    """The last hidden state of each prompt, ``(prompts, hidden)``; what prompts have in common is read once."""
    starts = shared_starts(model, prompts, cache, pad_id, device)
    tails = [prompt[start.length :] for prompt, start in zip(prompts, starts, strict=True)]
    states: dict[int, torch.Tensor] = {}
    for rows in cut_batches(range(len(prompts)), lambda row: (len(tails[row]), len(prompts[row])), sys.maxsize):
        reading = Reading(model, [starts[row] for row in rows], max(len(prompts[row]) for row in rows), device)
        read = reading.read(*padded([tails[row] for row in rows], pad_id, "right", device))
        states |= {row: read[place, len(tails[row]) - 1] for place, row in enumerate(rows)}
    return torch.stack([states[row] for row in range(len(prompts))])


def shared_starts(
    model: Any, prompts: Sequence[list[int]], cache: PrefixCache, pad_id: int, device: str
) -> list[Beginning]:
    """What each prompt need not read any more; beginnings that several share are read here, and put into the cache."""
    starts = [cache.longest(prompt) for prompt in prompts]
    shared = [
        (group, length)
        for group in group_by_prefix(prompts)
        if len(group) > 1
        and (length := common_prefix([prompts[row] for row in group])) > 2 * max(starts[row].length for row in group)
    ]
    if not shared:
        return starts
    beginnings = [prompts[group[0]][:length] for group, length in shared]
    reading = Reading(model, [NOTHING] * len(shared), max(map(len, beginnings)), device)
    reading.read(*padded(beginnings, pad_id, "right", device))
    for number, (group, length) in enumerate(shared):
        read = reading.beginning(number, length)
        cache.put(beginnings[number], read)
        for row in group:
            starts[row] = Beginning(read, length)
    return starts
