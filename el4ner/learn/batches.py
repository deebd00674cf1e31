"""Examples encoded and packed into batches of about equal length and bounded size."""

import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from el4ner.errors import InputError
from el4ner.learn.encode import IGNORE, Encoded, encode
from el4ner.learn.examples import ExampleMaker, Plan
from el4ner.learn.shared import bundles, collate_shared, cut
from el4ner.prompts.messages import Message

log = logging.getLogger(__name__)

POOL = 4096
"""Examples that are sorted by length together before they are cut into batches."""


class Batches(Dataset[dict[str, Any]]):
    """Ready batches: ``input_ids``, ``attention_mask`` and ``labels``, each ``(batch, length)`` int64, padded on the right.

    With ``share_prefix``, the examples of one sentence share its tokens instead; see :func:`collate_shared`.

    All examples are encoded at the start (about 16 bytes a token), since batches of like length need their true lengths:
    by estimated lengths, a third of each batch was padding.

    Attributes:
        too_long: examples left out because they exceed ``max_length`` even without demonstrations.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        maker: ExampleMaker,
        tokenizer: Any,
        batch_tokens: int,
        max_length: int,
        seed: int,
        *,
        share_prefix: bool = False,
    ) -> None:
        self._pad_id = tokenizer.pad_token_id
        self.too_long = 0
        encoded: list[tuple[object, Encoded]] = []
        for number, plan in enumerate(plans):
            if number and number % 10_000 == 0:
                log.info("encoded %d of %d examples", number, len(plans))
            messages = maker.make(plan)
            if messages is not None:
                item = _fitting(messages, tokenizer, max_length)
                self.too_long += item is None
                encoded += [(_shared_by(plan), item)] if item is not None else []
        if not encoded:
            raise InputError("no example fits into optimisation.max_length; raise it")
        self._collate: Callable[[Any, int], dict[str, Any]] = collate_shared if share_prefix else collate
        self._batches: Sequence[Sequence[Any]]
        if share_prefix:
            self._batches = cut(bundles(encoded), batch_tokens, POOL, seed)
        else:
            self._batches = _cut([item for _, item in encoded], batch_tokens, seed)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._collate(self._batches[index], self._pad_id)


def collate(encoded: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """A padded batch; see :class:`Batches`."""
    width = max(len(item.ids) for item in encoded)

    def padded(rows: Callable[[Encoded], Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*rows(item), *[fill] * (width - len(item.ids))] for item in encoded], dtype=torch.long)

    return {
        "input_ids": padded(lambda item: item.ids, pad_id),
        "attention_mask": padded(lambda item: [1] * len(item.ids), 0),
        "labels": padded(lambda item: item.labels, IGNORE),
    }


def _shared_by(plan: Plan) -> object:
    """What the examples of neighbouring plans share: a sentence; with demonstrations, each has a beginning of its own."""
    return (plan.sentence, plan.number if plan.shown else None)


def _fitting(messages: tuple[Message, ...], tokenizer: Any, max_length: int) -> Encoded | None:
    """The conversation encoded, without its first demonstrations where it is too long; None if that does not help."""
    encoded = encode(tokenizer, messages)
    while len(encoded.ids) > max_length:
        head = tuple(message for message in messages if message.role == "system")
        turns = messages[len(head) :]
        if len(turns) <= 2:
            return None
        messages = (*head, *turns[2:])
        encoded = encode(tokenizer, messages)
    return encoded


def _cut(encoded: Sequence[Encoded], batch_tokens: int, seed: int) -> list[list[Encoded]]:
    rng = random.Random(seed)
    batches: list[list[Encoded]] = []
    for start in range(0, len(encoded), POOL):
        ready: list[list[Encoded]] = [[]]
        for item in sorted(encoded[start : start + POOL], key=lambda item: len(item.ids)):
            if ready[-1] and len(item.ids) * (len(ready[-1]) + 1) > batch_tokens:
                ready.append([])
            ready[-1].append(item)
        rng.shuffle(ready)
        batches += ready
    return batches
