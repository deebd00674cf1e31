"""Batches whose examples share what they have in common: the questions about one sentence read it once.

Each question still sees the sentence and itself alone, as at inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from el4ner.train.encode import IGNORE, Encoded
from el4ner.train.prefix_cache import common_prefix, extend, read_prefixes, unwrapped

SHORT_TAIL = 8
"""Continuations of up to so many tokens are padded together; above, those up to twice, four times ... as long are."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Examples with a common beginning: its token ids, and what comes after it in each."""

    prefix: list[int]
    tails: list[Encoded]

    @property
    def size(self) -> int:
        """Tokens to compute."""
        return len(self.prefix) + sum(len(tail.ids) for tail in self.tails)


def bundle(examples: Sequence[Encoded]) -> Bundle:
    """The examples with their common beginning split off, as far as no loss falls on it; equal ones once."""
    unequal = list({tuple(example.ids): example for example in examples}.values())
    first_loss = min(next(at for at, label in enumerate(e.labels) if label != IGNORE) for e in unequal)
    at = min(common_prefix([example.ids for example in unequal]), first_loss - 1)
    return Bundle(unequal[0].ids[:at], [Encoded(e.ids[at:], e.labels[at:]) for e in unequal])


def bundles(examples: Sequence[tuple[Any, Encoded]]) -> list[Bundle]:
    """Neighbouring examples with the same key (what they share: the sentence, say) in one bundle each."""
    return [bundle([e for _, e in group]) for _, group in groupby(examples, key=lambda item: item[0])]


def shared_size(batch: Sequence[Bundle]) -> int:
    """Tokens of a batch without padding; what bounds it."""
    return sum(item.size for item in batch)


def padded_shared_size(batch: Sequence[Bundle]) -> int:
    """Tokens of a batch, padding included."""
    groups = [[len(tail.ids) for _, tail in group] for group in _groups(batch)]
    return len(batch) * _width(batch) + sum(len(lengths) * max(lengths) for lengths in groups)


def collate_shared(batch: Sequence[Bundle], pad_id: int) -> dict[str, Any]:
    """Prefixes padded on the left, ``(prefixes, length)``, and their tails on the right in groups of like length.

    Each group has ``ids``, ``mask``, ``labels`` ``(tails, length)`` and ``owners`` ``(tails,)``, the row of each tail's prefix.
    """
    width = _width(batch)
    return {
        "prefix_ids": torch.tensor([[pad_id] * (width - len(item.prefix)) + item.prefix for item in batch]),
        "prefix_mask": torch.tensor([[0] * (width - len(item.prefix)) + [1] * len(item.prefix) for item in batch]),
        "tails": [_group(group, pad_id) for group in _groups(batch)],
    }


def shared_logits(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(n, vocabulary)`` that predict the ``n`` answer tokens of such a batch, and those tokens ``(n,)``."""
    prefixes = read_prefixes(model, inputs["prefix_ids"], inputs["prefix_mask"])
    hidden, targets = [], []
    for group in inputs["tails"]:
        states, _ = extend(model, prefixes.select(group["owners"]), group["ids"], group["mask"])
        where = group["labels"][:, 1:] != IGNORE
        hidden.append(states[:, :-1][where])
        targets.append(group["labels"][:, 1:][where])
    return unwrapped(model).get_output_embeddings()(torch.cat(hidden)), torch.cat(targets)


def _width(batch: Sequence[Bundle]) -> int:
    return max(1, *(len(item.prefix) for item in batch))


def _groups(batch: Sequence[Bundle]) -> list[list[tuple[int, Encoded]]]:
    """The tails of a batch with the rows of their prefixes, in groups of like length."""
    tails = [(row, tail) for row, item in enumerate(batch) for tail in item.tails]
    groups: dict[int, list[tuple[int, Encoded]]] = {}
    for row, tail in tails:
        groups.setdefault(((len(tail.ids) - 1) // SHORT_TAIL).bit_length(), []).append((row, tail))
    return list(groups.values())


def _group(tails: Sequence[tuple[int, Encoded]], pad_id: int) -> dict[str, torch.Tensor]:
    width = max(len(tail.ids) for _, tail in tails)

    def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])

    return {
        "ids": padded([tail.ids for _, tail in tails], pad_id),
        "mask": padded([[1] * len(tail.ids) for _, tail in tails], 0),
        "labels": padded([tail.labels for _, tail in tails], IGNORE),
        "owners": torch.tensor([row for row, _ in tails]),
    }
