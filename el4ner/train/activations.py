"""Bytes that the way forward through a batch keeps for the way back, from a model's outline.

Counted are what the layers of common decoders keep: inputs of what learns, norms, attention, gates. Attention is taken to be a
fused kernel, which keeps no scores; heads that share keys and values are repeated for it.
"""

from dataclasses import dataclass
from typing import Any

import torch

from el4ner.train.encode import IGNORE

_SHARE_AN_INPUT = ("k_proj", "v_proj", "up_proj")
"""Modules that read what q_proj or gate_proj reads, which is kept once."""


@dataclass(frozen=True, slots=True)
class BatchLoad:
    """The size of a batch.

    Attributes:
        tokens: that are computed, padding included.
        keys: places that attention looks at, row by row: a continuation holds the prefix that it shares as well.
        pairs: of tokens and the places that they may look at.
        answers: tokens that bear loss.
    """

    tokens: int
    keys: int
    pairs: int
    answers: int


@dataclass(frozen=True, slots=True)
class Precision:
    """How a run holds numbers.

    Attributes:
        value: bytes of an activation.
        noise: bytes of a number that dropout keeps; a GPU keeps a bit in a byte.
        checkpoints: whether layers are computed again on the way back.
    """

    value: int
    noise: int
    checkpoints: bool = False


def load_of(batch: dict[str, Any]) -> BatchLoad:
    """The size of a batch as :class:`~el4ner.train.batches.Batches` makes them."""
    if "tails" not in batch:
        rows, length = batch["input_ids"].shape
        return BatchLoad(rows * length, rows * length, rows * length**2, _answers(batch["labels"]))
    rows, width = batch["prefix_ids"].shape
    tails = [group["ids"].shape for group in batch["tails"]]
    return BatchLoad(
        tokens=rows * width + sum(count * length for count, length in tails),
        keys=rows * width + sum(count * (width + length) for count, length in tails),
        pairs=rows * width**2 + sum(count * length * (width + length) for count, length in tails),
        answers=sum(_answers(group["labels"]) for group in batch["tails"]),
    )


def activation_bytes(model: Any, load: BatchLoad, precision: Precision) -> int:
    """Bytes that a batch of that size keeps.

    Args:
        model: outline of a causal language model, its adapter on it where there is one.
        load: size of the batch.
        precision: how numbers are held.
    """
    settings, value = model.config, precision.value
    layers = int(settings.num_hidden_layers)
    per_token = sum(_kept(name, module, precision, settings) for name, module in model.named_modules())
    per_token += layers * value * _mlp_width(model)
    attention = layers * value * (2 * (load.tokens + load.keys) * _query_width(settings) + load.pairs)
    logits = load.answers * settings.vocab_size * (value + 8)
    whole = load.tokens * per_token + attention
    if precision.checkpoints:
        whole = whole / layers + load.tokens * layers * value * settings.hidden_size
    return int(whole + logits)


def _kept(name: str, module: Any, precision: Precision, settings: Any) -> int:
    """Bytes a token that one module keeps."""
    if type(module).__name__.endswith("Norm"):
        # An RMS norm is several operations: what it scales is kept beside its input where the scale learns.
        learns = module.weight.requires_grad and not isinstance(module, torch.nn.LayerNorm)
        return _norm_width(name, module, settings) * (4 + precision.value * learns)
    if getattr(module, "lora_A", None):
        ranks = sum(layer.out_features for layer in module.lora_A.values())
        dropped = any(getattr(layer, "p", 0.0) for layer in module.lora_dropout.values())
        kept = precision.value + precision.noise if dropped else precision.value * _is_first(name)
        return int(module.in_features * kept + ranks * precision.value)
    learns = isinstance(module, torch.nn.Linear) and module.weight.requires_grad and ".lora_" not in name
    return precision.value * module.in_features * _is_first(name) if learns and not name.endswith("lm_head") else 0


def _is_first(name: str) -> bool:
    return not name.endswith(_SHARE_AN_INPUT)


def _norm_width(name: str, module: Any, settings: Any) -> int:
    """Values a token that a norm reads; norms of single heads read all heads."""
    width = int(module.weight.numel())
    if name.endswith("q_norm"):
        return width * int(settings.num_attention_heads)
    if name.endswith("k_norm"):
        return width * int(settings.num_key_value_heads)
    return width


def _mlp_width(model: Any) -> int:
    """Values a token that a layer's activation function and gate keep."""
    settings = model.config
    sizes = (getattr(settings, name, None) for name in ("intermediate_size", "ffn_dim", "n_inner"))
    width = next((size for size in sizes if isinstance(size, int)), 4 * settings.hidden_size)
    gated = any(name.endswith(("gate_proj", "gate_up_proj")) for name, _ in model.named_modules())
    return 3 * width if gated else width


def _query_width(settings: Any) -> int:
    head = getattr(settings, "head_dim", None) or settings.hidden_size // settings.num_attention_heads
    return int(settings.num_attention_heads) * int(head)


def _answers(labels: torch.Tensor) -> int:
    return int((labels != IGNORE).sum())
