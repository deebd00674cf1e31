"""Models of a few thousand random weights in the starter's three architectures, with tokenizers made for our own sentences."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM as Causal
from transformers import BloomConfig, Glm4Config, GPT2Config, OPTConfig, PretrainedConfig, Qwen3Config

from el4ner.starter.tokenizers import END, PAD, byte_pairs, cased_word_pieces, uncased_word_pieces, wrap

SENTENCES = [
    "Mira Solberg opened a bakery in Tromso last May .",
    "The Quillon Institute sent two divers to Lake Orven .",
    "Old Harrow Bank and the town of Bexley signed a contract .",
    "It snowed , and nobody came .",
    "林晓梅在青岛的海风公司工作。",
    "昨天她去了杭州。",
    "他们没有见到任何人。",
] * 3
CONTEXT = 256
SPREAD = 0.4
"""Wide initial weights, so that the best token is best by far and rounding decides nothing."""


def save_tiny(name: str, folder: Path, seed: int = 1) -> Path:
    """Write a random model with its tokenizer to ``folder``; ``name`` is opt, bloom, qwen3, glm4 or gpt2."""
    tokenizer = _tokenizer(name)
    ids = {"bos_token_id": tokenizer.token_to_id(END), "eos_token_id": tokenizer.token_to_id(END)}
    config = _config(name, tokenizer.get_vocab_size(), pad_token_id=tokenizer.token_to_id(PAD), **ids)
    torch.manual_seed(seed)
    Causal.from_config(config).save_pretrained(folder)
    wrap(tokenizer, CONTEXT).save_pretrained(folder)
    return folder


def _tokenizer(name: str) -> Tokenizer:
    if name == "opt":
        return uncased_word_pieces(SENTENCES, _vocabulary(), 300)
    return byte_pairs(SENTENCES, 420) if name in ("qwen3", "glm4") else cased_word_pieces(SENTENCES, 300)


def _vocabulary() -> dict[str, int]:
    text = " ".join(SENTENCES)
    letters = "abcdefghijklmnopqrstuvwxyz.,:=[]<>|" + "".join(c for c in text if ord(c) > 127)
    words = sorted({word.lower() for word in text.split() if word.isascii()})
    pieces = ["[UNK]", *letters, *(f"##{letter}" for letter in letters if letter.isalpha()), *words]
    return {piece: row for row, piece in enumerate(dict.fromkeys(pieces))}


def _config(name: str, size: int, **ids: Any) -> PretrainedConfig:
    if name == "opt":
        return OPTConfig(
            vocab_size=size, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2, dropout=0.0,
            max_position_embeddings=CONTEXT, word_embed_proj_dim=16, do_layer_norm_before=False, init_std=SPREAD, **ids,
        )  # fmt: skip
    if name == "bloom":
        return BloomConfig(
            vocab_size=size, hidden_size=32, n_layer=2, n_head=2, seq_length=CONTEXT, initializer_range=SPREAD,
            apply_residual_connection_post_layernorm=True, hidden_dropout=0.0, attention_dropout=0.0, **ids,
        )  # fmt: skip
    if name == "gpt2":
        return GPT2Config(
            vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=CONTEXT, initializer_range=SPREAD, **ids
        )
    if name == "glm4":
        return Glm4Config(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, intermediate_size=64, head_dim=16, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=CONTEXT, tie_word_embeddings=True, attention_bias=False,
            initializer_range=SPREAD, **ids,
        )  # fmt: skip
    return Qwen3Config(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, intermediate_size=64, head_dim=16, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=CONTEXT, tie_word_embeddings=True, initializer_range=SPREAD, **ids,
    )  # fmt: skip
