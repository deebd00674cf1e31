"""Free answers to many prompts at once, greedily: what the prompts have in common is read once, finished rows leave the batch.

The questions about one text begin alike; reading that beginning for each of them is most of the work of answering.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from el4ner.members.prefix_cache import NOTHING, Beginning, PrefixCache
from el4ner.members.prefixes import common_prefix, group_by_prefix, padded
from el4ner.members.reading import Reading

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
        model: a causal language model for which :func:`~el4ner.members.prefixes.can_share` holds.
        cache: beginnings of prompts that it has read.
        ends: tokens that end an answer.
        pad_id: padding token.
        device: where the model is.
    """

    def __init__(self, model: Any, cache: PrefixCache, ends: Collection[int], pad_id: int, device: str) -> None:
        self._model = model
        self._cache = cache
        self._ends = frozenset(ends)
        self._pad_id = pad_id
        self._device = device

    def write(self, prompts: Sequence[list[int]], limits: Sequence[int]) -> list[list[int]]:
        """The tokens of each answer, with its end token unless its limit came first."""
        starts = self._starts(prompts)
        tails = [prompt[start.length :] for prompt, start in zip(prompts, starts, strict=True)]
        reading = Reading(self._model, starts, max(map(len, prompts)) + max(limits), self._device)
        states = reading.read(*padded(tails, self._pad_id, "right", self._device))
        last = torch.tensor([len(tail) - 1 for tail in tails], device=self._device)
        tokens = self._most_probable(states[torch.arange(len(tails), device=self._device), last])
        answers: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))
        while True:
            for row, token in zip(rows, tokens, strict=True):
                answers[row].append(token)
            going = [at for at, row in enumerate(rows) if not self._is_done(answers[row], limits[row])]
            if not going:
                return answers
            if len(going) < len(rows):
                rows = [rows[at] for at in reading.retain(going)]
            ids = [answers[row][-1:] for row in rows]
            tokens = self._most_probable(reading.read(*padded(ids, self._pad_id, "right", self._device))[:, -1])

    def _starts(self, prompts: Sequence[list[int]]) -> list[Beginning]:
        """What each prompt need not read any more; beginnings that several share are read here."""
        starts = [self._cache.longest(prompt) for prompt in prompts]
        shared = [
            (group, length)
            for group in group_by_prefix(prompts)
            if len(group) > 1
            and (length := common_prefix([prompts[row] for row in group]))
            > 2 * max(starts[row].length for row in group)
        ]
        if not shared:
            return starts
        beginnings = [prompts[group[0]][:length] for group, length in shared]
        reading = Reading(self._model, [NOTHING] * len(shared), max(map(len, beginnings)), self._device)
        reading.read(*padded(beginnings, self._pad_id, "right", self._device))
        for number, (group, length) in enumerate(shared):
            read = reading.beginning(number, length)
            self._cache.put(beginnings[number], read)
            for row in group:
                starts[row] = Beginning(read, length)
        return starts

    def _most_probable(self, states: torch.Tensor) -> list[int]:
        """The most probable next token of each row, from its last hidden state ``(rows, hidden)``."""
        tokens: list[int] = self._model.get_output_embeddings()(states).argmax(-1).tolist()
        return tokens

    def _is_done(self, answer: list[int], limit: int) -> bool:
        return len(answer) >= limit or answer[-1] in self._ends
