"""A model that reads rows of unequal length as one, and computes in its last layer only what somebody asks for.

Of most tokens of a prompt nobody asks for the last hidden state: their keys and values are all that later tokens see. So the last
layer's queries, output projection and feed-forward part, a fifth of a small model's work on such a token, are left out for them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache

from el4ner.members.bloom import FusedAttention
from el4ner.members.buffers import Buffers
from el4ner.members.layout import NAME, Layout
from el4ner.members.prefixes import takes_positions, unwrapped

SPARED = frozenset({"q_proj", "o_proj", "out_proj", "dense", "fc1", "fc2", "mlp"})
"""Parts of a layer that treat every token by itself and give no keys and values."""


class PackedModel:
    """A causal language model for packed rows; see :func:`~el4ner.members.reading.pack`.

    Args:
        model: the model; models with Transformers' attention interface get an attention function of ours.
        device: where it is.
        sparing: whether the last layer computes only what is asked for.

    Attributes:
        device: where it is.
        head: its output layer.
        like: an empty 4-dimensional tensor of its device and precision.
        layers: how many layers hold keys and values.
        buffers: memory for them.
    """

    def __init__(self, model: Any, device: str, *, sparing: bool = True) -> None:
        if not any(isinstance(module, FusedAttention) for module in model.modules()):
            model.set_attn_implementation(NAME)
        self.device = device
        self.head = model.get_output_embeddings()
        self._inner = unwrapped(model).base_model
        self.like = torch.zeros(1, 1, 1, 1, dtype=self._inner.get_input_embeddings().weight.dtype, device=device)
        self.layers = len(DynamicCache(config=unwrapped(model).config).layers)
        self.buffers = Buffers()
        self._takes_positions = takes_positions(self._inner)
        self._asked = _Asked()
        parts = _after_the_keys(self._inner, self.layers) if sparing else []
        self._hooks = [hook for part in parts for hook in self._asked.narrow(part)]

    def forward(self, ids: Sequence[int], layout: Layout, cache: Cache, asked: torch.Tensor) -> torch.Tensor:
        """Read the next tokens of all rows, row after row; the last hidden states of those asked for.

        Args:
            ids: the ``n`` tokens.
            layout: where they stand.
            cache: keys and values of what was read before; it takes up the new ones.
            asked: which of the tokens, ``(m,)`` int64.

        Returns:
            ``(m, hidden)``.
        """
        self._asked.tokens, self._asked.total = asked, len(ids)
        try:
            out = self._inner(
                input_ids=torch.tensor([ids], device=self.device),
                attention_mask=self.like,  # of a shape for which Transformers makes no mask of its own
                past_key_values=cache,
                use_cache=True,
                packing=layout,
                **({"position_ids": layout.positions} if self._takes_positions else {}),
            )
        finally:
            self._asked.tokens = None
        states: torch.Tensor = out.last_hidden_state[0, asked]
        return states

    def release(self) -> None:
        """Let the last layer compute everything again."""
        while self._hooks:
            self._hooks.pop().remove()


@dataclass(slots=True)
class _Asked:
    """The tokens whose last hidden states are asked for, of how many; None while every token counts."""

    tokens: torch.Tensor | None = None
    total: int = 0

    def narrow(self, part: nn.Module) -> list[Any]:
        """Let a part of the model compute only for them; the others get zeros."""

        def before(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            return None if self.tokens is None else tuple(given.index_select(-2, self.tokens) for given in inputs)

        def after(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor | None:
            if self.tokens is None:
                return None
            whole = output.new_zeros(*output.shape[:-2], self.total, output.shape[-1])
            return whole.index_copy_(-2, self.tokens, output)

        return [part.register_forward_pre_hook(before), part.register_forward_hook(after)]


def _after_the_keys(inner: nn.Module, layers: int) -> list[nn.Module]:
    """The parts of a model that need not compute for tokens whose last hidden state nobody asks for."""
    stacks = (
        (owner, part)
        for owner in inner.modules()
        for part in owner.children()
        if isinstance(part, nn.ModuleList) and len(part) == layers
    )
    owner, stack = next(stacks, (inner, None))
    following = getattr(owner, "project_out", None)  # OPT's way from the layers' width to that of its words
    return [] if stack is None else [*_spared(stack[-1]), *([] if following is None else [following])]


def _spared(part: nn.Module) -> Iterator[nn.Module]:
    for name, child in part.named_children():
        if name in SPARED:
            yield child
        else:
            yield from _spared(child)
