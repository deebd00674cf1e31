"""The mean of several tunings of one model: often better than each, at no cost later (Wortsman and others 2022, model soups)."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from el4ner.errors import ConfigError, ModelError
from el4ner.learn.models import load_tokenizer, load_weights
from el4ner.members.tuned import read_tuned, write_tuned
from el4ner.models.weights import check_model_folder


def average(parts: Sequence[tuple[Path, float]], output: Path) -> None:
    """Write a model whose weights are the weighted mean of others', with the tokenizer and the card of the last one.

    Args:
        parts: model folders, each with what it counts; two at least.
        output: folder to write; must not hold a model yet.

    Raises:
        ConfigError: there is nothing to average, the output holds a model already, or a weight is not above 0.
        ModelError: a folder cannot be loaded, or its tensors or tokenizer are not those of the first.
    """
    if len(parts) < 2 or any(weight <= 0 for _, weight in parts):
        raise ConfigError("give two model folders at least, each with a weight above 0")
    if (output / "config.json").exists():
        raise ConfigError(f"{output} holds a model already; give another --output")
    for folder, _ in parts:
        check_model_folder(folder)
    total = sum(weight for _, weight in parts)
    first, last = parts[0][0], parts[-1][0]
    mean: dict[str, torch.Tensor] = {}
    vocabulary = load_tokenizer(str(first)).get_vocab()
    for folder, weight in parts:
        model = load_weights(str(folder))
        tensors = model.state_dict()
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if mean and shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise ModelError(f"{folder} has other tensors than {first}; average tunings of one model only")
        if load_tokenizer(str(folder)).get_vocab() != vocabulary:
            raise ModelError(f"{folder} has another vocabulary than {first}; average tunings of one model only")
        for name, tensor in tensors.items():
            mean[name] = mean.get(name, 0) + tensor * (weight / total)
    model.load_state_dict(mean)
    model.save_pretrained(output, safe_serialization=True)
    load_tokenizer(str(last)).save_pretrained(output)
    write_tuned(output, read_tuned(*(folder for folder, _ in parts)))
    card = last / "README.md"
    if card.is_file():
        shutil.copyfile(card, output / "README.md")
