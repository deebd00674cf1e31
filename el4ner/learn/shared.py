"""Batches whose examples share what they have in common: the questions about one sentence read it once.

A sentence of thirty tokens with six questions of a dozen tokens each costs a hundred tokens instead of two hundred and fifty;
each question still sees the sentence and itself alone, as at inference.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from el4ner.learn.encode import IGNORE, Encoded
from el4ner.members.prefixes import common_prefix, extend, read_prefixes

LONG_TAIL = 24
"""Continuations of more tokens are padded among themselves: copies of a text are longer than questions about it."""


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


def cut(ready: Sequence[Bundle], batch_tokens: int, pool: int, seed: int) -> list[list[Bundle]]:
    """Bundles in batches of about ``batch_tokens``, prefixes of like length together, batches shuffled within each ``pool``."""
    rng = random.Random(seed)
    batches: list[list[Bundle]] = []
    for start in range(0, len(ready), pool):
        pooled: list[list[Bundle]] = [[]]
        for item in sorted(ready[start : start + pool], key=lambda item: len(item.prefix)):
            if pooled[-1] and sum(other.size for other in pooled[-1]) + item.size > batch_tokens:
                pooled.append([])
            pooled[-1].append(item)
        rng.shuffle(pooled)
        batches += pooled
    return batches


def collate_shared(batch: Sequence[Bundle], pad_id: int) -> dict[str, Any]:
    """Prefixes padded on the left, ``(prefixes, length)``, and their tails on the right in groups of like length.

    Each group has ``ids``, ``mask``, ``labels`` ``(tails, length)`` and ``owners`` ``(tails,)``, the row of each tail's prefix.
    """
    width = max(1, *(len(item.prefix) for item in batch))
    tails = [(row, tail) for row, item in enumerate(batch) for tail in item.tails]
    groups = [[t for t in tails if len(t[1].ids) > LONG_TAIL], [t for t in tails if len(t[1].ids) <= LONG_TAIL]]
    return {
        "prefix_ids": torch.tensor([[pad_id] * (width - len(item.prefix)) + item.prefix for item in batch]),
        "prefix_mask": torch.tensor([[0] * (width - len(item.prefix)) + [1] * len(item.prefix) for item in batch]),
        "tails": [_group(group, pad_id) for group in groups if group],
    }


def shared_logits(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(n, vocabulary)`` that predict the ``n`` answer tokens of such a batch, and those tokens ``(n,)``."""
    prefixes = read_prefixes(model, inputs["prefix_ids"], inputs["prefix_mask"])
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden, targets = [], []
    for group in inputs["tails"]:
        states, _ = extend(model, prefixes.select(group["owners"]), group["ids"], group["mask"])
        where = group["labels"][:, 1:] != IGNORE
        hidden.append(states[:, :-1][where])
        targets.append(group["labels"][:, 1:][where])
    return inner.get_output_embeddings()(torch.cat(hidden)), torch.cat(targets)


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
