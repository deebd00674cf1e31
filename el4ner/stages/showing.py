"""As many demonstrations as fit: the least similar goes first when a prompt is too long."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from el4ner.errors import ContextOverflowError
from el4ner.members.base import Request
from el4ner.stages.asking import Minutes
from el4ner.text.documents import Document

Order = Literal["best-last", "best-first", "random"]
ResultT = TypeVar("ResultT")


def most_similar(shown: Sequence[Document], count: int | None, order: Order) -> Sequence[Document]:
    """The ``count`` most similar of demonstrations that stand in prompt order; all of them for None."""
    if count is None or count >= len(shown):
        return shown
    return shown[:count] if order == "best-first" else shown[len(shown) - count :]


async def ask_fitting(
    ask: Callable[[Request], Awaitable[ResultT]],
    request_with: Callable[[Sequence[Document]], Request],
    shown: Sequence[Document],
    order: Order,
    minutes: Minutes,
) -> tuple[ResultT, Sequence[Document]]:
    """The answer, and the demonstrations that its prompt had room for; those left out are counted.

    Raises:
        ContextOverflowError: the prompt does not fit even without demonstrations.
    """
    while True:
        try:
            return await ask(request_with(shown)), shown
        except ContextOverflowError:
            if not shown:
                raise
            shown = most_similar(shown, len(shown) - 1, order)
            minutes.counts["demonstration-too-long"] += 1
