"""Model folders with true configurations and headers but no weights: the files are sparse, so that 29 GB take no space."""

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "I32": 4}

PUBLISHED: dict[str, dict[str, Any]] = {
    "GLM-4-9B-0414": {
        "architectures": ["Glm4ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 13696, "vocab_size": 151552,
        "max_position_embeddings": 32768, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "attention_bias": True,
    },
    "glm-4-9b-chat-hf": {
        "architectures": ["GlmForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 13696, "vocab_size": 151552,
        "max_position_embeddings": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "attention_bias": True,
    },
    "phi-4": {
        "architectures": ["Phi3ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40,
        "num_key_value_heads": 10, "intermediate_size": 17920, "vocab_size": 100352, "max_position_embeddings": 16384,
        "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "Qwen2.5-14B-Instruct": {
        "architectures": ["Qwen2ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40,
        "num_key_value_heads": 8, "intermediate_size": 13824, "vocab_size": 152064, "max_position_embeddings": 32768,
        "sliding_window": 131072, "use_sliding_window": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    },
    "Qwen3-0.6B": {
        "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936,
        "max_position_embeddings": 40960, "sliding_window": None, "use_sliding_window": False,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "Qwen3-4B": {
        "architectures": ["Qwen3ForCausalLM"], "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
        "max_position_embeddings": 40960, "sliding_window": None, "use_sliding_window": False,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "Qwen3-8B": {
        "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936,
        "max_position_embeddings": 40960, "sliding_window": None, "use_sliding_window": False,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "Llama-3.2-3B-Instruct": {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "granite-3.3-2b-instruct": {
        "architectures": ["GraniteForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 49159, "max_position_embeddings": 131072,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "attention_bias": False,
    },
    "Yi-1.5-6B-Chat": {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 4, "intermediate_size": 11008, "vocab_size": 64000, "max_position_embeddings": 4096,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "attention_bias": False,
    },
}  # fmt: skip
"""Numbers of the published ``config.json`` files."""


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a checkpoint of that configuration, as the published ones store them."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", hidden // config["num_attention_heads"])
    query, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    kind = config["architectures"][0]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        if kind == "Phi3ForCausalLM":
            shapes[f"{at}.self_attn.qkv_proj.weight"] = (query + 2 * kv, hidden)
        else:
            for name, width in (("q", query), ("k", kv), ("v", kv)):
                shapes[f"{at}.self_attn.{name}_proj.weight"] = (width, hidden)
                if config.get("attention_bias", kind == "Qwen2ForCausalLM"):
                    shapes[f"{at}.self_attn.{name}_proj.bias"] = (width,)
        shapes[f"{at}.self_attn.o_proj.weight"] = (hidden, query)
        if kind in ("Phi3ForCausalLM", "GlmForCausalLM", "Glm4ForCausalLM"):
            shapes[f"{at}.mlp.gate_up_proj.weight"] = (2 * inner, hidden)
        else:
            shapes[f"{at}.mlp.gate_proj.weight"] = shapes[f"{at}.mlp.up_proj.weight"] = (inner, hidden)
        shapes[f"{at}.mlp.down_proj.weight"] = (hidden, inner)
        norms = ["input_layernorm", "post_attention_layernorm"]
        norms += ["post_self_attn_layernorm", "post_mlp_layernorm"] if kind == "Glm4ForCausalLM" else []
        for name in norms:
            shapes[f"{at}.{name}.weight"] = (hidden,)
        if kind == "Qwen3ForCausalLM":
            shapes[f"{at}.self_attn.q_norm.weight"] = shapes[f"{at}.self_attn.k_norm.weight"] = (head,)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    return shapes


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], kind: str = "BF16") -> None:
    """A sparse file with a true header."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, count = end, 1
        for size in shape:
            count *= size
        end = start + count * BYTES[kind]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    content = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(content)) + content)
        file.truncate(8 + len(content) + end)


def save_model(folder: Path, config: Mapping[str, Any], *, shards: int = 2, kind: str = "BF16") -> Path:
    """A model folder in shards with an index, as large models come."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages[0].content }}"}))
    names = list(tensor_shapes(config).items())
    weight_map = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = dict(names[shard::shards])
        write_safetensors(folder / name, part, kind)
        weight_map |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def save_adapter(
    folder: Path, base: Mapping[str, Any], targets: Iterable[str], *, rank: int = 16, hidden: int = 0, **settings: Any
) -> Path:
    """An adapter on the first layer of a base; ``hidden`` stands in for the base's own width."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"r": rank, "lora_alpha": 2 * rank, "target_modules": list(targets), **settings})
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for target in targets:
        room = "mlp" if target in ("gate_proj", "up_proj", "gate_up_proj", "down_proj") else "self_attn"
        at = f"base_model.model.model.layers.0.{room}.{target}"
        inputs = hidden or (base["intermediate_size"] if target == "down_proj" else base["hidden_size"])
        shapes[f"{at}.lora_A.weight"] = (rank, inputs)
        shapes[f"{at}.lora_B.weight"] = (base["hidden_size"], rank)
    write_safetensors(folder / "adapter_model.safetensors", shapes, "F32")
    return folder
