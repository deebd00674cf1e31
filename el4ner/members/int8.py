"""Linear layers in eight bits on the CPU, each input scaled by itself: no answer depends on what is computed beside it."""

import warnings
from typing import Any

import torch
from torch import nn

LEVELS = 63
"""Steps of an input to either side of its middle: seven bits, since with eight the CPU's instructions overflow."""
MIDDLE = 64
SMALLEST = 1e-12


class Int8Linear(nn.Module):
    """A linear layer whose weights have a scale for each output, and whose inputs have a middle and a scale for each token.

    With ``x = middle + scale * q``, the product is ``scale * W q + middle * (sum of each row of W)``.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / 127).clamp_min(SMALLEST).double()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # eight-bit tensors are to leave PyTorch one day
            zeros = torch.zeros(len(weight), dtype=torch.long)
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self._packed: Any = torch.ops.quantized.linear_prepack(rounded, None)
        self._sums = rounded.dequantize().sum(1)
        self._bias = torch.zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """``(..., in)`` to ``(..., out)``, float32 both."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        high, low = rows.amax(-1, keepdim=True), rows.amin(-1, keepdim=True)
        middle, scale = (high + low) / 2, ((high - low) / 2).clamp_min(SMALLEST)
        multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
        product = multiply((rows - middle).div_(scale), 1 / LEVELS, MIDDLE, self._packed)
        summed = torch.addcmul(self._bias, product, scale).addcmul_(middle, self._sums)
        return summed.view(*inputs.shape[:-1], -1)


def quantise(module: nn.Module) -> None:
    """Put an :class:`Int8Linear` in the place of every linear layer inside a module."""
    for name, child in list(module.named_children()):
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        else:
            quantise(child)
