"""As many demonstrations as fit: the least similar goes first when a prompt is too long."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from el4ner.engines.base import Answer, Request
from el4ner.errors import ContextOverflowError
from el4ner.recognisers.base import Diagnostics
from el4ner.text.documents import Document

Order = Literal["best-last", "best-first", "random"]
ResultT = TypeVar("ResultT")


def most_similar(demonstrations: Sequence[Document], count: int | None, order: Order) -> Sequence[Document]:
    """The ``count`` most similar of demonstrations that stand in prompt order; all of them for None."""
    if count is None or count >= len(demonstrations):
        return demonstrations
    return demonstrations[:count] if order == "best-first" else demonstrations[len(demonstrations) - count :]


async def ask_within_context(
    ask: Callable[[Request], Awaitable[ResultT]],
    request_with: Callable[[Sequence[Document]], Request],
    demonstrations: Sequence[Document],
    order: Order,
    diagnostics: Diagnostics,
) -> tuple[ResultT, Sequence[Document]]:
    """The answer, and the demonstrations that its prompt and the answer itself had room for; those left out are counted.

    Raises:
        ContextOverflowError: the prompt does not fit even without demonstrations.
    """
    while True:
        request = request_with(demonstrations)
        try:
            answer = await ask(request)
        except ContextOverflowError:
            if not demonstrations:
                raise
        else:
            if not (demonstrations and _had_no_room(answer, request)):
                return answer, demonstrations
        demonstrations = most_similar(demonstrations, len(demonstrations) - 1, order)
        diagnostics.counts["demonstration-too-long"] += 1


def _had_no_room(answer: object, request: Request) -> bool:
    """Whether an answer was cut before it was as long as it might be: the prompt took what it needed of the context."""
    return (
        isinstance(answer, Answer)
        and answer.finish_reason == "length"
        and 0 < answer.usage.answer_tokens < request.max_tokens
    )
