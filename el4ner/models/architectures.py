"""What llama.cpp calls a model's settings and tensors, and what Transformers calls them; three decoders."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from el4ner.errors import ModelError
from el4ner.models.checkpoint import CONTROL, Checkpoint, shape_of

_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_GEMMA3 = _LAYER | {
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_CLASSES = {
    "llama": ("LlamaForCausalLM", "llama"),
    "qwen2": ("Qwen2ForCausalLM", "qwen2"),
    "gemma3": ("Gemma3ForCausalLM", "gemma3_text"),
}
ENDS = ("<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>", "<|end|>", "</s>")
"""Control tokens that end an answer wherever a vocabulary has them; llama.cpp knows them by name as well."""
_GEMMA3_PATTERN = 6
"""Every sixth layer of Gemma 3 looks at everything, the others through a window; no GGUF file says so."""
_GEMMA3_LOCAL_ROPE = 10_000.0


def tensor_name(file: Checkpoint, name: str) -> str:
    """The name in Transformers of a tensor that llama.cpp calls ``name``.

    Raises:
        ModelError: there is none, so that the converted model would compute something else.
    """
    stem, _, kind = name.rpartition(".")
    parts = stem.split(".")
    layer = (_GEMMA3 if file.architecture == "gemma3" else _LAYER).get(parts[-1])
    if len(parts) == 3 and parts[0] == "blk" and layer:
        return f"model.layers.{int(parts[1])}.{layer}.{kind}"
    if stem not in _WHOLE:
        raise ModelError(
            f"{file.path}: tensor {name} is unknown, so the model cannot be converted; bring the folder that its makers published"
        )
    return f"{_WHOLE[stem]}.{kind}"


def restored(file: Checkpoint, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A tensor's values as Transformers has them: what llama.cpp's converter changed is undone.

    It turns the rows of Llama's queries and keys from halves to pairs of each head, and adds 1 to Gemma's norms.
    """
    if file.architecture == "gemma3" and name.endswith("norm.weight"):
        return values - 1
    if file.architecture == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
        heads = file.setting("attention.head_count" if "attn_q" in name else "attention.head_count_kv")
        pairs = values.reshape(heads, -1, 2, *values.shape[1:])
        return pairs.swapaxes(1, 2).reshape(values.shape)
    return values


def is_whole(file: Checkpoint, name: str) -> bool:
    """Whether ``restored`` needs all rows of that tensor at once."""
    return file.architecture == "llama" and ".attn_" in name


def config_of(file: Checkpoint) -> dict[str, Any]:
    """The content of ``config.json``.

    Raises:
        ModelError: the architecture is another one, or its positions are stretched in a way that is not known here.
    """
    if file.architecture not in _CLASSES:
        raise ModelError(
            f"{file.path}: architecture {file.architecture!r} cannot be converted; known are {', '.join(_CLASSES)}. "
            "Bring the folder with safetensors that its makers published, by get --from FOLDER --name NAME"
        )
    if file.value(f"{file.architecture}.rope.scaling.type", "none") != "none":
        raise ModelError(
            f"{file.path}: its positions are scaled, which cannot be converted; bring the published folder"
        )
    name, kind = _CLASSES[file.architecture]
    number = file.setting
    heads, hidden = number("attention.head_count"), number("embedding_length")
    config = {
        "architectures": [name],
        "model_type": kind,
        "vocab_size": shape_of(file.tensors["token_embd.weight"])[0],
        "hidden_size": hidden,
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv"),
        "head_dim": file.value(f"{file.architecture}.attention.key_length") or hidden // heads,
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": float(f"{number('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": number("rope.freq_base"),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "dtype": "float16",
    }
    return config | _ids(file) | (_gemma3(file, config) if file.architecture == "gemma3" else {})


def end_ids(file: Checkpoint) -> list[int]:
    """Ids of the tokens that end an answer, the file's own first."""
    numbers = {token: number for number, token in enumerate(file.tokens)}
    kinds = file.value("tokenizer.ggml.token_type", [])
    known = [numbers[token] for token in ENDS if token in numbers and kinds[numbers[token]] == CONTROL]
    return list(dict.fromkeys([file.value("tokenizer.ggml.eos_token_id", -1), *known]))


def _ids(file: Checkpoint) -> dict[str, int | None]:
    names = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id": "padding_token_id"}
    return {name: file.value(f"tokenizer.ggml.{key}") for name, key in names.items()}


def _gemma3(file: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    layers = range(1, config["num_hidden_layers"] + 1)
    return {
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": config["head_dim"],
        "sliding_window": file.setting("attention.sliding_window"),
        "layer_types": ["sliding_attention" if n % _GEMMA3_PATTERN else "full_attention" for n in layers],
        "rope_local_base_freq": _GEMMA3_LOCAL_ROPE,
        "dtype": "bfloat16",  # what is computed overflows in float16; what is stored does not
    }
