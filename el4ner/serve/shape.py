"""The numbers of a model that decide its memory, from its ``config.json`` and the headers of its weights."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.errors import ModelError
from el4ner.models.registry import Entry
from el4ner.models.resolve import known_entry, tokenizer_folder, weights_folder
from el4ner.models.weights import check_model_folder
from el4ner.serve.tensors import Tensor, read_tensors
from el4ner.text.files import load_json

VALUE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Precisions that a server may compute in, with bytes a value."""
_TIED = {"OPTForCausalLM", "BloomForCausalLM", "GPT2LMHeadModel", "Gemma3ForCausalLM"}
"""Architectures that tie output and input embeddings where their configuration does not say."""


@dataclass(frozen=True)
class ModelShape:
    """A decoder's architecture.

    Attributes:
        window: tokens that a sliding-window layer looks back, or None.
        latent: values a token and layer in a compressed cache (multi-head latent attention), or None.
        dtype: precision the weights are stored in.
        quantised: whether the checkpoint itself is quantised.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    positions: int | None
    window: int | None
    latent: int | None
    dtype: str
    tied: bool
    quantised: bool

    def kv_bytes_per_token(self, value_bytes: int, cards: int = 1) -> int:
        """Bytes that one token holds in the cache of each card: keys and values, every layer, every head of its share.

        Where there are more cards than key-value heads, the heads are repeated.
        """
        if self.latent is not None:
            return self.layers * self.latent * value_bytes
        return 2 * self.layers * max(1, self.kv_heads // cards) * self.head_dim * value_bytes

    def splits_into(self, cards: int) -> bool:
        """Whether tensor parallelism over that many cards is possible: heads divide, key-value heads divide or repeat."""
        divides = self.kv_heads % cards == 0 or cards % self.kv_heads == 0
        return self.heads % cards == 0 and self.intermediate % cards == 0 and divides


def read_shape(config: Mapping[str, Any], where: str = "config.json") -> ModelShape:
    """The shape in a ``config.json`` of any common naming (Llama-like, OPT, Bloom, GPT-2, ChatGLM).

    Raises:
        ModelError: a number is missing, so that its memory cannot be known.
    """
    text = {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else config

    def number(*names: str, default: int | None = None) -> int:
        value = next((text[name] for name in names if isinstance(text.get(name), int)), default)
        if value is None or value < 1:
            raise ModelError(f"{where} gives no {names[0]}; its memory cannot be planned, use another model")
        return int(value)

    hidden = number("hidden_size", "n_embd", "n_embed")
    heads = number("num_attention_heads", "n_head")
    stored = str(text.get("dtype") or text.get("torch_dtype") or "float32").removeprefix("torch.")
    rope = text.get("qk_rope_head_dim")
    rank = text.get("kv_lora_rank")
    window = text.get("sliding_window") if text.get("use_sliding_window", True) else None
    architectures = text.get("architectures") or config.get("architectures") or ["unknown"]
    return ModelShape(
        architecture=str(architectures[0]),
        layers=number("num_hidden_layers", "n_layer", "num_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=number("num_key_value_heads", "multi_query_group_num", default=heads),
        head_dim=number("head_dim", "kv_channels", default=hidden // heads),
        intermediate=number("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", default=4 * hidden),
        vocabulary=number("vocab_size", "padded_vocab_size"),
        positions=next(
            (text[n] for n in ("max_position_embeddings", "n_positions", "seq_length") if text.get(n)), None
        ),
        window=window if isinstance(window, int) else None,
        latent=rank + rope if isinstance(rank, int) and isinstance(rope, int) else None,
        dtype=stored if stored in VALUE_BYTES else "bfloat16",
        tied=bool(text.get("tie_word_embeddings", architectures[0] in _TIED)),
        quantised="quantization_config" in config or "quantization_config" in text,
    )


@dataclass(frozen=True)
class Weights:
    """The tensors that a server loads."""

    tensors: tuple[Tensor, ...]

    def size(self, value_bytes: int, *, fp8: bool = False) -> int:
        """Bytes on the device in a precision of ``value_bytes``; with ``fp8``, one byte a value of a linear layer."""
        return sum(t.served_size(1 if fp8 and _is_linear(t) else value_bytes) for t in self.tensors)


@dataclass(frozen=True)
class ModelFolder:
    """A folder that passed all checks, with its shape and weights; or one to be, as the registry has it.

    Attributes:
        known_as: name in the registry, where the numbers are from there because the folder is not here.
    """

    path: Path
    shape: ModelShape
    weights: Weights
    known_as: str | None = None


def read_model(folder: Path, *, by_chat: bool = True) -> ModelFolder:
    """Check a model folder and read what its memory depends on.

    Args:
        folder: of the model.
        by_chat: whether its members are asked by chat; base models have no chat template.

    Raises:
        ModelError: it is no complete model, asks for remote code, holds no safetensors weights, or no chat template.
    """
    check_model_folder(folder)
    config = load_json(folder / "config.json")
    shape = read_shape(config, str(folder / "config.json"))
    if by_chat:
        _check_template(_has_chat_template(folder), str(folder))
    tensors = read_tensors(folder)
    # A tied model may store its output embeddings all the same; they are not loaded twice.
    loaded = [t for t in tensors if not (shape.tied and t.name.startswith("lm_head."))]
    return ModelFolder(folder, shape, Weights(tuple(loaded)))


def find_model(model: str, *, sizes_suffice: bool, by_chat: bool = True) -> ModelFolder:
    """The model that a ``serve`` section names by path or by name.

    Args:
        model: a folder, or a name of ``el4ner.models``.
        sizes_suffice: a model of the registry that is not here is given with the registry's numbers; else it is an error.
        by_chat: whether its members are asked by chat; base models have no chat template.

    Raises:
        ConfigError: the name is not installed, or unknown.
        ModelError: the folder cannot be served.
    """
    entry, folder = known_entry(model), tokenizer_folder(model)
    if sizes_suffice and entry is not None and not folder.exists():
        _check_template(not by_chat or entry.template != "none", entry.name)
        return _of_registry(entry, folder)
    return read_model(weights_folder(model), by_chat=by_chat)


def _of_registry(entry: Entry, folder: Path) -> ModelFolder:
    known = entry.shape
    dtype = "float16" if entry.file and entry.architecture != "Gemma3ForCausalLM" else "bfloat16"
    shape = ModelShape(
        entry.architecture, known.layers, known.hidden, known.heads, known.kv_heads, known.head_dim, known.intermediate,
        known.vocabulary, entry.context, known.window, None, dtype, known.tied, quantised=False,
    )  # fmt: skip
    shapes = {"embed_tokens": (known.vocabulary, known.hidden), "linear": (known.linear // known.hidden, known.hidden)}
    shapes |= {} if known.tied else {"lm_head": (known.vocabulary, known.hidden)}
    tensors = [Tensor(name, "BF16", size, 2 * math.prod(size)) for name, size in shapes.items()]
    rest = Tensor("norms and biases", "BF16", (known.rest,), 2 * known.rest)
    return ModelFolder(folder, shape, Weights((*tensors, rest)), known_as=entry.name)


def _check_template(there: bool, where: str) -> None:
    if not there:
        raise ModelError(
            f"{where} has no chat template; use an instruction-tuned model, give its members chat_template: none, or add the "
            "chat_template.jinja that it was tuned with"
        )


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    content = load_json(folder / "tokenizer_config.json")
    return bool(content.get("chat_template"))


def _is_linear(tensor: Tensor) -> bool:
    outside: Sequence[str] = ("embed", "lm_head", "norm", "wte", "wpe")
    return len(tensor.shape) == 2 and not any(word in tensor.name for word in outside)
