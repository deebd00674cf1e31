"""Reading comprehension: a question for each type, whose answers are candidates and votes in one (Ye, Tang, Guo, Wu 2024)."""

import asyncio
from collections.abc import Sequence
from functools import partial

from el4ner.config import Config, MemberConfig
from el4ner.demos.balance import QuestionDemonstrations
from el4ner.demos.retrieve import Retriever
from el4ner.engines.base import Answer, Engine, Request
from el4ner.errors import MemberError, ParseError
from el4ner.prompts.formats import Mention
from el4ner.prompts.listing import before_repeats
from el4ner.prompts.questions import Group, Questions
from el4ner.recognisers.base import WindowContext
from el4ner.recognisers.language_model import LanguageModelRecogniser, as_text, check_named, locate, marked_places
from el4ner.recognisers.proposal import Proposal, by_span
from el4ner.text.documents import Document
from el4ner.text.spans import Span

STAGE = "mrc"
LONGEST_LIST = 256
"""Tokens of an answer that is a list."""


def balanced_sentences(
    retriever: Retriever, config: Config, context: WindowContext, hints: Sequence[Span]
) -> tuple[Document, ...]:
    """The demonstrations that all questions about a window share."""
    choice = QuestionDemonstrations(retriever, config.demonstrations, config.mrc, config.type_names)
    return choice.choose(context.original, hints, context.language)


class MrcRecogniser(LanguageModelRecogniser):
    """A reader that answers questions about types.

    Raises:
        ConfigError: there are no questions of its style.
    """

    pre_extracts = False

    def __init__(self, engine: Engine, settings: MemberConfig, config: Config) -> None:
        super().__init__(engine, settings, config)
        self.choose_demonstrations = None if config.mrc.k == 0 else balanced_sentences
        self.lookup = config.mrc.lookup
        self.questions = Questions.of(settings.prompt_style, config)
        self.templates = self.questions.identity
        self._located = marked_places(config)

    async def propose(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal | None:
        """What it answers to the questions; None where no answer could be read."""
        answers = await self.read(context, demonstrations)
        return answers if answers.usable else None

    async def read(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal:
        """Its answers to all questions about a text, asked at once.

        A question that it cannot answer, or whose answer cannot be read, is an abstention that the context notes.
        """
        groups = self.questions.groups
        asked = [self._answer(context, group, demonstrations) for group in groups]
        results = await asyncio.gather(*asked, return_exceptions=True)
        found: dict[str, list[Span]] = {}
        lost: list[Exception] = []
        for group, result in zip(groups, results, strict=True):
            if isinstance(result, MemberError | ParseError):
                lost.append(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                found |= result
                lost += [ParseError("the answer passes over a type that it was asked about")] * (
                    len(group) - len(result)
                )
        for errors in _by_reason(lost):
            context.note(self.name, STAGE, errors[0], len(errors))
        return Proposal(by_span(found, self.config.type_names), complete=not lost)

    def question_request(self, context: WindowContext, group: Group, demonstrations: Sequence[Document]) -> Request:
        """The request for one group of types."""
        text, questions = context.text, self.questions
        listed = min(LONGEST_LIST, 2 * len(text) + 32 * len(group))
        return Request(
            stage=STAGE,
            messages=questions.ask(context.language, text, group, demonstrations),
            max_tokens=2 * len(text) + 64 if questions.marked else listed,
            copy_of=text if questions.marked else None,
            template=questions.identity,
            list_of=questions.list_form(context.language, text),
        )

    def preview(self, context: WindowContext, demonstrations: Sequence[Document]) -> list[tuple[str, str]]:
        """The first question."""
        request = self.question_request(context, self.questions.groups[0], demonstrations)
        return [(STAGE, as_text(request))]

    async def _answer(
        self, context: WindowContext, group: Group, demonstrations: Sequence[Document]
    ) -> dict[str, list[Span]]:
        """The spans of each type of a group that the answer does not pass over."""
        request_with = partial(self.question_request, context, group)
        answer, fitting = await self.ask(context, self.engine.generate, request_with, demonstrations)
        said = _readable(answer, self.questions.marked)
        listed = self.questions.read(context.language, said, context.text, group)
        placed = {name: self._locate(mentions, context, fitting) for name, mentions in listed.items()}
        check_named([mention for mentions in listed.values() for mention in mentions], context.text)
        return placed

    def _locate(
        self, mentions: Sequence[Mention], context: WindowContext, demonstrations: Sequence[Document]
    ) -> list[Span]:
        return locate(mentions, context, demonstrations, self._located)


def _readable(answer: Answer, marked: bool) -> str:
    """What counts of an answer: all of it; of a list that was cut, what it named before it began to repeat itself."""
    if answer.finish_reason != "length":
        return answer.text
    said = None if marked else before_repeats(answer.text)
    if said is None:
        raise ParseError("the answer was cut at its longest; use smaller windows")
    return said


def _by_reason(errors: Sequence[Exception]) -> list[list[Exception]]:
    reasons: dict[str, list[Exception]] = {}
    for error in errors:
        reasons.setdefault(str(error), []).append(error)
    return list(reasons.values())
