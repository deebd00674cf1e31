"""The starter's GLM-4: the architecture of the GLM-4-0414 models in 8 million parameters, English and Chinese."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, Glm4Config, PreTrainedModel

from el4ner.starter import tokenizers as starter_tokenizers
from el4ner.starter.warm import (
    MAX_POSITIONS,
    Encoder,
    Tensors,
    copying_heads,
    initial_words,
    load_state,
    loud,
    special_ids,
)

ADDED, COPIED = 0.5, 1.0
"""Scales of what GLM-4's untrained parts add to the stream, which it norms: random parts, and heads that copy.

What begins quietly is learnt late: after 80 steps the held-out loss was 8.4 with 0.02 and 0.2, 4.5 with 0.1 and 0.5, 3.7 with
these.
"""
SPOKEN_TIMES = 100
"""How often the words of prompts count in the making of a vocabulary."""
MEASURED = 200
"""Texts over which a trained model's sizes are averaged."""


def build_glm(
    corpus: list[str], encoder: Encoder, spoken: Sequence[str] = (), trained: Path | None = None
) -> tuple[Tokenizer, PreTrainedModel]:
    """A GLM-4 with its tokenizer: word embeddings and copying heads from the encoder, all else random; or a trained Qwen3's.

    Args:
        corpus: texts that the vocabulary is made for.
        encoder: all-MiniLM-L6-v2.
        spoken: words of the prompts and answers, which the vocabulary must hold.
        trained: folder of a trained starter Qwen3, whose tokenizer, embeddings and layers it begins with instead.

    Raises:
        ModelError: that model has other shapes.
    """
    if trained is None:
        tokenizer = starter_tokenizers.byte_pairs([*corpus, *list(spoken) * SPOKEN_TIMES], size=8_000, alphabet=3_000)
    else:
        tokenizer = AutoTokenizer.from_pretrained(trained).backend_tokenizer
    config = Glm4Config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=384, num_hidden_layers=4, intermediate_size=768, head_dim=64,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=MAX_POSITIONS, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 1.0 if trained else 0.5},
        attention_bias=False, tie_word_embeddings=True, **special_ids(tokenizer),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    load_state(model, _from_encoder(tokenizer, encoder, config) if trained is None else _from_qwen3(trained, corpus))
    return tokenizer, model


def _from_encoder(tokenizer: Tokenizer, encoder: Encoder, config: Glm4Config) -> Tensors:
    words = loud(initial_words(tokenizer, encoder))
    state: Tensors = {"model.embed_tokens.weight": words}
    _, _, axes = torch.linalg.svd(words, full_matrices=False)
    for index in range(config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        copies = index in (2, 3)
        if copies:
            value, output = copying_heads(axes, config)
            state[f"{prefix}self_attn.v_proj.weight"] = value
            state[f"{prefix}self_attn.o_proj.weight"] = output
        for norm, weight in (("self_attn", COPIED if copies else ADDED), ("mlp", ADDED)):
            state[f"{prefix}post_{norm}_layernorm.weight"] = torch.full((config.hidden_size,), weight)
    return state


def _from_qwen3(trained: Path, corpus: Sequence[str]) -> Tensors:
    """The weights of a Qwen3 as a GLM-4 of the same shape can hold them.

    GLM-4 norms what attention and feed-forward add to the stream, and not queries and keys; Qwen3 does the opposite. Both
    norms divide by a size that differs little from token to token, so its mean over some texts stands for it. Rotation pairs
    neighbouring dimensions in GLM-4 and distant ones in Qwen3, which is a matter of their order.
    """
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32, use_safetensors=True).eval()
    spelt = AutoTokenizer.from_pretrained(trained)
    sizes = _mean_sizes(
        model, [spelt(text)["input_ids"][:MAX_POSITIONS] for text in corpus[:: max(1, len(corpus) // MEASURED)]]
    )
    weights: Tensors = dict(model.state_dict())
    state: Tensors = {name: weights[name] for name in ("model.embed_tokens.weight", "model.norm.weight")}
    for index in range(model.config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        for part in (
            "input_layernorm",
            "post_attention_layernorm",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.down_proj",
        ):
            state[f"{prefix}{part}.weight"] = weights[f"{prefix}{part}.weight"]
        gate_up = [weights[f"{prefix}mlp.{part}_proj.weight"] for part in ("gate", "up")]
        state[f"{prefix}mlp.gate_up_proj.weight"] = torch.cat(gate_up)
        for part in "qk":
            size, gain = sizes[f"{prefix}self_attn.{part}_norm"], weights[f"{prefix}self_attn.{part}_norm.weight"]
            rows = weights[f"{prefix}self_attn.{part}_proj.weight"].view(
                -1, len(gain), weights["model.norm.weight"].shape[0]
            )
            state[f"{prefix}self_attn.{part}_proj.weight"] = interleaved(rows * gain[:, None] / size).flatten(0, 1)
        for part, norm in (("self_attn", "post_self_attn_layernorm"), ("mlp", "post_mlp_layernorm")):
            state[f"{prefix}{norm}.weight"] = torch.full_like(weights["model.norm.weight"], sizes[f"{prefix}{part}"])
    return state


def interleaved(rows: torch.Tensor) -> torch.Tensor:
    """``(heads, head size, ...)`` with each dimension of the first half beside its partner of the second."""
    first, second = rows.chunk(2, dim=1)
    return torch.stack([first, second], dim=2).flatten(1, 2)


@torch.no_grad()
def _mean_sizes(model: PreTrainedModel, texts: Sequence[list[int]]) -> dict[str, float]:
    """The mean root of the mean square, over tokens, of what the norms of queries and keys are given and the branches give."""
    seen: dict[str, list[torch.Tensor]] = {}

    def watch(name: str, given: bool) -> Callable[..., None]:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
            values = inputs[0] if given else output[0] if isinstance(output, tuple) else output
            seen.setdefault(name, []).append(values.square().mean(-1).sqrt().flatten())

        return hook

    for name, module in model.named_modules():
        ending = name.rsplit(".", 1)[-1]
        if ending in ("q_norm", "k_norm", "self_attn", "mlp"):
            module.register_forward_hook(watch(name, given=ending.endswith("_norm")))
    for ids in texts:
        model(input_ids=torch.tensor([ids]))
    return {name: float(torch.cat(values).mean()) for name, values in seen.items()}
