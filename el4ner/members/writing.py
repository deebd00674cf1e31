"""Free answers to many prompts at once, greedily: what the prompts have in common is read once, finished rows leave the batch.

The questions about one text begin alike; reading that beginning for each of them is most of the work of answering.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from el4ner.members.lists import Listing, ListTask
from el4ner.members.packed import PackedModel
from el4ner.members.prefix_cache import PrefixCache
from el4ner.members.reading import Reading, shared_starts

_NEUTRAL = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
}
_SUPPRESSING = (
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


def is_plainly_greedy(settings: Any) -> bool:
    """Whether greedy answers under a generation configuration are the most probable tokens, and nothing is added to that."""
    changed = [name for name, neutral in _NEUTRAL.items() if getattr(settings, name, None) not in (None, neutral)]
    return not changed and not any(getattr(settings, name, None) for name in _SUPPRESSING)


class Writer:
    """Writes free answers with a model.

    Args:
        model: what writes.
        cache: beginnings of prompts that it has read.
        ends: tokens that end an answer.
    """

    def __init__(self, model: PackedModel, cache: PrefixCache, ends: Collection[int]) -> None:
        self._model = model
        self._cache = cache
        self._ends = frozenset(ends)

    def write(
        self, prompts: Sequence[list[int]], limits: Sequence[int], lists: Sequence[ListTask | None] | None = None
    ) -> list[list[int]]:
        """The tokens of each answer, with its end token unless its limit came first; where a task is given, such a list."""
        held = [None if task is None else Listing(task) for task in lists or [None] * len(prompts)]
        starts = shared_starts(self._model, prompts, self._cache)
        tails = [prompt[start.length :] for prompt, start in zip(prompts, starts, strict=True)]
        with Reading(self._model, starts, max(map(len, prompts)) + max(limits)) as reading:
            return self._answers(reading, tails, limits, held)

    def _answers(
        self, reading: Reading, tails: Sequence[list[int]], limits: Sequence[int], held: Sequence[Listing | None]
    ) -> list[list[int]]:
        tokens = self._most_probable(reading.read_last(tails), held)
        answers: list[list[int]] = [[] for _ in tails]
        rows = list(range(len(tails)))
        while True:
            for row, token in zip(rows, tokens, strict=True):
                answers[row].append(token)
                if (listing := held[row]) is not None:
                    listing.advance(token)
            going = [at for at, row in enumerate(rows) if not self._is_done(answers[row], limits[row])]
            if not going:
                return answers
            if len(going) < len(rows):
                rows = [rows[at] for at in reading.retain(going)]
            tokens = self._most_probable(
                reading.read_last([answers[row][-1:] for row in rows]), [held[row] for row in rows]
            )

    def _most_probable(self, states: torch.Tensor, held: Sequence[Listing | None]) -> list[int]:
        """The most probable next token of each row that it may have, from its last hidden state ``(rows, hidden)``."""
        logits = self._model.head(states)
        tokens: list[int] = logits.argmax(-1).tolist()
        for row, listing in enumerate(held):
            if listing is not None:
                allowed = listing.allowed()
                tokens[row] = allowed[int(logits[row, allowed].argmax())]
        return tokens

    def _is_done(self, answer: list[int], limit: int) -> bool:
        return len(answer) >= limit or answer[-1] in self._ends
