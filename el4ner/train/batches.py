"""Examples encoded and packed into batches of about equal length and bounded size."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch.utils.data import Dataset

from el4ner.errors import InputError
from el4ner.prompts.messages import Message
from el4ner.train.encode import IGNORE, Encoded, Encoder
from el4ner.train.examples import ExampleMaker, Plan
from el4ner.train.length_batches import cut
from el4ner.train.shared_prefix import bundles, collate_shared, padded_shared_size, shared_size

log = logging.getLogger(__name__)

ENCODED_AT_ONCE = 1024
"""Examples that are encoded in one go."""
LOGGED_EVERY = 10_000
NOT_THINKING = {"enable_thinking": False}
"""What chat templates are told, as members tell them unless their ``thinking`` is set."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pass over all batches computes.

    Attributes:
        batches: how many there are.
        tokens: their tokens, padding included.
        unshared: what the tokens would be without ``share_prefix``; None where that is off.
    """

    batches: int
    tokens: int
    unshared: int | None = None

    def __str__(self) -> str:
        without = "" if self.unshared is None else f"; without share_prefix {self.unshared:,}"
        return f"{self.tokens:,} tokens in {self.batches:,} batches{without}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens of a batch, padding included, and of an example, at the most."""

    batch_tokens: int
    max_length: int


class Batches(Dataset[dict[str, Any]]):
    """Ready batches: ``input_ids``, ``attention_mask`` and ``labels``, each ``(batch, length)`` int64, padded on the right.

    With ``share_prefix``, the examples of one sentence share its tokens instead; see :func:`collate_shared`.

    All examples are encoded at the start (about 16 bytes a token), since batches of like length need their true lengths:
    by estimated lengths, a third of each batch was padding.

    Attributes:
        too_long: examples left out because they exceed ``max_length`` even without demonstrations.
        cost: tokens of all batches.
        largest: number of the batch with the most tokens.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        maker: ExampleMaker,
        tokenizer: Any,
        limits: Limits,
        seed: int,
        *,
        share_prefix: bool = False,
    ) -> None:
        self._pad_id = tokenizer.pad_token_id
        made = list(encode_plans(plans, maker, Encoder(tokenizer, NOT_THINKING), limits.max_length))
        encoded = [(plan, item) for plan, item in made if item is not None]
        self.too_long = len(made) - len(encoded)
        if not encoded:
            raise InputError("no example fits into optimisation.max_length; raise it")
        self._collate: Callable[[Any, int], dict[str, Any]] = collate_shared if share_prefix else collate
        self._batches: Sequence[Sequence[Any]] = cut(
            [item for _, item in encoded], lambda item: len(item.ids), padded_size, limits.batch_tokens, seed
        )
        sizes = list(map(padded_size, self._batches))
        self.cost = Cost(len(sizes), sum(sizes))
        if share_prefix:
            shared = bundles([(_shared_by(plan), item) for plan, item in _side_by_side(encoded)])
            self._batches = cut(shared, lambda item: len(item.prefix), shared_size, limits.batch_tokens, seed)
            sizes = list(map(padded_shared_size, self._batches))
            self.cost = Cost(len(sizes), sum(sizes), self.cost.tokens)
        self.largest = sizes.index(max(sizes))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._collate(self._batches[index], self._pad_id)


def encode_plans(
    plans: Sequence[Plan], maker: ExampleMaker, encoder: Encoder, max_length: int
) -> Iterator[tuple[Plan, Encoded | None]]:
    """Plans with their examples, in order; None where one is too long. A plan whose example had to be shortened says so.

    Plans whose sentence offers no candidate are left out. What chance does not change is encoded once for all epochs.
    """
    known: dict[Hashable, tuple[Plan, Encoded | None]] = {}
    for start in range(0, len(plans), ENCODED_AT_ONCE):
        if start and start % LOGGED_EVERY < ENCODED_AT_ONCE:
            log.info("encoded %d of %d examples", start, len(plans))
        together = [(plan, maker.identity(plan)) for plan in plans[start : start + ENCODED_AT_ONCE]]
        new: dict[Hashable, tuple[Message, ...]] = {}
        for plan, identity in together:
            if identity not in known and identity not in new and (messages := maker.make(plan)) is not None:
                new[identity] = messages
        first = {identity: plan for plan, identity in reversed(together) if identity in new}
        fitting = zip(new, encoder.fitting(list(new.values()), max_length), strict=True)
        known.update({identity: (first[identity], item) for identity, item in fitting})
        too_long = {identity: plan for identity, plan in first.items() if known[identity][1] is None}
        known.update(_shortened(too_long, maker, encoder, max_length))
        for plan, identity in together:
            if identity in known:
                as_made, item = known[identity]
                yield replace(plan, n_demonstrations=as_made.n_demonstrations), item
        for plan, identity in together:
            if identity is plan:
                known.pop(identity, None)


def _shortened(
    too_long: Mapping[Hashable, Plan], maker: ExampleMaker, encoder: Encoder, max_length: int
) -> Iterator[tuple[Hashable, tuple[Plan, Encoded | None]]]:
    """What did not fit, made with fewer demonstrations until it does, and the plan for that."""
    for identity, plan in too_long.items():
        fitting: Encoded | None = None
        as_made, shorter = plan, maker.shorter(plan)
        while fitting is None and shorter is not None:
            if (messages := maker.make(shorter)) is not None:
                (fitting,) = encoder.fitting([messages], max_length)
            as_made, shorter = shorter, maker.shorter(shorter)
        yield identity, (as_made, fitting)


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


def padded_size(encoded: Sequence[Encoded]) -> int:
    """Tokens of a padded batch."""
    return len(encoded) * max(len(item.ids) for item in encoded)


def _side_by_side(encoded: Sequence[tuple[Plan, Encoded]]) -> Iterator[tuple[Plan, Encoded]]:
    """Questions about one sentence with equally many demonstrations as neighbours: those that lost some begin otherwise."""
    for _, group in groupby(encoded, key=lambda made: (made[0].sentence, made[0].task)):
        yield from sorted(group, key=lambda made: made[0].n_demonstrations)


def _shared_by(plan: Plan) -> object:
    """What the examples of neighbouring plans share: a sentence.

    With demonstrations, each has a beginning of its own, but for the questions about a sentence, which share theirs.
    """
    if plan.task == "mrc" and plan.n_demonstrations:
        return (plan.sentence, plan.task, plan.n_demonstrations)
    return (plan.sentence, plan.number if plan.n_demonstrations else None)
