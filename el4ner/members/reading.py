"""Rows of tokens that a model reads bit by bit, without gradients and without padding.

Keys and values stand in buffers with room to grow: appending to a cache by concatenation copies all of it at every step, and so
does taking rows out; small models spend much of their time on that.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Self

import torch
from transformers.cache_utils import Cache, DynamicLayer

from el4ner.members.buffers import Buffers
from el4ner.members.layout import Layout
from el4ner.members.packed import PackedModel
from el4ner.members.prefix_cache import NOTHING, Beginning, KeyValues, PrefixCache
from el4ner.members.prefixes import can_share, common_prefix, group_by_prefix, unwrapped

TOLERANCE = 0.02
"""Largest difference, as a share of the largest state, between rows read packed and alone: half precision rounds."""


class Reading:
    """Some rows, each read as far as it goes.

    Args:
        model: what reads them.
        starts: what each row has read before; :data:`~el4ner.members.prefix_cache.NOTHING` for a new one.
        room: tokens a row that will probably be read in all, so that the buffers seldom grow.
    """

    def __init__(self, model: PackedModel, starts: Sequence[Beginning], room: int) -> None:
        self._model = model
        self._lengths = [start.length for start in starts]
        self._before = list(self._lengths)
        self._capacity = max(room, *self._lengths)
        self._layers = [_Layer(len(starts), model.buffers) for _ in range(model.layers)]
        self._cache = _Rows(layers=list(self._layers))
        if any(self._lengths):
            for index, layer in enumerate(self._layers):
                layer.begin(
                    [start.layers[index][:, : start.length] if start.length else None for start in starts],
                    self._capacity,
                )

    def read(self, rows: Sequence[Sequence[int]], asked: Sequence[int]) -> torch.Tensor:
        """Read the next tokens of each row, at least one; the last hidden states of those asked for ``(len(asked), hidden)``.

        Args:
            rows: the next tokens.
            asked: which of them, counted through all rows.
        """
        counts = [len(row) for row in rows]
        self._before = self._lengths
        self._lengths = [before + count for before, count in zip(self._before, counts, strict=True)]
        if max(self._lengths) > self._capacity:
            self._capacity = 3 * max(self._lengths) // 2
        layout = Layout(self._before, counts, self._capacity, self._model.like)
        for layer in self._layers:
            layer.expect(layout, self._capacity)
        self._cache.packing = layout
        wanted = torch.tensor(asked, dtype=torch.long, device=self._model.device)
        return self._model.forward([token for row in rows for token in row], layout, self._cache, wanted)

    def read_last(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read the next tokens of each row; the state of the last one of each, ``(rows, hidden)``."""
        return self.read(rows, [end - 1 for end in accumulate(map(len, rows))])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the buffers back for the next reading; nothing can be read any more."""
        for layer in self._layers:
            layer.release()

    def keep(self, kept: Sequence[int]) -> None:
        """Forget all but the first ``kept`` of the tokens that each row read last."""
        self._lengths = [before + count for before, count in zip(self._before, kept, strict=True)]

    def retain(self, staying: Sequence[int]) -> list[int]:
        """Only these rows go on; returns which of them stands where now (the last ones move into the gaps)."""
        count = len(staying)
        gaps = sorted(set(range(count)) - set(staying))
        moves = dict(zip(gaps, (row for row in staying if row >= count), strict=True))
        for gap, row in moves.items():
            for layer in self._layers:
                layer.move(row, gap, self._lengths[row])
        stand = [moves.get(place, place) for place in range(count)]
        self._lengths = [self._lengths[row] for row in stand]
        return stand

    def beginning(self, row: int, length: int) -> KeyValues:
        """A copy of what was read of the first ``length`` tokens of a row."""
        return [layer.copied(row, length) for layer in self._layers]


class _Rows(Cache):  # type: ignore[misc]
    """The layers' keys and values, and the layout of the tokens that come next."""

    packing: Layout | None = None


class _Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: the first rows of a buffer ``(2, rows, capacity, heads, head size)``, filled from the left.

    Places that no token has filled yet are hidden from attention, but they hold numbers: what is hidden is still multiplied.
    """

    def __init__(self, rows: int, buffers: Buffers) -> None:
        super().__init__()
        self._rows = rows
        self._buffers = buffers
        self._buffer: torch.Tensor | None = None
        self._layout: Layout | None = None
        self._capacity = 0

    def begin(self, rows: Sequence[torch.Tensor | None], capacity: int) -> None:
        """Start with what rows have read already, ``(2, length, heads, head size)`` each."""
        like = next(row for row in rows if row is not None)
        self._buffer = self._buffers.take((2, self._rows, capacity, *like.shape[2:]), like)
        for number, row in enumerate(rows):
            if row is not None:
                self._buffer[:, number, : row.shape[1]] = row

    def expect(self, layout: Layout, capacity: int) -> None:
        """Where the tokens that come next will stand, in a buffer so wide."""
        self._layout, self._capacity = layout, capacity

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put keys and values, ``(1, heads, tokens, head size)``, in their places.

        Returns those of all rows, ``(rows, heads, width, head size)``.
        """
        layout = self._layout
        assert layout is not None
        buffer = self._wide_enough(key_states)
        for kind, states in enumerate((key_states, value_states)):
            buffer[kind].view(-1, *buffer.shape[3:]).index_copy_(0, layout.places, states[0].transpose(0, 1))
        seen = buffer[:, : layout.rows, : layout.width].transpose(2, 3)
        return seen[0], seen[1]

    def get_seq_length(self) -> int:
        """Nothing: each row has a length of its own, which the layout knows."""
        return 0

    def move(self, row: int, to: int, length: int) -> None:
        """Put a row in the place of another."""
        assert self._buffer is not None
        self._buffer[:, to, :length] = self._buffer[:, row, :length]

    def copied(self, row: int, length: int) -> torch.Tensor:
        """The beginning of a row, ``(2, length, heads, head size)``."""
        assert self._buffer is not None
        return self._buffer[:, row, :length].clone()

    def release(self) -> None:
        """Give the buffer back."""
        if self._buffer is not None:
            self._buffers.give(self._buffer)
            self._buffer = None

    def _wide_enough(self, like: torch.Tensor) -> torch.Tensor:
        old = self._buffer
        if old is None or old.shape[2] < self._capacity:
            shape = (2, self._rows, self._capacity, like.shape[1], like.shape[3])
            self._buffer = self._buffers.take(shape, like)
            if old is not None:
                self._buffer[:, :, : old.shape[2]] = old
                self._buffers.give(old)
            return self._buffer
        return old


def pack(model: Any, device: str) -> PackedModel | None:
    """The model, made to read packed rows; None where it does not read them as it reads each alone.

    Architectures differ, so that a few tokens are tried; where leaving out parts of the last layer goes wrong, none is left out.
    """
    if not can_share(model):
        return None
    for sparing in (True, False):
        packed = PackedModel(model, device, sparing=sparing)
        if _reads_alike(packed, unwrapped(model).base_model):
            return packed
        packed.release()
    return None


@torch.inference_mode()
def _reads_alike(packed: PackedModel, inner: Any) -> bool:
    rows = [[1, 2, 3], [2], [3, 1]]
    try:
        with Reading(packed, [NOTHING] * len(rows), 2) as reading:
            reading.read(rows, [])
            reading.keep([2, 1, 1])
            found = reading.read([[3], [1, 2], [2]], [0, 2, 3])
        whole = [[1, 2, 3], [2, 1, 2], [3, 2]]
        alone = [inner(input_ids=torch.tensor([row], device=packed.device)).last_hidden_state[0, -1] for row in whole]
    except (TypeError, RuntimeError, ValueError, AttributeError, LookupError):
        return False
    expected = torch.stack(alone)
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


def next_states(model: PackedModel, prompts: Sequence[list[int]], cache: PrefixCache) -> torch.Tensor:
    """The last hidden state of each prompt, ``(prompts, hidden)``; what prompts have in common is read once."""
    starts = shared_starts(model, prompts, cache)
    with Reading(model, starts, max(map(len, prompts))) as reading:
        return reading.read_last([prompt[start.length :] for prompt, start in zip(prompts, starts, strict=True)])


def shared_starts(model: PackedModel, prompts: Sequence[list[int]], cache: PrefixCache) -> list[Beginning]:
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
    with Reading(model, [NOTHING] * len(shared), max(map(len, beginnings))) as reading:
        reading.read(beginnings, [])
        for number, (group, length) in enumerate(shared):
            read = reading.beginning(number, length)
            cache.put(beginnings[number], read)
            for row in group:
                starts[row] = Beginning(read, length)
    return starts
