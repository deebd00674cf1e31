"""How many bytes a server takes on each card: weights, KV cache, activations, and what the engine itself needs."""

from dataclasses import dataclass

from el4ner.serve.shape import VALUE_BYTES, ModelFolder

GIB = 2**30
BLOCK = 32
"""Tokens that a cache is a multiple of: vLLM's blocks hold 16 on a card and are asked to hold 32 on a CPU; one stays empty."""
BATCHED_TOKENS = 4096
"""Tokens in one step of the engine: enough to fill a card with prompts, and it bounds the activations."""
GPU_OVERHEAD = int(1.5 * GIB)
"""CUDA context, CUDA graphs, attention work space and fragmentation of one process on one card."""
PARALLEL_OVERHEAD = GIB // 2
"""Communication buffers of a process that shares a model with others."""
CPU_OVERHEAD = int(1.5 * GIB)
"""The server's and the engine's Python processes on a CPU, with their libraries and compiled code."""


@dataclass(frozen=True)
class Workload:
    """What a server must be able to do.

    Attributes:
        context: longest prompt and answer together, tokens.
        concurrency: requests in the engine at once.
        kv_tokens: tokens that the cache holds.
        dtype: precision of the weights, never ``auto``.
        fp8: whether linear layers are quantised while loading.
        adapters: LoRA adapters in memory at once.
        rank: largest LoRA rank.
    """

    context: int
    concurrency: int
    kv_tokens: int
    dtype: str
    fp8: bool = False
    adapters: int = 0
    rank: int = 0


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on one card."""

    weights: int
    kv: int
    activations: int
    overhead: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.activations + self.overhead


def need(model: ModelFolder, asked: Workload, cards: int = 1, *, on_cpu: bool = False) -> MemoryNeed:
    """Bytes that each of ``cards`` cards must have for one copy of the model.

    Activations and overhead are allowances; weights and KV cache are exact. A sliding window is not counted in the
    cache's favour: where it is shorter than the context, the true need is lower.
    """
    value = VALUE_BYTES[asked.dtype]
    weights = model.weights.size(value, fp8=asked.fp8) + _adapters(model, asked)
    return MemoryNeed(
        weights=-(-weights // cards),
        kv=kv_bytes(model, asked, cards),
        activations=_activations(model, asked, cards),
        overhead=CPU_OVERHEAD if on_cpu else GPU_OVERHEAD + (PARALLEL_OVERHEAD if cards > 1 else 0),
    )


def kv_bytes(model: ModelFolder, asked: Workload, cards: int = 1) -> int:
    """Bytes of the KV cache on each card for ``asked.kv_tokens`` tokens, in whole blocks and one more."""
    blocks = -(-asked.kv_tokens // BLOCK) + 1
    return blocks * BLOCK * model.shape.kv_bytes_per_token(VALUE_BYTES[asked.dtype], cards)


def batched_tokens(asked: Workload) -> int:
    """Tokens in one step of the engine."""
    return max(min(BATCHED_TOKENS, asked.context * asked.concurrency), asked.concurrency, asked.context)


def _activations(model: ModelFolder, asked: Workload, cards: int) -> int:
    """Residual stream, attention and feed-forward buffers of one step, and the sampler's logits in float32."""
    shape = model.shape
    attention = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    per_token = 4 * shape.hidden + (attention + 3 * shape.intermediate) // cards
    logits = 4 * asked.concurrency * shape.vocabulary * 4
    return batched_tokens(asked) * per_token * VALUE_BYTES[asked.dtype] + logits


def _adapters(model: ModelFolder, asked: Workload) -> int:
    """LoRA matrices of all linear layers, at the largest rank, for every adapter."""
    shape = model.shape
    query, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sides = 4 * shape.hidden + 2 * query + 2 * kv + 3 * (shape.hidden + shape.intermediate)
    return asked.adapters * asked.rank * shape.layers * sides * VALUE_BYTES[asked.dtype]
