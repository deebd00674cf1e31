"""Rows of unequal length computed as one, without padding: only attention tells them apart.

Norms, projections and feed-forward parts, which are nearly all of a small model's work, treat every token alike; they are given
the tokens of all rows as a single row. A :class:`Layout` says which token belongs to which row, and attention, a function that
Transformers calls by name, lets each token see its own row alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "el4ner_packed"
"""What the attention function is called in a model's configuration."""


ATTENDED = 512
"""Next tokens, padding included, of the rows whose attention is computed together: more calls cost less than more padding."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring rows whose attention is computed together, padded to the longest of them.

    Attributes:
        rows: which rows.
        tokens: their next tokens, among those of all rows.
        longest: most next tokens of a row.
        spots: place of each token among the padded ones, ``(tokens,)`` int64; None where nothing is padded.
        mask: 0 where a next token sees a token of its row, else minus infinity; ``(rows, 1, longest, width)``.
    """

    rows: slice
    tokens: slice
    longest: int
    spots: torch.Tensor | None
    mask: torch.Tensor

    @staticmethod
    def of(first: int, known: Sequence[int], counts: Sequence[int], token: int, like: torch.Tensor) -> "_Group":
        """Rows from ``first`` on, which know so many tokens and read so many next ones, the first of which is ``token``."""
        rows, longest, total = len(counts), max(counts), sum(counts)
        width = max(before + count for before, count in zip(known, counts, strict=True))
        places = torch.arange(max(longest, width), device=like.device)
        last_seen = torch.tensor(known, device=like.device)[:, None] + places[:longest]
        hidden = places[:width] > last_seen[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(hidden, float("-inf"))
        spots = None
        if total < rows * longest:
            stands = places[:longest] < torch.tensor(counts, device=like.device)[:, None]
            spots = stands.flatten().nonzero()[:, 0]
        return _Group(slice(first, first + rows), slice(token, token + total), longest, spots, mask)

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor, scale: float | None
    ) -> torch.Tensor:
        """As :meth:`Layout.attend`, for these rows alone: ``(tokens, heads, head size)`` in and out."""
        _, heads, size = query.shape
        kept, rows = key.shape[1], bias.shape[0]
        if self.spots is not None:
            query = query.new_zeros(rows * self.longest, heads, size).index_copy_(0, self.spots, query)
        # Heads that share keys ask as if they were further tokens, so that no key is copied.
        asked = query.reshape(rows, self.longest, kept, -1, size).permute(0, 2, 3, 1, 4)
        groups = asked.shape[2]
        if groups > 1:
            bias = bias.expand(-1, heads, -1, -1).reshape(rows, kept, -1, bias.shape[-1])
        mixed = functional.scaled_dot_product_attention(asked.flatten(2, 3), key, value, bias, scale=scale)
        mixed = mixed.view(rows, kept, groups, self.longest, size).permute(0, 3, 1, 2, 4).reshape(-1, heads, size)
        return mixed if self.spots is None else mixed[self.spots]


class Layout:
    """Where the next ``n`` tokens of some rows stand.

    Args:
        before: how many tokens of each row were read.
        counts: how many come next; at least one of each row.
        capacity: tokens a row in the buffers of keys and values.
        like: a tensor of the model's device and precision.

    Attributes:
        rows: how many rows there are.
        width: most tokens of a row, with the next ones.
        positions: place of each token in its row, ``(1, n)`` int64.
        places: place of each token in the buffers, row after row, ``(n,)`` int64.
    """

    def __init__(self, before: Sequence[int], counts: Sequence[int], capacity: int, like: torch.Tensor) -> None:
        self.rows = len(counts)
        self.width = max(known + count for known, count in zip(before, counts, strict=True))
        places = [
            row * capacity + place
            for row, (known, count) in enumerate(zip(before, counts, strict=True))
            for place in range(known, known + count)
        ]
        self.places = torch.tensor(places, device=like.device)
        self.positions = (self.places % capacity)[None]
        self._groups = list(_groups(before, counts, like))
        self._biases: list[torch.Tensor] | None = None

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float | None,
        distances: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scaled dot-product attention of each row's next tokens over its own tokens; ``(1, n, heads, head size)``.

        Args:
            query: of the next tokens of all rows, ``(1, heads, n, head size)``.
            key: of each row, ``(rows, key heads, width, head size)``.
            value: as ``key``.
            scale: of the scores; None: one by the root of the head size.
            distances: what is added to the scores of each place of a row, ``(heads, 1, width)``; the same in all layers.
        """
        if self._biases is None:
            self._biases = [
                group.mask if distances is None else group.mask + distances[..., : group.mask.shape[-1]]
                for group in self._groups
            ]
        tokens = query[0].transpose(0, 1)
        mixed = [
            group.attend(
                tokens[group.tokens],
                key[group.rows, :, : bias.shape[-1]],
                value[group.rows, :, : bias.shape[-1]],
                bias,
                scale,
            )
            for group, bias in zip(self._groups, self._biases, strict=True)
        ]
        return torch.cat(mixed)[None]


def _groups(before: Sequence[int], counts: Sequence[int], like: torch.Tensor) -> Iterator[_Group]:
    """Neighbouring rows, so many that their padded next tokens are about :data:`ATTENDED`."""
    first = longest = token = 0
    for row, count in enumerate(counts):
        longest = max(longest, count)
        if row + 1 == len(counts) or (row + 2 - first) * max(longest, counts[row + 1]) > ATTENDED:
            yield _Group.of(first, before[first : row + 1], counts[first : row + 1], token, like)
            token += sum(counts[first : row + 1])
            first, longest = row + 1, 0


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packing: Layout | None = None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention by a layout; Transformers' own where none is given."""
    if packing is None:
        own: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
        return own
    return packing.attend(query, key, value, scaling), None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
