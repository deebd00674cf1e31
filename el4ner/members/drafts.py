"""Marked copies of many texts at once: drafted, read by the model, kept as far as it agrees."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from el4ner.members.copying import DRAFT, Copying, CopyTask
from el4ner.members.prefix_cache import PrefixCache
from el4ner.members.prefixes import padded
from el4ner.members.reading import Reading

REMEMBERED = 1024
"""Answers that later answers about the same texts are guessed by."""


class Copier:
    """Writes marked copies with a model, and remembers what may save work the next time.

    Args:
        model: a causal language model for which :func:`~el4ner.members.prefixes.can_share` holds.
        cache: beginnings of prompts that it has read.
        pad_id: padding token.
        device: where the model is.
    """

    def __init__(self, model: Any, cache: PrefixCache, pad_id: int, device: str) -> None:
        self._model = model
        self._cache = cache
        self._pad_id = pad_id
        self._device = device
        self._answers: OrderedDict[tuple[int, ...], list[int]] = OrderedDict()

    def copy(
        self,
        prompts: Sequence[list[int]],
        tasks: Sequence[CopyTask],
        limits: Sequence[int],
        reusable: Sequence[int],
    ) -> list[Copying]:
        """All answers, each written to its end or limit.

        Args:
            prompts: what is read before each answer.
            tasks: what each answer copies.
            limits: most tokens of each answer.
            reusable: how much of each prompt stays in the cache.
        """
        starts = [self._cache.longest(prompt) for prompt in prompts]
        rows = [
            Copying(task, limit, prompt[start.length :], self._answers.get(task.source, ()))
            for task, limit, prompt, start in zip(tasks, limits, prompts, starts, strict=True)
        ]
        going = [number for number, row in enumerate(rows) if not row.done]
        if going:
            longest = max(len(prompts[number]) + len(tasks[number].source) for number in going)
            reading = Reading(self._model, [starts[number] for number in going], 3 * longest // 2 + DRAFT, self._device)
            self._round(reading, [rows[number] for number in going])
            for place, number in enumerate(going):
                if reusable[number] > starts[number].length:
                    beginning = prompts[number][: reusable[number]]
                    self._cache.put(beginning, reading.beginning(place, len(beginning)))
            self._finish(reading, [rows[number] for number in going])
        for row in rows:
            self._remember(row)
        return rows

    def _finish(self, reading: Reading, rows: list[Copying]) -> None:
        """Round after round; rows that are done leave the batch."""
        while True:
            going = [place for place, row in enumerate(rows) if not row.done]
            if not going:
                return
            if len(going) < len(rows):
                rows = [rows[place] for place in reading.retain(going)]
            self._round(reading, rows)

    def _round(self, reading: Reading, rows: Sequence[Copying]) -> None:
        """Each row reads its draft, and keeps of it what stands."""
        states = reading.read(*padded([row.decided + row.draft for row in rows], self._pad_id, "right", self._device))
        opens, closes = _preferences(self._model, states, rows)
        kept, at = [], 0
        for row in rows:
            decided, places = len(row.decided), len(row.draft) + 1
            kept.append(decided + row.take(opens[at : at + places], closes[at : at + places]))
            at += places
        reading.keep(kept)

    def _remember(self, row: Copying) -> None:
        """For the next question about the same text, whose answer will be much the same."""
        self._answers[row.task.source] = row.written
        self._answers.move_to_end(row.task.source)
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)


def _preferences(model: Any, states: torch.Tensor, rows: Sequence[Copying]) -> tuple[list[bool], list[bool]]:
    """Whether each mark beats the source token at each place of each row, row after row.

    Only the logits that are compared are computed; the vocabulary may be most of a small model.
    """
    head = model.get_output_embeddings()
    device = states.device
    spots = [(n, len(row.decided) - 1 + at) for n, row in enumerate(rows) for at in range(len(row.draft) + 1)]
    found = states[tuple(torch.tensor(spots, device=device).T)]
    rivals = torch.tensor([token for row in rows for token in row.rivals()], device=device)
    marks = torch.tensor([rows[0].task.open, rows[0].task.close], device=device)
    source = (found * head.weight[rivals]).sum(-1)
    marked = found @ head.weight[marks].T
    if getattr(head, "bias", None) is not None:
        source, marked = source + head.bias[rivals], marked + head.bias[marks]
    opens, closes = (marked > source[:, None]).T.tolist()
    return opens, closes
