"""Bloom's attention and activation by PyTorch's fused functions: the same sums as Transformers' own, in fewer passes.

Transformers computes Bloom's scores, mask, softmax and activation one after the other, each through memory; for other
architectures it has fused kernels. One of the starter members is a Bloom, and the others wait for it.
"""

from typing import Any

import torch
from torch.nn import functional
from transformers.models.bloom.modeling_bloom import (
    BloomAttention,
    BloomGelu,
    BloomModel,
    dropout_add,
)

from el4ner.members.layout import Layout


def fuse_bloom(model: torch.nn.Module) -> None:
    """Let every Bloom layer of a model compute with fused functions; models without one stay as they are."""
    for module in model.modules():
        if type(module) is BloomAttention and not module.slow_but_exact:
            module.__class__ = FusedAttention
        elif type(module) is BloomGelu:
            module.__class__ = FusedGelu
        elif type(module) is BloomModel:
            module.__class__ = PackableModel


class PackableModel(BloomModel):  # type: ignore[misc]
    """A Bloom that can also read by a :class:`~el4ner.members.layout.Layout`."""

    def forward(self, *arguments: Any, packing: Layout | None = None, **settings: Any) -> Any:
        """As the class above; by the layout, where one is given."""
        self._width = 0 if packing is None else packing.width
        return super().forward(*arguments, **settings)

    def build_alibi_tensor(self, attention_mask: torch.Tensor, num_heads: int, dtype: torch.dtype) -> torch.Tensor:
        """ALiBi's distances; for a layout, those of the places of a row, ``(heads, 1, width)``.

        A distance may be off by the same number for all keys of a query, so that a key's own place serves for it.
        """
        if self._width:
            attention_mask = attention_mask.new_ones(1, self._width)
        own: torch.Tensor = super().build_alibi_tensor(attention_mask, num_heads, dtype)
        return own


class FusedAttention(BloomAttention):  # type: ignore[misc]
    """Scaled dot-product attention whose additive mask holds ALiBi's distances (Press, Smith and Lewis 2022, section 3)."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        residual: torch.Tensor,
        alibi: torch.Tensor,
        attention_mask: torch.Tensor | None,
        layer_past: Any = None,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """As the class above: ``(rows, length, hidden)`` in and out; attention weights are not returned."""
        query, key, value = self._reshape(self.query_key_value(hidden_states))
        if layer_past is not None:
            key, value = layer_past.update(key, value, self.layer_idx)
        packing: Layout | None = getattr(layer_past, "packing", None)
        if packing is not None:
            mixed = packing.attend(query, key, value, self.inv_norm_factor, alibi)
            return dropout_add(self.dense(mixed.flatten(2)), residual, self.hidden_dropout, self.training), None
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=_bias(alibi, attention_mask, self.num_heads),
            dropout_p=self.attention_dropout.p if self.training else 0.0,
            scale=self.inv_norm_factor,
        )
        output = self.dense(mixed.transpose(1, 2).flatten(2))
        return dropout_add(output, residual, self.hidden_dropout, self.training), None


class FusedGelu(BloomGelu):  # type: ignore[misc]
    """The tanh form of GELU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise."""
        return functional.gelu(x, approximate="tanh")


def _bias(alibi: torch.Tensor, mask: torch.Tensor | None, heads: int) -> torch.Tensor:
    """Distances and mask, added to the scores of each head: ``(rows, heads, queries or 1, keys)``."""
    distances = alibi.view(-1, heads, *alibi.shape[1:])
    return distances if mask is None else distances + mask
