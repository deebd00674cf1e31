"""A LoRA adapter in PEFT's format on a GGUF model: merged into a copy of it, so that it costs llama.cpp nothing.

A matrix ``W`` becomes ``W + s B A``, where ``s`` is ``alpha / r`` (arXiv 2106.09685, section 4.1) or, rank-stabilised,
``alpha / sqrt(r)`` (arXiv 2312.03732). An adapter that does more than add such matrices is refused.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from el4ner.engines.gguf_header import GgufHeader
from el4ner.engines.gguf_merge import LowRank, merge
from el4ner.errors import ModelError
from el4ner.models.weights import check_adapter_folder, hash_folder
from el4ner.text.files import load_json

log = logging.getLogger(__name__)

MERGED_AS = "2"
"""How this module merges: part of the files' names and of what tells answers apart; to be raised when it changes."""
_KEPT = 6
"""Merged files that stay; each is about as large as its model, and the least recently used go first."""
_MODEL_TYPES = {
    "llama": ("llama", "mistral"),
    "qwen2": ("qwen2",),
    "qwen3": ("qwen3",),
    "gemma3": ("gemma3", "gemma3_text"),
}
"""Architectures whose tensors are known here, and what Transformers calls their models."""
_EXPRESSED = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode", "layers_pattern",
    "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type", "peft_version",
    "qalora_group_size", "r", "rank_pattern", "revision", "target_modules", "task_type", "use_rslora",
}  # fmt: skip
"""Settings that the converted file follows, or that change nothing once an adapter is tuned."""
_NAMES = {
    "use_dora": "DoRA",
    "modules_to_save": "modules of its own (modules_to_save)",
    "lora_bias": "a bias (lora_bias)",
    "bias": "tuned biases",
    "alora_invocation_tokens": "activation tokens (aLoRA)",
}
_PLAIN_STARTS = ("gaussian", "eva", "orthogonal")
"""Initialisations that leave the base as it is."""
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<matrix>[AB])\.weight")
_FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Where ``A`` and ``B`` of one matrix are stored, what llama.cpp calls the matrix, and ``s``."""

    a: str
    b: str
    target: str
    factor: float


def check_adapter(folder: Path, base: GgufHeader) -> None:
    """Refuse an adapter that llama.cpp cannot put on a base model, or that was not tuned on it.

    Raises:
        ModelError: it is; the message says why.
    """
    _pairs(folder, base)


def merge_system_message(folder: Path, path: Path, base: GgufHeader, identity: str) -> Path:
    """The GGUF file of a model with an adapter merged into it.

    It is written at the first time, into ``$XDG_CACHE_HOME/el4ner/merge_system_message`` (``~/.cache/...``).

    Args:
        folder: of a PEFT adapter.
        path: GGUF file of the model that it was tuned on.
        base: header of that file.
        identity: hash of that file.

    Raises:
        ModelError: the adapter does not fit the base, is more than low-rank matrices, or changes nothing; or the cache cannot be
            written.
    """
    pairs = _pairs(folder, base)
    name = hashlib.sha256(repr((MERGED_AS, hash_folder(folder), identity)).encode()).hexdigest()
    target = _cache() / f"{name}.gguf"
    if not target.is_file():
        updates = _updates(folder, base, pairs)
        log.info("the adapter %s is merged into %s, once; this takes some seconds", folder.name, path.parent.name)
        _write(path, base, target, updates)
    _keep_recent(target)
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "el4ner" / "merged"


def _keep_recent(used: Path) -> None:
    """Mark a file as used, and delete the least recently used ones beyond what is kept; a cache that is read-only stays."""
    with contextlib.suppress(OSError):
        os.utime(used)
        files = sorted(used.parent.glob("*.gguf"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_KEPT:]:
            file.unlink(missing_ok=True)


def _pairs(folder: Path, base: GgufHeader) -> list[_Pair]:
    settings = _settings(folder, base)
    shapes = _shapes(folder)
    names = _llama_cpp_names(base)
    modules = sorted({match["module"] for key in shapes if (match := _TENSOR.fullmatch(key))})
    pairs = [_pair(folder, base, settings, shapes, names, module) for module in modules]
    lacking = _expected(settings, base, names) - {pair.target for pair in pairs}
    if lacking or not pairs:
        raise ModelError(
            f"{folder} lacks {len(lacking) or 'all'} of the matrices that it names; fetch or train it again"
        )
    return pairs


def _settings(folder: Path, base: GgufHeader) -> dict[str, Any]:
    """The adapter's configuration, found to ask for nothing but such matrices on such a model."""
    check_adapter_folder(folder)
    settings: dict[str, Any] = load_json(folder / "adapter_config.json")
    if settings.get("peft_type") != "LORA":
        raise ModelError(f"{folder} is no LoRA adapter; llama.cpp takes no other kind: merge it into its base")
    start = settings.get("init_lora_weights", True)
    plain = {"bias": "none", "init_lora_weights": start if start in (True, False, *_PLAIN_STARTS) else None}
    used = [
        _NAMES.get(key, key)
        for key, value in sorted(settings.items())
        if key not in _EXPRESSED and value and value != plain.get(key)
    ]
    if used:
        raise ModelError(
            f"{folder} uses {' and '.join(used)}, which llama.cpp's adapters cannot say; merge it into its base"
        )
    if base.architecture not in _MODEL_TYPES:
        known = ", ".join(_MODEL_TYPES)
        raise ModelError(
            f"{folder} cannot be converted for the architecture {base.architecture}, only for {known}; merge it"
        )
    _check_model_type(folder, str(settings.get("base_model_name_or_path")), base)
    return settings


def _check_model_type(folder: Path, named: str, base: GgufHeader) -> None:
    """Refuse an adapter whose base is here and has another architecture."""
    try:
        kind = json.loads((Path(named) / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # the shapes tell the rest
    if kind not in _MODEL_TYPES[base.architecture]:
        raise ModelError(
            f"{folder} was tuned on a {kind} model, and the GGUF file is {base.architecture}; name its own base"
        )


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Names of the stored tensors, all of them LoRA matrices, and their shapes."""
    path = folder / "adapter_model.safetensors"
    try:
        with safe_open(path, "np") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            types = {key: part.get_dtype() for key, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is no safetensors file ({type(error).__name__}); fetch or train it again") from error
    for key in shapes:
        if not _TENSOR.fullmatch(key) or types[key] not in _FLOATS:
            raise ModelError(
                f"{folder}: tensor {key} ({types[key]}) is no LoRA matrix of a linear layer; merge it into its base"
            )
    return shapes


def _llama_cpp_names(base: GgufHeader) -> Any:
    """From names of modules in Transformers to names in GGUF files."""
    import gguf

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    return gguf.get_tensor_name_map(kinds[base.architecture], _layers(base))


def _layers(base: GgufHeader) -> int:
    return 1 + max((int(name.split(".")[1]) for name in base.tensors if re.match(r"blk\.\d+\.", name)), default=-1)


def _pair(
    folder: Path,
    base: GgufHeader,
    settings: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    names: Any,
    module: str,
) -> _Pair:
    target = f"{names.get_name(module)}.weight"
    if target not in base.tensors:
        raise ModelError(f"{folder}: the GGUF file has no matrix {module}; give an adapter that was tuned on it")
    a, b = (f"base_model.model.{module}.lora_{matrix}.weight" for matrix in "AB")
    rank = int(_of_module(settings.get("rank_pattern"), module, settings.get("r")))
    rows, columns = base.tensors[target]
    if shapes.get(a) != (rank, columns) or shapes.get(b) != (rows, rank):
        raise ModelError(f"{folder}: {module} has not the shape of rank {rank} on this GGUF file; give its own adapter")
    alpha = float(_of_module(settings.get("alpha_pattern"), module, settings.get("lora_alpha")))
    return _Pair(a, b, target, alpha / (rank**0.5 if settings.get("use_rslora") else rank))


def _of_module(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """What a setting is for a module: of the first pattern that ends its name, as in PEFT."""
    found = (value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", module))
    return next(found, default)


def _expected(settings: Mapping[str, Any], base: GgufHeader, names: Any) -> set[str]:
    """The matrices of the base that the adapter must have, where its settings name modules alone."""
    targets = settings.get("target_modules")
    if isinstance(targets, str) or settings.get("layers_to_transform") is not None or settings.get("exclude_modules"):
        return set()
    modules = (
        f"model.layers.{layer}.{part}.{target}"
        for layer in range(_layers(base))
        for part in ("self_attn", "mlp")
        for target in targets or ()
    )
    return {f"{names.get_name(module)}.weight" for module in modules} & base.tensors.keys()


def _updates(folder: Path, base: GgufHeader, pairs: list[_Pair]) -> dict[str, LowRank]:
    """What is added to the base's matrices, by their names."""
    from safetensors.torch import load_file  # NumPy knows no bfloat16

    try:
        stored = load_file(folder / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder} cannot be read ({type(error).__name__}); fetch or train it again") from error
    updates: dict[str, LowRank] = {}
    for pair in pairs:
        a, b = (stored[key].float().numpy() for key in (pair.a, pair.b))
        updates[pair.target] = LowRank(_rows_as_stored(b * np.float32(pair.factor), pair.target, base), a)
    if not all(np.isfinite(update.a).all() and np.isfinite(update.b).all() for update in updates.values()):
        raise ModelError(f"{folder} holds numbers that are not finite; train it again")
    if not any(update.a.any() and update.b.any() for update in updates.values()):
        raise ModelError(f"{folder} changes nothing: in each product one matrix is 0; train it, or leave adapter out")
    return updates


def _rows_as_stored(rows: NDArray[np.float32], target: str, base: GgufHeader) -> NDArray[np.float32]:
    """The rows of ``B`` in the order of the GGUF file: of Llama's queries and keys, the halves of each head are interleaved."""
    heads = {"attn_q": base.heads, "attn_k": base.kv_heads}.get(target.split(".")[-2])
    if base.architecture != "llama" or heads is None:
        return rows
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def _write(path: Path, base: GgufHeader, target: Path, updates: Mapping[str, LowRank]) -> None:
    """Write the file in one step, so that no cut leaves half of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            merge(path, base, Path(work) / target.name, updates)
            (Path(work) / target.name).replace(target)
    except OSError as error:
        room = path.stat().st_size * 13 // 10_000_000
        raise ModelError(
            f"cannot write {target} ({error.strerror or error}); let XDG_CACHE_HOME name a folder with room for {room} MB"
        ) from error


__all__ = ["MERGED_AS", "check_adapter", "merge_system_message"]
