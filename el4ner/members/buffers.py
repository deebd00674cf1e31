"""Memory for keys and values that one reading after the other uses: making it anew costs as much as a layer's norms."""

from collections.abc import Sequence
from math import prod

import torch


class Buffers:
    """Tensors to take and give back. Not thread-safe.

    What a tensor held before stays in it: always numbers, for it began with zeros and only keys and values were put into it. Half
    precision can overflow, so that tensors of it begin with zeros each time.
    """

    def __init__(self) -> None:
        self._free: list[torch.Tensor] = []

    def take(self, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """A tensor of that shape, of the device and precision of ``like``."""
        size = prod(shape)
        if like.dtype != torch.float32:
            return like.new_zeros(size).view(*shape)
        self._free.sort(key=torch.Tensor.numel)
        place = next((place for place, held in enumerate(self._free) if held.numel() >= size), None)
        if place is not None:
            return self._free.pop(place)[:size].view(*shape)
        del self._free[:1]  # too small for what is read now
        return like.new_zeros(size).view(*shape)

    def give(self, taken: torch.Tensor) -> None:
        """Take a tensor back, whose content nobody needs any more."""
        if taken.dtype == torch.float32:
            whole = taken if taken._base is None else taken._base
            self._free.append(whole.view(-1))
