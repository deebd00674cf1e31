"""LoRA adapters: whether vLLM can serve one on its base, checked from the adapter's configuration and headers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.errors import ModelError
from el4ner.models.weights import check_adapter_folder
from el4ner.serve.shape import ModelFolder
from el4ner.serve.tensors import Tensor, read_header
from el4ner.text.files import load_json

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as its largest rank."""
_SPLIT = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
TARGETS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Glm4ForCausalLM",
         "Gemma2ForCausalLM", "Gemma3ForCausalLM"), _SPLIT),
    "Phi3ForCausalLM": frozenset({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "GlmForCausalLM": frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "OPTForCausalLM": frozenset({"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}),
    "ChatGLMForConditionalGeneration": frozenset({"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}),
}  # fmt: skip
"""Modules that vLLM puts adapters on, by architecture; an architecture that is not here is not checked."""
WITHOUT_LORA = frozenset({"BloomForCausalLM", "GPT2LMHeadModel"})
_PLAIN_INITS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
_NAME = re.compile(r"^(?:base_model\.model\.)?(.+)\.(?:lora_(A|B)|lora_embedding_(?:A|B))(?:\.weight)?$")


@dataclass(frozen=True)
class Adapter:
    """An adapter that can be served. ``rank`` is its largest; ``targets`` the endings of its modules' names."""

    path: Path
    rank: int
    targets: tuple[str, ...]

    @property
    def served_rank(self) -> int:
        """The smallest value of ``--max-lora-rank`` that takes it."""
        return next(rank for rank in RANKS if rank >= self.rank)


def check_targets(architecture: str, targets: set[str], where: str) -> None:
    """Refuse modules that vLLM puts no adapter on; usable before training as well as before serving.

    Raises:
        ModelError: the architecture takes no adapters, or not on these modules.
    """
    if architecture in WITHOUT_LORA:
        raise ModelError(f"{where}: vLLM serves no adapters on {architecture}; merge the adapter into its base")
    known = TARGETS.get(architecture)
    if known is not None and (refused := sorted(targets - known)):
        raise ModelError(
            f"{where}: vLLM takes no adapter on {', '.join(refused)} of {architecture}; it takes "
            f"{', '.join(sorted(known))}: train on those, or merge the adapter into its base"
        )


def read_adapter(folder: Path, base: ModelFolder) -> Adapter:
    """Read an adapter and check it against its base.

    Raises:
        ModelError: vLLM would refuse it, or serve the base in its place without a word.
    """
    check_adapter_folder(folder)
    settings = load_json(folder / "adapter_config.json")
    _check_settings(settings, folder)
    modules = _modules(read_header(folder / "adapter_model.safetensors"), folder)
    targets = {name.rsplit(".", 1)[-1] for name in modules}
    check_targets(base.shape.architecture, targets, str(folder))
    _check_sizes(modules, base, folder)
    rank = max(tensor.shape[0] for tensor in modules.values())
    if rank > RANKS[-1]:
        raise ModelError(f"{folder}: rank {rank} is above {RANKS[-1]}, the most vLLM takes; merge it into its base")
    return Adapter(folder, rank, tuple(sorted(targets)))


def _check_settings(settings: dict[str, Any], folder: Path) -> None:
    init = settings.get("init_lora_weights", True)
    problems = {
        "DoRA": settings.get("use_dora"),
        "a bias": settings.get("lora_bias") or settings.get("bias", "none") != "none",
        "tuned modules of its own (modules_to_save)": set(settings.get("modules_to_save") or ())
        - {"classifier", "score"},
        "an initialisation that changes the base": isinstance(init, str) and init.lower() not in _PLAIN_INITS,
        "activation tokens (aLoRA)": settings.get("alora_invocation_tokens"),
        "replicated layers": settings.get("layer_replication"),
        "QALoRA": settings.get("use_qalora"),
        "block-diagonal matrices": settings.get("use_bdlora"),
    }
    found = [what for what, present in problems.items() if present]
    if found:
        raise ModelError(f"{folder} uses {' and '.join(found)}, which vLLM does not serve; merge it into its base")


def _modules(tensors: list[Tensor], folder: Path) -> dict[str, Tensor]:
    """Module name to its first matrix (rank x inputs)."""
    found = [(match, tensor) for tensor in tensors if (match := _NAME.match(tensor.name))]
    modules = {match[1]: tensor for match, tensor in found if match[2] == "A" and len(tensor.shape) == 2}
    if not modules:
        raise ModelError(f"{folder} holds no LoRA matrices, and vLLM would serve its base in its place; train it again")
    return modules


def _check_sizes(modules: dict[str, Tensor], base: ModelFolder, folder: Path) -> None:
    """An adapter for another base matches no module or has other sizes."""
    inputs = {t.name.removesuffix(".weight"): t.shape[1] for t in base.weights.tensors if len(t.shape) == 2}
    for name, tensor in modules.items():
        layer = re.search(r"\.(?:layers|h|blocks)\.(\d+)\.", name)
        beyond = layer is not None and int(layer[1]) >= base.shape.layers
        if beyond or inputs.get(name, tensor.shape[1]) != tensor.shape[1]:
            raise ModelError(f"{folder}: module {name} does not fit {base.path}; the adapter belongs to another base")
