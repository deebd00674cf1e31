"""Reading comprehension by one member: a question for each type, whose answers are candidates and votes in one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from el4ner.config import Config, Language
from el4ner.errors import MemberError, ParseError
from el4ner.members.base import Answer, Request
from el4ner.prompts.formats import Mention
from el4ner.prompts.listing import before_repeats
from el4ner.prompts.questions import Group, Questions
from el4ner.stages.answers import Answers, Found, by_span
from el4ner.stages.asking import Minutes, Voice
from el4ner.stages.extract import locate
from el4ner.stages.showing import ask_fitting
from el4ner.text.align import find
from el4ner.text.documents import Document
from el4ner.text.spans import Span

STAGE = "mrc"


async def answer_questions(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], config: Config, minutes: Minutes
) -> Answers:
    """A member's answers to all questions about a text, asked at once.

    A question that the member cannot answer, or whose answer cannot be read, is an abstention: the minutes say why.

    Args:
        voice: a member of role mrc.
        text: what is asked about.
        language: of the text.
        shown: demonstrations in prompt order.
        config: the ensemble's configuration.
        minutes: of the window.
    """
    questions = _questions(voice)
    asked = [_ask(voice, text, group, language, shown, config, minutes) for group in questions.groups]
    results = await asyncio.gather(*asked, return_exceptions=True)
    read: Found = {}
    lost: list[Exception] = []
    for group, result in zip(questions.groups, results, strict=True):
        if isinstance(result, MemberError | ParseError):
            lost.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            read |= result
            lost += [ParseError("the answer passes over a type that it was asked about")] * (len(group) - len(result))
    for errors in _by_reason(lost):
        minutes.note(voice.name, STAGE, errors[0], len(errors))
    return Answers(by_span(read, config.type_names), complete=not lost)


async def ask_readers(
    voices: Sequence[Voice], text: str, language: Language, shown: Sequence[Document], config: Config, minutes: Minutes
) -> dict[str, Answers]:
    """The answers of several members of role mrc; one that could say nothing at all is missing."""
    given = await asyncio.gather(*(answer_questions(v, text, language, shown, config, minutes) for v in voices))
    return {voice.name: answers for voice, answers in zip(voices, given, strict=True) if answers.usable}


def question_request(
    voice: Voice, text: str, group: Group, language: Language, shown: Sequence[Document], config: Config
) -> Request:
    """The request for one group of types."""
    questions = _questions(voice)
    listed = min(config.mrc.max_answer_tokens, 2 * len(text) + 32 * len(group))
    return Request(
        stage=STAGE,
        messages=questions.ask(language, text, group, shown),
        max_tokens=2 * len(text) + 64 if questions.marked else listed,
        copy_of=text if questions.marked else None,
        template=questions.identity,
        list_of=questions.list_form(language, text),
    )


async def _ask(
    voice: Voice,
    text: str,
    group: Group,
    language: Language,
    shown: Sequence[Document],
    config: Config,
    minutes: Minutes,
) -> Found:
    def request_with(documents: Sequence[Document]) -> Request:
        return question_request(voice, text, group, language, documents, config)

    questions, order = _questions(voice), config.demonstrations.order
    answer, fitting = await ask_fitting(voice.member.generate, request_with, shown, order, minutes)
    listed = questions.read(language, _readable(answer, questions.marked), text, group)
    said = [mention for mentions in listed.values() for mention in mentions]
    placed = {name: _places(mentions, text, fitting, config, minutes) for name, mentions in listed.items()}
    if said and not any(mention.span or find(mention.surface, text) for mention in said):
        raise ParseError("the answer names nothing that stands in the text, and does not say that there is nothing")
    return placed


def _readable(answer: Answer, marked: bool) -> str:
    """What counts of an answer: all of it; of a list that was cut, what it named before it began to repeat itself."""
    if answer.finish_reason != "length":
        return answer.text
    said = None if marked else before_repeats(answer.text)
    if said is None:
        remedy = "use smaller windows" if marked else "raise mrc.max_answer_tokens"
        raise ParseError(f"the answer was cut at its longest; {remedy}")
    return said


def _places(
    mentions: Sequence[Mention], text: str, shown: Sequence[Document], config: Config, minutes: Minutes
) -> list[Span]:
    meant = [replace(mention, span=mention.span or _first(mention.surface, text, config)) for mention in mentions]
    settings = config.extract.model_copy(update={"occurrences": "marked"})
    return locate(meant, text, shown, settings, minutes)


def _first(surface: str, text: str, config: Config) -> Span | None:
    """The place that is meant where the first alone counts; None: all of them."""
    return next(iter(find(surface, text)), None) if config.mrc.occurrences == "first" else None


def _by_reason(errors: Sequence[Exception]) -> list[list[Exception]]:
    reasons: dict[str, list[Exception]] = {}
    for error in errors:
        reasons.setdefault(str(error), []).append(error)
    return list(reasons.values())


def _questions(voice: Voice) -> Questions:
    assert voice.questions is not None, "a member of role el4ner is asked no questions"
    return voice.questions
