"""Constrained copying: at each step the next token of the text, a mark that may stand there, or the end; nothing else.

Two ways to the same answer. :class:`CopyConstraint` holds a model's own generation to it, a token a step. :class:`Copying`
guesses that the text simply goes on, lets the model read the guess at once, and keeps it up to the first place where the model
prefers a mark: a few readings an answer instead of one a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


DRAFT = 12
"""Tokens of the text that are guessed at once outside marks."""
DRAFT_INSIDE = 6
"""And inside, where the closing mark is near."""
DRAFT_AGAIN = 16
"""Tokens of an earlier answer about the same text that are guessed at once, marks included."""


class Copying:
    """One answer in the making: what the model is to read next, and what its preferences make of that.

    Args:
        task: what to copy.
        limit: most tokens of the answer.
        prompt: what the model reads before its answer; at least one token.
        earlier: tokens of an answer to the same task, to guess by.

    Attributes:
        task: what to copy.
        written: the answer's tokens so far; the end sign is not among them.
        finished: whether the answer is complete.
        decided: tokens that stand and that the model has not read yet; at least one.
        draft: the guess after them.
    """

    def __init__(self, task: CopyTask, limit: int, prompt: Sequence[int], earlier: Sequence[int] = ()) -> None:
        self.written: list[int] = []
        self.finished = not task.source
        self.decided = list(prompt)
        self.task = task
        self._limit = limit
        self._state = _State()
        self._earlier = earlier
        self._places = _places(earlier, task)
        self.draft = self._guess()

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask: complete, or cut at its limit."""
        return self.finished or len(self.written) >= self._limit

    def rivals(self) -> list[int]:
        """The source token that may come after the last decided token and after each drafted one (the last again at the end)."""
        state, last = replace(self._state), len(self.task.source) - 1
        found = [self.task.source[min(state.copied, last)]]
        for token in self.draft:
            state.advance(token, self.task)
            found.append(self.task.source[min(state.copied, last)])
        return found

    def take(self, opens: Sequence[bool], closes: Sequence[bool]) -> int:
        """Go on as far as the reading tells; returns how many drafted tokens stand.

        Args:
            opens: after the last decided token and after each drafted one, whether the model prefers the opening mark to
                the source token.
            closes: the same for the closing mark.
        """
        task, state = self.task, self._state
        for place, (opened, closed) in enumerate(zip(opens, closes, strict=True)):
            if state.copied < len(task.source):
                mark = state.mark(task)
                prefers_mark = mark is not None and (opened if mark == task.open else closed)
                token = mark if mark is not None and prefers_mark else task.source[state.copied]
                self.written.append(token)
                state.advance(token, task)
                if place < len(self.draft) and token == self.draft[place] and not self.done:
                    continue
                self.decided, self.draft = [token], self._guess()
            if state.copied == len(task.source):
                self.written += [] if state.inside is None or self.done else [task.close]
                self.finished = len(self.written) < self._limit
            return place
        raise AssertionError("the last place always decides")

    def _guess(self) -> list[int]:
        at = self._places.get((self._state.copied, self._state.inside))
        if at is not None:
            return list(self._earlier[at : at + DRAFT_AGAIN])
        size = DRAFT if self._state.inside is None else DRAFT_INSIDE
        return list(self.task.source[self._state.copied : self._state.copied + size])


def _places(answer: Sequence[int], task: CopyTask) -> dict[tuple[int, int | None], int]:
    """Where in an answer its next token stands, by what was copied before it and whether a mark is open."""
    state, places = _State(), {}
    for at, token in enumerate(answer):
        places[state.copied, state.inside] = at
        state.advance(token, task)
    return places


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
        mark = self.mark(task)
        return [task.source[self.copied]] if mark is None else [task.source[self.copied], mark]

    def mark(self, task: CopyTask) -> int | None:
        """The mark that may come next, while there is something left to copy."""
        if self._must_copy(task):
            return None
        if self.inside is None:
            return task.open
        return task.close if self.inside else None

    def _must_copy(self, task: CopyTask) -> bool:
        at = self.copied
        return at < len(task.source) and (at in task.inside or task.source[at] in (task.open, task.close))
