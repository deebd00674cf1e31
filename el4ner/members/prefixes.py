"""Several continuations of one prompt: the prompt is read once, each continuation sees it and itself alone.

The candidates of a window are asked about after the same text; reading that text once a candidate is most of the work of
typing, in inference and in training alike. Gradients flow through.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer


@dataclass(slots=True)
class Prefixes:
    """Prompts that a model has read.

    Attributes:
        layers: keys and values of each layer, ``(prefixes, heads, length, head size)``.
        mask: 1 where a token stands, 0 at padding; ``(prefixes, length)`` int64.
    """

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    mask: torch.Tensor

    def select(self, rows: torch.Tensor) -> "Prefixes":
        """The prefixes of the given rows, repeated as often as they are named."""
        return Prefixes([(keys[rows], values[rows]) for keys, values in self.layers], self.mask[rows])


def read_prefixes(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> Prefixes:
    """Read prompts, ``(prefixes, length)`` int64 with their mask, padded on either side."""
    return extend(model, None, ids, mask)[1]


def extend(model: Any, before: Prefixes | None, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Prefixes]:
    """Read on, row by row: the last hidden states ``(rows, length, hidden)``, and everything read so far.

    Args:
        model: a causal language model of Transformers whose cache grows (no fixed or sliding window shorter than the texts).
        before: what each row has read already; None for nothing.
        ids: the next tokens, ``(rows, length)`` int64.
        mask: 1 where a token stands, 0 at padding, on either side.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    cache = DynamicCache(config=inner.config)
    whole = mask
    if before is not None:
        whole = torch.cat([before.mask, mask], dim=1)
        for index, (keys, values) in enumerate(before.layers):
            cache.update(keys, values, index)
    # Padding must not shift learned positions; models without position_ids count them from the mask.
    positions = {}
    if "position_ids" in inspect.signature(inner.base_model.forward).parameters:
        positions["position_ids"] = (whole.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    out = inner.base_model(input_ids=ids, attention_mask=whole, past_key_values=cache, use_cache=True, **positions)
    layers = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
    return out.last_hidden_state, Prefixes(layers, whole)


def can_share(model: Any) -> bool:
    """Whether a model's cache keeps every token and its logits are a plain product with the output embeddings."""
    rescaled = ("final_logit_softcapping", "logit_scale", "logits_scaling")
    if any(getattr(model.config, name, None) for name in rescaled) or not hasattr(model, "base_model"):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def padded(
    rows: Sequence[list[int]], pad_id: int, side: Literal["left", "right"] = "left", device: str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, each ``(rows, longest)`` int64."""
    width = max(map(len, rows))

    def tensor(parts: Sequence[list[int]], fill: int) -> torch.Tensor:
        gaps = [[fill] * (width - len(part)) for part in parts]
        filled = [gap + part if side == "left" else part + gap for gap, part in zip(gaps, parts, strict=True)]
        return torch.tensor(filled, device=device, dtype=torch.long)

    return tensor(rows, pad_id), tensor([[1] * len(row) for row in rows], 0)


def next_states(model: Any, prompts: Sequence[list[int]], pad_id: int, device: str) -> torch.Tensor:
    """The last hidden state of each prompt, ``(prompts, hidden)``; what prompts have in common is read once."""
    groups = group_by_prefix(prompts)
    lengths = [common_prefix([prompts[row] for row in group]) for group in groups]
    owners = [at for at, group in enumerate(groups) for _ in group]
    rows = [row for group in groups for row in group]
    read = None
    if any(lengths):
        beginnings = [prompts[group[0]][:length] for group, length in zip(groups, lengths, strict=True)]
        read = read_prefixes(model, *padded(beginnings, pad_id, device=device))
        read = read.select(torch.tensor(owners, device=device))
    tails = [prompts[row][lengths[owner] :] for row, owner in zip(rows, owners, strict=True)]
    states, _ = extend(model, read, *padded(tails, pad_id, device=device))
    places = sorted(range(len(rows)), key=rows.__getitem__)
    return states[torch.tensor(places, device=device), -1]


def common_prefix(rows: Sequence[list[int]]) -> int:
    """Length of the longest beginning that all rows share and that leaves each of them at least one token."""
    first, last = min(rows), max(rows)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, rows)))
    return min(length, min(map(len, rows)) - 1)


def group_by_prefix(rows: Sequence[list[int]]) -> list[list[int]]:
    """Indices of the rows, those that share at least half of their tokens together."""
    order = sorted(range(len(rows)), key=lambda index: rows[index])
    groups: list[list[int]] = []
    for index in order:
        if not groups or 2 * common_prefix([rows[groups[-1][0]], rows[index]]) < len(rows[index]):
            groups.append([])
        groups[-1].append(index)
    return groups
