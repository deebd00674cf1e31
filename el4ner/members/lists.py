"""Lists held to a text: each item is a run of the text's tokens, then the delimiter or the end; or the answer is one fixed word.

A small model asked for mentions now and then writes a word that the text has not, and such an answer is lost. Held so, it chooses
among what is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


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

    A text may hold the delimiter, or the word for none; so a token can mean more than one thing. An item that was listed before
    is the last one: a small model that begins to repeat itself would go round in circles.

    Args:
        task: what the answer may be.
    """

    def __init__(self, task: ListTask) -> None:
        self._task = task
        self._written: list[int] = []
        self._listed: set[tuple[int, ...]] = set()
        self._states = {_State("item", None), _State("nothing", 0)}

    def allowed(self) -> list[int]:
        """The tokens that may come next, sorted; at least one."""
        return sorted({token for state in self._states for token, _ in self._moves(state)} or self._task.ends)

    def advance(self, token: int) -> None:
        """Go on with a token that was written."""
        taken = [(state, after) for state in self._states for by, after in self._moves(state) if by == token]
        self._listed |= {self._item(state) for state, after in taken if state.part == "item" != after.part}
        self._written.append(token)
        self._states = {after for _, after in taken}

    def _moves(self, state: "_State") -> Iterator[tuple[int, "_State"]]:
        """Tokens that may come next, and where they lead."""
        task = self._task
        if state.at is None:
            begun = len(self._written)
            starts = (place for place in range(len(task.source)) if place not in task.inside)
            yield from ((task.source[place], _State("item", place + 1, begun)) for place in starts)
        elif state.part == "item":
            if state.at < len(task.source):
                yield task.source[state.at], _State("item", state.at + 1, state.begun)
            if state.at not in task.inside:
                again = self._item(state) in self._listed
                yield from [(task.delimiter[0], _OVER)] if again else self._moves(_State("delimiter", 0))
                yield from self._moves(_OVER)
        elif state.part == "over":
            yield from ((token, state) for token in task.ends)
        else:
            word, after = (task.delimiter, _BETWEEN) if state.part == "delimiter" else (task.nothing, _OVER)
            yield word[state.at], _State(state.part, state.at + 1) if state.at + 1 < len(word) else after

    def _item(self, state: "_State") -> tuple[int, ...]:
        """The tokens of the item that is being written."""
        return tuple(self._written[state.begun :])


class _State(NamedTuple):
    """What is being written, and how far.

    Attributes:
        part: an item, a delimiter, the word for none; between: an item must follow; over: the end.
        at: the place in the text, the delimiter or the word that comes next; None where an item begins.
        begun: of an item, the number of its first token in the answer.
    """

    part: str
    at: int | None
    begun: int = 0


_BETWEEN = _State("between", None)
_OVER = _State("over", 0)
