"""GGUF files of models with random weights and nearly one token a byte: a few kilobytes that llama.cpp runs in a moment."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HIDDEN, LAYERS, HEADS, INTERMEDIATE = 32, 2, 2, 64
VOCABULARY = 259
CONTROL = {"<|im_start|>": 256, "<|im_end|>": 257}


def write_tiny_gguf(
    path: Path, template: str | None = CHATML, seed: int = 0, context: int = 2048, *, puts_bos: bool = False
) -> Path:
    """A Llama; ``template`` None makes a base model. ``puts_bos``: whether texts begin with its first control token."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_add_bos_token(puts_bos)
    return _written(writer, path, template, context, _random_tensors(np.random.default_rng(seed)))


def write_gguf_of(model: Any, path: Path, template: str | None = CHATML) -> Path:
    """A model of Transformers with ``VOCABULARY`` tokens: a Llama, Qwen2, Qwen3 or Gemma 3."""
    config, architecture = model.config, model.config.model_type.removesuffix("_text")
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_add_bos_token(False)
    if architecture == "gemma3":
        writer.add_sliding_window(config.sliding_window)
    return _written(
        writer, path, template, config.max_position_embeddings, dict(_tensors_of(model, architecture, head_size))
    )


def tokens_of(text: str) -> list[int]:
    """The tokens of a text without "th"."""
    pieces = re.split("|".join(map(re.escape, CONTROL)), text), re.findall("|".join(map(re.escape, CONTROL)), text)
    first, *others = (list(piece.encode()) for piece in pieces[0])
    return first + [token for mark, piece in zip(pieces[1], others, strict=True) for token in (CONTROL[mark], *piece)]


def _written(
    writer: gguf.GGUFWriter, path: Path, template: str | None, context: int, tensors: Mapping[str, np.ndarray]
) -> Path:
    writer.add_context_length(context)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([*_byte_tokens(), *CONTROL, "th"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL])
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(256)
    if template is not None:
        writer.add_chat_template(template)
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _byte_tokens() -> list[str]:
    """The characters that byte-level BPE writes the 256 bytes with."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (chr(256 + place) for place in range(256))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]


def _random_tensors(random: np.random.Generator) -> dict[str, np.ndarray]:
    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.normal(0, 0.3, (rows, columns))

    shapes = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, HIDDEN), "attn_v": (HIDDEN, HIDDEN)}
    shapes |= {"attn_output": (HIDDEN, HIDDEN), "ffn_gate": (INTERMEDIATE, HIDDEN), "ffn_up": (INTERMEDIATE, HIDDEN)}
    shapes |= {"ffn_down": (HIDDEN, INTERMEDIATE)}
    tensors = {"token_embd.weight": matrix(VOCABULARY, HIDDEN), "output_norm.weight": np.ones(HIDDEN)}
    tensors["output.weight"] = matrix(VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        tensors |= {f"blk.{layer}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        tensors |= {f"blk.{layer}.{name}.weight": np.ones(HIDDEN) for name in ("attn_norm", "ffn_norm")}
    return tensors


def _tensors_of(model: Any, architecture: str, head_size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors as llama.cpp's own converter writes them."""
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(kinds[architecture], model.config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        if architecture == "gemma3" and key.endswith("norm.weight"):
            values = values + 1
        if architecture == "llama" and re.search(r"\.[qk]_proj\.", key):
            pair = [half * head_size // 2 + place for place in range(head_size // 2) for half in (0, 1)]
            values = values[[start + row for start in range(0, len(values), head_size) for row in pair]]
        yield names.get_name(key, try_suffixes=(".weight", ".bias")), values
