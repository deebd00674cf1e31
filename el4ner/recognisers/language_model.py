"""What recognisers by language models share: an engine, prompts that fit into its context, answers that are found in the text."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Self, TypeAlias, TypeVar

from el4ner.config import Config, ExtractConfig, MemberConfig
from el4ner.demos.retrieve import Retriever
from el4ner.engines.base import Answer, Engine, Request
from el4ner.errors import ContextOverflowError, ParseError
from el4ner.prompts.formats import Mention
from el4ner.recognisers.base import Recogniser, WindowContext
from el4ner.text.align import find, occurrences
from el4ner.text.documents import Document
from el4ner.text.lines import crosses_lines
from el4ner.text.spans import Span

Order: TypeAlias = Literal["best-last", "best-first", "random"]
ResultT = TypeVar("ResultT")
LONGEST_MENTION = 200
"""Characters; longer mentions are dropped and counted."""


def nearest_sentences(
    retriever: Retriever, config: Config, context: WindowContext, hints: Sequence[Span]
) -> tuple[Document, ...]:
    """The sentences that the configuration's section ``demonstrations`` asks for, in prompt order."""
    return retriever.retrieve(context.original, hints, context.language).demonstrations


class LanguageModelRecogniser(Recogniser):
    """A recogniser that asks an engine.

    Args:
        engine: what answers.
        settings: the member's section of the configuration.
        config: the ensemble's configuration.
    """

    def __init__(self, engine: Engine, settings: MemberConfig, config: Config) -> None:
        super().__init__(settings)
        self.engine = engine
        self.config = config
        self.choose_demonstrations = nearest_sentences

    @classmethod
    def of(cls, settings: MemberConfig, config: Config, engines: Mapping[str, Engine]) -> Self:
        """The recogniser of a member that has an engine."""
        return cls(engines[settings.name], settings, config)

    @property
    def fingerprint(self) -> str:
        """The engine's."""
        return self.engine.fingerprint

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()

    async def ask(
        self,
        context: WindowContext,
        call: Callable[[Request], Awaitable[ResultT]],
        request_with: Callable[[Sequence[Document]], Request],
        demonstrations: Sequence[Document],
    ) -> tuple[ResultT, Sequence[Document]]:
        """The answer, and the demonstrations that its prompt and the answer itself had room for in the model's context.

        The least similar is left out first; those left out are counted.

        Args:
            context: the window.
            call: the engine's ``generate`` or ``choose``.
            request_with: the request with these demonstrations.
            demonstrations: in prompt order.

        Raises:
            ContextOverflowError: the prompt does not fit even without demonstrations.
            MemberError: the engine cannot answer.
        """
        while True:
            request = request_with(demonstrations)
            try:
                answer = await call(request)
            except ContextOverflowError:
                if not demonstrations:
                    raise
            else:
                if not (demonstrations and _had_no_room(answer, request)):
                    return answer, demonstrations
            demonstrations = most_similar(demonstrations, len(demonstrations) - 1, self.config.demonstrations.order)
            context.counts["demonstration-too-long"] += 1


def most_similar(demonstrations: Sequence[Document], count: int | None, order: Order) -> Sequence[Document]:
    """The ``count`` most similar of demonstrations that stand in prompt order; all of them for None."""
    if count is None or count >= len(demonstrations):
        return demonstrations
    return demonstrations[:count] if order == "best-first" else demonstrations[len(demonstrations) - count :]


def locate(
    mentions: Sequence[Mention], context: WindowContext, demonstrations: Sequence[Document], settings: ExtractConfig
) -> list[Span]:
    """Spans of mentions: all occurrences of each, or the marked ones; what does not stand in the text is dropped and counted."""
    spans: set[Span] = set()
    text, counts = context.text, context.counts
    for mention in mentions:
        places = _places(mention, text, settings.occurrences == "marked")
        if not places:
            leaked = any(mention.surface in document.text for document in demonstrations)
            counts["leaked-from-demonstration" if leaked else "not-in-text"] += 1
        on_line = [place for place in places if not crosses_lines(text, place.start, place.end)]
        fitting = [place for place in on_line if place.end - place.start <= LONGEST_MENTION]
        counts["across-lines"] += len(places) - len(on_line)
        counts["too-long-mention"] += len(on_line) - len(fitting)
        spans.update(fitting)
    return sorted(spans)


def check_named(mentions: Sequence[Mention], text: str) -> None:
    """Refuse an answer of which nothing stands in the text: it does not say that the text names nothing.

    Raises:
        ParseError: it is such an answer.
    """
    if mentions and not any(mention.span or find(mention.surface, text) for mention in mentions):
        raise ParseError("the answer names nothing that stands in the text, and does not say that there is nothing")


def marked_places(config: Config) -> ExtractConfig:
    """How mentions are located whose answer says which place is meant."""
    return config.extract.model_copy(update={"occurrences": "marked"})


def _places(mention: Mention, text: str, marked_only: bool) -> list[Span]:
    if mention.span is None:
        return find(mention.surface, text)
    if marked_only:
        return [mention.span]
    return sorted({mention.span, *occurrences(mention.span.surface(text), text)})


def _had_no_room(answer: object, request: Request) -> bool:
    """Whether an answer was cut before it was as long as it might be: the prompt took what it needed of the context."""
    return (
        isinstance(answer, Answer)
        and answer.finish_reason == "length"
        and 0 < answer.usage.answer_tokens < request.max_tokens
    )


def as_text(request: Request) -> str:
    """A request's conversation as plain text."""
    return "\n".join(f"[{message.role}]\n{message.content}" for message in request.messages)
