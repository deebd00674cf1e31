"""One pass: the text copied with typed marks, by a model tuned to give it; spans and votes in one answer."""

from collections.abc import Sequence
from functools import partial

from el4ner.config import Config, MemberConfig
from el4ner.engines.base import Engine, Request
from el4ner.errors import ParseError
from el4ner.prompts.marking import Marking
from el4ner.recognisers.base import Rescorer, WindowContext
from el4ner.recognisers.language_model import LanguageModelRecogniser, as_text, locate, marked_places
from el4ner.recognisers.proposal import Proposal, by_span
from el4ner.recognisers.rescoring import rescore
from el4ner.text.documents import Document
from el4ner.text.spans import Span

STAGE = "mark"


class SinglePassRecogniser(LanguageModelRecogniser, Rescorer):
    """A model that copies the text with typed marks.

    Raises:
        ConfigError: there are no prompts of its style.
    """

    def __init__(self, engine: Engine, settings: MemberConfig, config: Config) -> None:
        super().__init__(engine, settings, config)
        self.marking = Marking.of(settings.prompt_style, config)
        self.templates = self.marking.identity
        self._located = marked_places(config)

    async def propose(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal | None:
        """The mentions that it marks, with their types."""
        return await context.attempt(self.name, STAGE, self._mark(context, demonstrations))

    async def rescore(self, context: WindowContext, disputed: Sequence[Sequence[Span]], proposal: Proposal) -> Proposal:
        """See :func:`el4ner.recognisers.rescoring.rescore`."""
        return await rescore(self.engine, self.marking, context, disputed, proposal)

    def marking_request(self, context: WindowContext, demonstrations: Sequence[Document]) -> Request:
        """The request about one text."""
        marking, language = self.marking, context.language
        return Request(
            stage=STAGE,
            messages=marking.ask(language, context.text, demonstrations),
            max_tokens=3 * len(context.text) + 64,
            copy_of=context.text,
            template=marking.identity,
            copy_types=marking.words(language),
        )

    def preview(self, context: WindowContext, demonstrations: Sequence[Document]) -> list[tuple[str, str]]:
        """Its one prompt."""
        return [(STAGE, as_text(self.marking_request(context, demonstrations)))]

    async def _mark(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal:
        request_with = partial(self.marking_request, context)
        answer, fitting = await self.ask(context, self.engine.generate, request_with, demonstrations)
        if answer.finish_reason == "length":
            raise ParseError("the answer was cut at its longest; use smaller windows")
        text, language = context.text, context.language
        listed = self.marking.read(language, answer.text, text)
        placed = {name: locate(mentions, context, fitting, self._located) for name, mentions in listed.items()}
        types = by_span(placed, self.config.type_names)
        stated = self.marking.probabilities(language, answer.text, text, answer.token_log_probs)
        probabilities = {span: given for span, given in stated.items() if span in types}
        context.counts["marks-without-probability"] += len(types) - len(probabilities)
        return Proposal(types, probabilities=probabilities, demonstrations=tuple(demonstrations))
