"""Lists held to a text: each item is a run of the text's tokens, then the delimiter or the end; or the answer is one fixed word.

A small model asked for mentions now and then writes a word that the text has not, and such an answer is lost. Held so, it chooses
among what is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListTask:
    """What the items of a list may be, in tokens.

    Attributes:
        source: tokens of the text.
        inside: places in ``source`` whose token goes on with a character that the token before began; there no item begins
            or ends.
        delimiter: tokens between two items.
        nothing: tokens of the answer that there is no item.
        ends: tokens that end an answer.
    """

    source: tuple[int, ...]
    inside: frozenset[int]
    delimiter: tuple[int, ...]
    nothing: tuple[int, ...]
    ends: frozenset[int]


class Listing:
    """One answer in the making: an automaton that is in all the states at once that its tokens so far allow.

    A text may hold the delimiter, or the word for none; so a token can mean more than one thing.

    Args:
        task: what the answer may be.
    """

    def __init__(self, task: ListTask) -> None:
        self._task = task
        self._states: set[_State] = {("item", -1), ("nothing", 0)}

    def allowed(self) -> list[int]:
        """The tokens that may come next, sorted; at least one."""
        return sorted({token for state in self._states for token, _ in self._moves(state)} or self._task.ends)

    def advance(self, token: int) -> None:
        """Go on with a token that was written."""
        self._states = {after for state in self._states for by, after in self._moves(state) if by == token}

    def _moves(self, state: "_State") -> Iterator[tuple[int, "_State"]]:
        """Tokens that may come next, and where they lead."""
        task, (part, at) = self._task, state
        if part == "item" and at < 0:
            yield from (
                (token, ("item", place + 1)) for place, token in enumerate(task.source) if place not in task.inside
            )
        elif part == "item":
            if at < len(task.source):
                yield task.source[at], ("item", at + 1)
            if at not in task.inside:
                yield from self._moves(("delimiter", 0))
                yield from self._moves(("over", 0))
        elif part == "over":
            yield from ((token, state) for token in task.ends)
        else:
            word, after = (task.delimiter, ("item", -1)) if part == "delimiter" else (task.nothing, ("over", 0))
            yield word[at], (part, at + 1) if at + 1 < len(word) else after


_State = tuple[str, int]
"""What is being written, and how far: the place in the text (-1: the item begins), or in the delimiter or the word for none."""
