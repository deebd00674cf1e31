"""Several continuations of one prompt: the prompt is read once, each continuation sees it and itself alone; gradients flow."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

RESCALES_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")
"""Settings of architectures whose logits are more than a product with the output embeddings."""


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
        model: a causal language model for which :func:`can_share` holds.
        before: what each row has read already; None for nothing.
        ids: the next tokens, ``(rows, length)`` int64.
        mask: 1 where a token stands, 0 at padding, on either side.
    """
    cache = DynamicCache(config=unwrapped(model).config)
    whole = mask
    if before is not None:
        whole = torch.cat([before.mask, mask], dim=1)
        for index, (keys, values) in enumerate(before.layers):
            cache.update(keys, values, index)
    states = hidden_states(model, cache, ids, whole)
    return states, Prefixes([(layer.keys, layer.values) for layer in cache.layers], whole)


def hidden_states(model: Any, cache: Cache, ids: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """The last hidden states ``(rows, length, hidden)`` of tokens that come after what the cache holds; it takes them up.

    Args:
        model: a causal language model.
        cache: keys and values of what was read before.
        ids: the next tokens, ``(rows, length)`` int64.
        whole: 1 where a token stands, 0 at padding, cache and next tokens together; ``(rows, all)`` int64.
    """
    inner = unwrapped(model).base_model
    # Padding must not shift learned positions; models without position_ids count them from the mask.
    positions = {}
    if takes_positions(inner):
        positions["position_ids"] = (whole.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    out = inner(input_ids=ids, attention_mask=whole, past_key_values=cache, use_cache=True, **positions)
    states: torch.Tensor = out.last_hidden_state
    return states


def takes_positions(model: torch.nn.Module) -> bool:
    """Whether a model is told the position of each token."""
    return _has_parameter(type(model).forward, "position_ids")


@functools.cache
def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    return name in inspect.signature(function).parameters


def unwrapped(model: Any) -> Any:
    """The causal language model itself, out of a PEFT wrapper if it is in one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def can_share(model: Any) -> bool:
    """Whether a model's cache keeps every token and its logits are a plain product with the output embeddings."""
    if any(getattr(model.config, name, None) for name in RESCALES_LOGITS) or not hasattr(model, "base_model"):
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def common_prefix(rows: Sequence[list[int]] | Sequence[tuple[int, ...]]) -> int:
    """Length of the longest beginning that all rows share and that leaves each of them at least one token."""
    first, last = min(rows), max(rows)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, rows)))
    return min(length, min(map(len, rows)) - 1)
