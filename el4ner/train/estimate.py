"""What a training run will need, before it starts: bytes from the model's outline and its largest batch, time from its tokens."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from el4ner.train.activations import BatchLoad, Precision, activation_bytes, load_of
from el4ner.train.config import TrainConfig
from el4ner.train.models import device_of

REACHED_SHARE = 0.35
"""Share of the rate of a large matrix product that training reaches, as a rule; small models on a GPU stay below it."""
NF4_BYTES = 0.52
"""Bytes a value of a linear layer in 4 bits, its doubly quantised scales included."""
ADAMW_BYTES = 8
"""Two float32 averages for each value that learns."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes in the largest step, and seconds for all tokens; without what PyTorch itself takes.

    Attributes:
        weights: of the model, as they are held, and their copies in 16 bits where it computes in those.
        adapter: weights of the adapter; 0 without one.
        gradients: of what learns.
        optimiser: its states.
        activations: what the way forward keeps for the way back.
        load: size of the largest batch.
        tokens: of the whole run, padding included.
        operations: floating-point operations a token.
        rate: floating-point operations a second of a large matrix product on the device.
        device: what computes.
        limit_s: seconds after which the run is to end; None: no such limit.
    """

    weights: int
    adapter: int
    gradients: int
    optimiser: int
    activations: int
    load: BatchLoad
    tokens: int
    operations: int
    rate: float
    device: str
    limit_s: float | None

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.adapter + self.gradients + self.optimiser + self.activations

    @property
    def seconds(self) -> float:
        """For all tokens, at ``REACHED_SHARE`` of ``rate``."""
        return self.tokens * self.operations / (REACHED_SHARE * self.rate)

    def __str__(self) -> str:
        parts = ("weights", "adapter", "gradients", "optimiser", "activations")
        sizes = ", ".join(f"{part} {_size(getattr(self, part))}" for part in parts)
        limit = "" if self.limit_s is None else f"; it ends after {_duration(self.limit_s)} at the latest"
        rate = f"{REACHED_SHARE:.0%} of its measured {self.rate / 1e9:,.0f} GFLOP/s"
        return (
            f"memory: about {_size(self.total)} in the largest step ({self.load.tokens:,} tokens), besides PyTorch: {sizes}\n"
            f"time: about {_duration(self.seconds)} for {self.tokens:,} tokens on {self.device}, at {rate}{limit}"
        )


def estimate(model: Any, config: TrainConfig, batch: dict[str, Any], tokens: int) -> Estimate:
    """The needs of a run.

    Args:
        model: outline of the model, its adapter on it where there is one.
        config: the run's configuration.
        batch: the one with the most tokens.
        tokens: of the whole run, padding included.
    """
    load, o = load_of(batch), config.optimisation
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Estimate(
        weights=_weights(model, config),
        adapter=4 * learning if config.lora is not None else 0,
        gradients=4 * learning,
        optimiser=ADAMW_BYTES * learning,
        activations=activation_bytes(model, load, _precision(config)),
        load=load,
        tokens=tokens,
        operations=_operations(model, config),
        rate=matrix_rate(device_of(config), o.precision),
        device="the CPU" if device_of(config) == "cpu" else torch.cuda.get_device_name(),
        limit_s=60 * o.max_minutes or None,
    )


def matrix_rate(device: str, precision: str, seconds: float = 0.2) -> float:
    """Floating-point operations a second of products of two large square matrices, measured now.

    Args:
        device: cpu or cuda.
        precision: float32 or bfloat16.
        seconds: how long to measure at least.
    """
    size = 1024 if device == "cpu" else 8192
    matrix = torch.ones(size, size, dtype=getattr(torch, precision), device=device)
    _product_s(matrix, 1)  # the first one also loads libraries
    once = _product_s(matrix, 1)
    times = max(1, round(seconds / once))
    return 2.0 * size**3 * times / _product_s(matrix, times)


def _product_s(matrix: torch.Tensor, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        matrix @ matrix
    if matrix.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _precision(config: TrainConfig) -> Precision:
    halved = config.optimisation.precision == "bfloat16" or _held_bytes(config) == 2
    value = 2 if halved else 4
    noise = value if device_of(config) == "cpu" else 1
    return Precision(value, noise, config.optimisation.gradient_checkpointing)


def _held_bytes(config: TrainConfig) -> int:
    """Bytes of a frozen weight, or of any where all learn; 4-bit layers aside."""
    lora = config.lora
    return 4 if lora is None or (lora.base_dtype == "float32" and lora.quantize is None) else 2


def _weights(model: Any, config: TrainConfig) -> int:
    lora, held = config.lora, _held_bytes(config)
    values = sum(int(p.numel()) for p in model.parameters() if lora is None or not p.requires_grad)
    linear = _linear_values(model)
    if lora is not None and lora.quantize is not None:
        return int(NF4_BYTES * linear + held * (values - linear))
    copies = 2 * linear if held == 4 and config.optimisation.precision == "bfloat16" else 0
    return held * values + copies


def _linear_values(model: Any) -> int:
    """Values of the decoder's own linear layers, without output layer and adapters."""
    return sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".lora_" not in name and not name.endswith("lm_head")
    )


def _operations(model: Any, config: TrainConfig) -> int:
    """A token's operations: 2 a value forward, 2 back to what came before, 2 back to what learns, 2 where computed again."""
    linear = _linear_values(model)
    again = linear if config.optimisation.gradient_checkpointing else 0
    if config.lora is None:
        return 2 * (3 * linear + again)
    adapter = sum(int(p.numel()) for p in model.parameters() if p.requires_grad)
    return 2 * (2 * linear + 3 * adapter + again)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
