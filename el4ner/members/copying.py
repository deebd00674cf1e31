"""Constrained copying: at each step the next token of the text, a mark that may stand there, or the end; nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class CopyTask:
    """The tokens of the text to copy, and the tokens of the two marks.

    Attributes:
        inside: places in ``source`` whose token goes on with a character that the token before began (a byte of it);
            no mark may stand before it. Nor before a token of the text that is a mark itself: it is copied.
    """

    source: tuple[int, ...]
    open: int
    close: int
    inside: frozenset[int] = frozenset()

    @property
    def longest(self) -> int:
        """Most tokens that a marked copy can have: a pair of marks around each token, and the end."""
        return 3 * len(self.source) + 1


class CopyConstraint:
    """A logits processor that holds each row of a batch to its copy task (rows without one are free)."""

    def __init__(self, tasks: Sequence[CopyTask | None], prompt_length: int, end: int) -> None:
        self._tasks = tasks
        self._prompt_length = prompt_length
        self._end = end
        self._states = [_State() for _ in tasks]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """``scores`` with everything that may not come next at minus infinity; ``(batch, vocabulary)`` both."""
        first = input_ids.shape[1] == self._prompt_length
        last = input_ids[:, -1].tolist()
        held = torch.full_like(scores, float("-inf"))
        for row, (task, state) in enumerate(zip(self._tasks, self._states, strict=True)):
            if task is None:
                held[row] = scores[row]
                continue
            if not first:
                state.advance(last[row], task)
            allowed = state.allowed(task, self._end)
            held[row, allowed] = scores[row, allowed]
        return held


@dataclass(slots=True)
class _State:
    copied: int = 0
    inside: int | None = None
    """Tokens copied since the mark opened; None outside marks."""

    def advance(self, token: int, task: CopyTask) -> None:
        may_mark = not self._must_copy(task)
        if may_mark and self.inside is None and token == task.open:
            self.inside = 0
        elif may_mark and self.inside and token == task.close:
            self.inside = None
        elif self.copied < len(task.source) and token == task.source[self.copied]:
            self.copied += 1
            self.inside = None if self.inside is None else self.inside + 1

    def allowed(self, task: CopyTask, end: int) -> list[int]:
        if self.copied == len(task.source):
            return [end] if self.inside is None else [task.close]
        if self._must_copy(task):
            return [task.source[self.copied]]
        if self.inside is None:
            return [task.source[self.copied], task.open]
        return [task.source[self.copied], task.close] if self.inside else [task.source[self.copied]]

    def _must_copy(self, task: CopyTask) -> bool:
        at = self.copied
        return at < len(task.source) and (at in task.inside or task.source[at] in (task.open, task.close))
