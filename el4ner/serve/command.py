"""The exact command and environment of a placed server."""

import math
import os
import sys
from collections.abc import Mapping

from el4ner.serve.memory import BLOCK, batched_tokens
from el4ner.serve.placement import Placed, Plan

MODULE = "vllm.entrypoints.openai.api_server"
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""No telemetry, no hub."""
OVERRIDING = {"VLLM_CPU_KVCACHE_SPACE", "VLLM_PORT", "VLLM_HOST_IP"}
"""Variables that would override a plan, or that two servers must not share: never passed on."""
OPENING = {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_API_KEY", "HF_TOKEN"}
"""Variables that would open the server or give it secrets that are not its own: never passed on."""


def interpreter() -> str:
    """The Python that has vLLM."""
    return os.environ.get("EL4NER_VLLM_PYTHON") or sys.executable


def arguments(placed: Placed) -> list[str]:
    """vLLM's arguments, without the program. The API key is never among them: processes' arguments are public.

    A card's share is given besides the absolute cache size, because vLLM refuses to start where less than that share of
    the card is free, and its default is nearly all of it.
    """
    server, asked = placed.server, placed.server.asked
    words = [
        "--model", str(server.model.path),
        "--served-model-name", server.served,
        "--host", server.host,
        "--port", str(server.port),
        "--dtype", asked.dtype,
        "--max-model-len", str(asked.context),
        "--max-num-seqs", str(asked.concurrency),
        "--max-num-batched-tokens", str(batched_tokens(asked)),
        "--kv-cache-memory-bytes", str(placed.need.kv),
        "--load-format", "safetensors",
        "--generation-config", "vllm",
        "--structured-outputs-config", '{"backend": "xgrammar"}',
        "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if placed.cards[0].is_cpu:
        # By default 128 there, and prompts share their beginnings by whole blocks alone.
        words += ["--block-size", str(BLOCK)]
    else:
        words += ["--gpu-memory-utilization", f"{_utilisation(placed):.2f}"]
    if placed.tensor_parallel > 1:
        words += ["--tensor-parallel-size", str(placed.tensor_parallel)]
    if placed.replicas > 1:
        words += ["--data-parallel-size", str(placed.replicas)]
    if asked.fp8:
        words += ["--quantization", "fp8"]
    if server.adapters:
        modules = [f"{name}={adapter.path}" for name, adapter in server.adapters.items()]
        words += ["--enable-lora", "--lora-modules", *modules]
        words += ["--max-loras", str(asked.adapters), "--max-lora-rank", str(asked.rank)]
    return [*words, *server.settings.extra_args]


def command(placed: Placed) -> list[str]:
    """The whole command line."""
    return [interpreter(), "-m", MODULE, *arguments(placed)]


def settings(placed: Placed, plan: Plan) -> dict[str, str]:
    """Environment variables that the server gets beyond the inherited ones, its API key excepted."""
    if placed.cards[0].is_cpu:
        return {**QUIET, "CUDA_VISIBLE_DEVICES": "", **_threads(placed, plan)}
    cards = ",".join(str(card.index) for card in placed.cards)
    return {**QUIET, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": cards}


def environment(inherited: Mapping[str, str], extra: Mapping[str, str], key: str | None) -> dict[str, str]:
    """The environment of a server: the inherited one without what would open it, the settings, and its key."""
    kept = {name: value for name, value in inherited.items() if name not in OPENING | OVERRIDING}
    return {**kept, **extra, **({"VLLM_API_KEY": key} if key else {})}


def _utilisation(placed: Placed) -> float:
    """The planned share of the smallest card, rounded down so that shares of one card never add up to more than it."""
    return max(0.01, math.floor(100 * placed.need.total / min(card.total for card in placed.cards)) / 100)


def _threads(placed: Placed, plan: Plan) -> dict[str, str]:
    """An equal part of the cores for each server; where there are fewer than two for each, one thread, bound to no core."""
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // len(plan.placed)
    if each < 2:
        # By default each server would take a thread for every core, and they would wait for one another.
        return {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    at = [item.server.name for item in plan.placed].index(placed.server.name) * each
    return {"VLLM_CPU_OMP_THREADS_BIND": ",".join(str(core) for core in cores[at : at + each])}
