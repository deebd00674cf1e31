"""Tiny random models as GGUF files, written as llama.cpp's converter writes them."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
LAYERS, HIDDEN, HEADS, KV_HEADS, INNER, WINDOW = 2, 64, 4, 2, 96, 8
HEAD_DIM = {"llama": 16, "qwen2": 16, "gemma3": 256}
"""Transformers takes 256 for Gemma 3's attention whatever the file says."""
MERGES = ["Ġ t", "h e", "Ġt he", "i n", "e r", "Ġ w"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
GEMMA = {
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip


def byte_letters() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    spare = {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [spare.get(byte, chr(byte)) for byte in range(256)]


def write_gguf(
    path: Path, kind: str, *, pre: str = "smollm", tied: bool = True, seed: int = 1, extra: dict[str, Any] | None = None
) -> Path:
    """Write a model; ``kind`` is llama, qwen2 or gemma3, ``extra`` are further settings of the architecture."""
    tokens = [*SPECIALS, *byte_letters(), *(merge.replace(" ", "") for merge in MERGES)]
    if kind == "gemma3":
        tokens = gemma_tokens()[0]
    vocabulary = -(-len(tokens) // 8) * 8
    tokens += [f"[PAD{number}]" for number in range(len(tokens), vocabulary)]
    writer = gguf.GGUFWriter(path, kind)
    writer.add_string("general.name", f"tiny {kind}")
    settings = {
        "block_count": LAYERS, "context_length": 64, "embedding_length": HIDDEN, "feed_forward_length": INNER,
        "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS,
    }  # fmt: skip
    if kind == "gemma3":
        settings |= {"attention.sliding_window": WINDOW, "attention.key_length": HEAD_DIM[kind]}
    for key, value in settings.items():
        writer.add_uint32(f"{kind}.{key}", value)
    writer.add_float32(f"{kind}.rope.freq_base", 10000.0)
    writer.add_float32(f"{kind}.attention.layer_norm_rms_epsilon", 1e-5)
    for key, value in (extra or {}).items():
        writer.add_string(f"{kind}.{key}", value)
    _write_tokenizer(writer, kind, pre, tokens)
    for name, values in tensors(kind, vocabulary, tied, seed).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(kind: str, vocabulary: int, tied: bool, seed: int) -> dict[str, np.ndarray]:
    """Random weights under the names that Transformers has; every value is one of float16."""
    rng = np.random.default_rng(seed)
    query, kv = HEADS * HEAD_DIM[kind], KV_HEADS * HEAD_DIM[kind]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, HIDDEN)}
    linear = {"q": (query, HIDDEN), "k": (kv, HIDDEN), "v": (kv, HIDDEN), "o": (HIDDEN, query)}
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"] if kind == "gemma3" else []
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{name}_proj.weight": shape for name, shape in linear.items()}
        if kind == "qwen2":
            shapes |= {f"{at}.self_attn.{name}_proj.bias": linear[name][:1] for name in "qkv"}
        if kind == "gemma3":
            shapes |= {f"{at}.self_attn.{name}_norm.weight": (HEAD_DIM[kind],) for name in "qk"}
        shapes |= {f"{at}.mlp.{name}_proj.weight": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        shapes |= {f"{at}.{norm}.weight": (HIDDEN,) for norm in norms}
    shapes["model.norm.weight"] = (HIDDEN,)
    if not tied:
        shapes["lm_head.weight"] = (vocabulary, HIDDEN)
    return {name: rng.normal(0, 0.2, shape).astype(np.float16).astype(np.float32) for name, shape in shapes.items()}


def tensors(kind: str, vocabulary: int, tied: bool, seed: int) -> dict[str, np.ndarray]:
    """The weights as llama.cpp's converter stores them."""
    names = NAMES | (GEMMA if kind == "gemma3" else {})
    found = {}
    for name, values in weights(kind, vocabulary, tied, seed).items():
        stem, ending = name.rsplit(".", 1)
        if stem.startswith("model.layers."):
            layer, inner = stem.removeprefix("model.layers.").split(".", 1)
            stored = f"blk.{layer}.{names[inner]}.{ending}"
        else:
            whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
            stored = f"{whole[stem]}.{ending}"
        if kind == "gemma3" and name.endswith("norm.weight"):
            values = values + 1
        if kind == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = HEADS if "q_proj" in name else KV_HEADS
            halves = values.reshape(heads, 2, HEAD_DIM[kind] // 2, HIDDEN)  # as convert_hf_to_gguf.py's permute
            values = halves.swapaxes(1, 2).reshape(values.shape)
        found[stored] = np.ascontiguousarray(values)
    return found


def gemma_tokens() -> tuple[list[str], list[float], list[int]]:
    """A vocabulary of SentencePiece's kind: tokens, scores, kinds."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<end_of_turn>"]
    users = ["\n\n", "  ", "</s>"]
    pieces = ["in", "▁the", "th", "the", "▁t", "he", "▁i"]
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz,.", "人"]
    tokens = [*special, *users, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *letters]
    scores = [-1000.0] * (len(special) + len(users)) + [0.0] * 256
    scores += [-float(rank) for rank in range(len(pieces))] + [-100.0] * len(letters)
    kinds = [3] * len(special) + [4] * len(users) + [6] * 256 + [1] * (len(pieces) + len(letters))
    return tokens, scores, kinds


def _write_tokenizer(writer: gguf.GGUFWriter, kind: str, pre: str, tokens: list[str]) -> None:
    if kind == "gemma3":
        _, scores, kinds = gemma_tokens()
        padding = len(tokens) - len(kinds)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([*scores, *[-1000.0] * padding])
        writer.add_token_types([*kinds, *[5] * padding])
        writer.add_bos_token_id(2)
        writer.add_eos_token_id(1)
        writer.add_unk_token_id(3)
        writer.add_pad_token_id(0)
        writer.add_add_bos_token(True)
    else:
        kinds = [3 if token in SPECIALS else 5 if token.startswith("[PAD") else 1 for token in tokens]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_types(kinds)
        writer.add_token_merges(MERGES)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_pad_token_id(0)
        writer.add_add_bos_token(False)
        writer.add_chat_template(TEMPLATE)
    writer.add_token_list(tokens)
