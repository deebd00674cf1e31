"""Models of a few thousand random weights in several architectures, with a tokenizer made for our own sentences."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM as Causal
from transformers import BloomConfig, Glm4Config, GPT2Config, PretrainedConfig, PreTrainedTokenizerFast, Qwen3Config

END, PAD, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + '" + END + "' }}"
    "{% else %}{{ '" + USER + "' + message['content'] + '" + ASSISTANT + "' }}{% endif %}"
    "{% endfor %}"
)

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
    """Write a random model with its tokenizer to ``folder``; ``name`` is bloom, qwen3, glm4 or gpt2."""
    tokenizer = byte_pairs(SENTENCES, 420)
    ids = {"bos_token_id": tokenizer.token_to_id(END), "eos_token_id": tokenizer.token_to_id(END)}
    config = _config(name, tokenizer.get_vocab_size(), pad_token_id=tokenizer.token_to_id(PAD), **ids)
    torch.manual_seed(seed)
    Causal.from_config(config).save_pretrained(folder)
    wrap(tokenizer, CONTEXT).save_pretrained(folder)
    return folder


def byte_pairs(texts: list[str], size: int) -> Tokenizer:
    """Byte pairs as GPT-2 and its heirs have them, learnt from ``texts``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size - 4, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in (END, PAD, USER, ASSISTANT)])
    return tokenizer


def wrap(tokenizer: Tokenizer, max_positions: int) -> PreTrainedTokenizerFast:
    """The tokenizer as Transformers and vLLM load it, with its chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, padding_side="left", model_max_length=max_positions,
        additional_special_tokens=[USER, ASSISTANT], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def _config(name: str, size: int, **ids: Any) -> PretrainedConfig:
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
