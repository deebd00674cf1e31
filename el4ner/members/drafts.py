"""Marked copies of many texts at once: drafted, read by the model, kept as far as it agrees."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from el4ner.members.copying import DRAFT, Copying, CopyTask
from el4ner.members.packed import PackedModel
from el4ner.members.prefix_cache import PrefixCache
from el4ner.members.reading import Reading

REMEMBERED = 1024
"""Answers that later answers about the same texts are guessed by."""
MARKED = 1.25
"""Tokens of most marked copies, for each token of the text; what is longer is read too, but its buffers must grow."""


class Copier:
    """Writes marked copies with a model, and remembers what may save work the next time.

    Args:
        model: what writes.
        cache: beginnings of prompts that it has read.
    """

    def __init__(self, model: PackedModel, cache: PrefixCache) -> None:
        self._model = model
        self._cache = cache
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
            room = max(len(prompts[number]) + MARKED * len(tasks[number].source) for number in going)
            with Reading(self._model, [starts[number] for number in going], int(room) + DRAFT) as reading:
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
        states = reading.read([row.decided + row.draft for row in rows], _places(rows))
        opens, closes = _preferences(self._model.head, states, rows)
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


def _places(rows: Sequence[Copying]) -> list[int]:
    """Where something is decided, among the tokens that all rows read: after the last decided token and each drafted one."""
    places: list[int] = []
    start = 0
    for row in rows:
        first, start = start + len(row.decided) - 1, start + len(row.decided) + len(row.draft)
        places += range(first, start)
    return places


def _preferences(head: Any, states: torch.Tensor, rows: Sequence[Copying]) -> tuple[list[bool], list[bool]]:
    """Whether each mark beats the source token at each place of each row, row after row.

    Only the logits that are compared are computed; the vocabulary may be most of a small model.
    """
    device = states.device
    rivals = torch.tensor([token for row in rows for token in row.rivals()], device=device)
    marks = torch.tensor([rows[0].task.open, rows[0].task.close], device=device)
    source = (states * head.weight[rivals]).sum(-1)
    marked = states @ head.weight[marks].T
    if getattr(head, "bias", None) is not None:
        source, marked = source + head.bias[rivals], marked + head.bias[marks]
    opens, closes = (marked > source[:, None]).T.tolist()
    return opens, closes
