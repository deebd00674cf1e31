"""Reading comprehension by one member: a question for each type, whose answers are candidates and votes in one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from el4ner.config import Config, Language
from el4ner.engines.base import Answer, Request
from el4ner.errors import MemberError, ParseError
from el4ner.prompts.formats import Mention
from el4ner.prompts.listing import before_repeats
from el4ner.prompts.questions import Group, Questions
from el4ner.recognisers.base import Diagnostics, PromptedMember
from el4ner.recognisers.extract import locate
from el4ner.recognisers.fit_to_context import ask_within_context
from el4ner.recognisers.typed_spans import Found, TypedSpans, by_span
from el4ner.text.align import find
from el4ner.text.documents import Document
from el4ner.text.spans import Span

STAGE = "mrc"


async def answer_questions(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
    diagnostics: Diagnostics,
) -> TypedSpans:
    """A member's answers to all questions about a text, asked at once.

    A question that the member cannot answer, or whose answer cannot be read, is an abstention: the diagnostics say why.

    Args:
        member: a member of role mrc.
        text: what is asked about.
        language: of the text.
        demonstrations: demonstrations in prompt order.
        config: the ensemble's configuration.
        diagnostics: of the window.
    """
    questions = _questions(member)
    asked = [_ask(member, text, group, language, demonstrations, config, diagnostics) for group in questions.groups]
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
        diagnostics.note(member.name, STAGE, errors[0], len(errors))
    return TypedSpans(by_span(read, config.type_names), complete=not lost)


async def ask_mrc_members(
    members: Sequence[PromptedMember],
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
    diagnostics: Diagnostics,
) -> dict[str, TypedSpans]:
    """The answers of several members of role mrc; one that could say nothing at all is missing."""
    given = await asyncio.gather(
        *(answer_questions(v, text, language, demonstrations, config, diagnostics) for v in members)
    )
    return {member.name: answers for member, answers in zip(members, given, strict=True) if answers.usable}


def question_request(
    member: PromptedMember,
    text: str,
    group: Group,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
) -> Request:
    """The request for one group of types."""
    questions = _questions(member)
    listed = min(config.mrc.max_answer_tokens, 2 * len(text) + 32 * len(group))
    return Request(
        stage=STAGE,
        messages=questions.ask(language, text, group, demonstrations),
        max_tokens=2 * len(text) + 64 if questions.marked else listed,
        copy_of=text if questions.marked else None,
        template=questions.identity,
        list_of=questions.list_form(language, text),
    )


async def _ask(
    member: PromptedMember,
    text: str,
    group: Group,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
    diagnostics: Diagnostics,
) -> Found:
    def request_with(documents: Sequence[Document]) -> Request:
        return question_request(member, text, group, language, documents, config)

    questions, order = _questions(member), config.demonstrations.order
    answer, fitting = await ask_within_context(member.engine.generate, request_with, demonstrations, order, diagnostics)
    listed = questions.read(language, _readable(answer, questions.marked), text, group)
    said = [mention for mentions in listed.values() for mention in mentions]
    placed = {name: _places(mentions, text, fitting, config, diagnostics) for name, mentions in listed.items()}
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
    mentions: Sequence[Mention], text: str, demonstrations: Sequence[Document], config: Config, diagnostics: Diagnostics
) -> list[Span]:
    meant = [replace(mention, span=mention.span or _first(mention.surface, text, config)) for mention in mentions]
    settings = config.extract.model_copy(update={"occurrences": "marked"})
    return locate(meant, text, demonstrations, settings, diagnostics)


def _first(surface: str, text: str, config: Config) -> Span | None:
    """The place that is meant where the first alone counts; None: all of them."""
    return next(iter(find(surface, text)), None) if config.mrc.occurrences == "first" else None


def _by_reason(errors: Sequence[Exception]) -> list[list[Exception]]:
    reasons: dict[str, list[Exception]] = {}
    for error in errors:
        reasons.setdefault(str(error), []).append(error)
    return list(reasons.values())


def _questions(member: PromptedMember) -> Questions:
    assert member.questions is not None, "a member of role el4ner is asked no questions"
    return member.questions
