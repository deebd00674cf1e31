"""Reading comprehension by one member: a question for each type, whose answers are candidates and votes in one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from el4ner.config import Config, Language
from el4ner.ensemble.vote import Ballot
from el4ner.errors import MemberError, ParseError
from el4ner.members.base import Answer, Request
from el4ner.prompts.formats import Mention
from el4ner.prompts.listing import before_repeats
from el4ner.prompts.questions import Group, Questions
from el4ner.stages.asking import Minutes, Voice
from el4ner.stages.extract import locate
from el4ner.stages.showing import ask_fitting
from el4ner.text.align import find
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

STAGE = "mrc"
Found = dict[str, list[Span]]
"""Spans by type name, for each type whose answer could be read."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a member answered to the questions about one text.

    Attributes:
        types: the types of each span that it named, in the order of the labels; nearly always one.
        complete: whether all of its answers could be read.
    """

    types: Mapping[Span, tuple[str, ...]]
    complete: bool

    @property
    def usable(self) -> bool:
        """Whether it said anything: spans, or that there are none."""
        return self.complete or bool(self.types)

    def ballot(self, span: Span, weight: float) -> Ballot | None:
        """Its vote on a candidate; None where it abstains.

        A span that it named under a type has that type; under several, the first of them, and equal probabilities. One that
        it did not name is no entity, if all of its answers were read: a lost answer may have named it.
        """
        named = self.types.get(span, ())
        if named:
            shares: dict[str | None, float] | None = None
            if len(named) > 1:
                shares = {name: 1 / len(named) for name in named}
            return Ballot(named[0], shares, weight)
        return Ballot(None, None, weight, found=False) if self.complete else None

    def added_to(self, later: "Answers") -> "Answers":
        """Later answers about the same text, and of these the spans that overlap none of theirs."""
        new = {span: types for span, types in self.types.items() if not any(map(span.overlaps, later.types))}
        return Answers({**later.types, **new}, self.complete and later.complete)


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
    return Answers(_by_span(read, config.type_names), complete=not lost)


async def ask_readers(
    voices: Sequence[Voice], text: str, language: Language, shown: Sequence[Document], config: Config, minutes: Minutes
) -> dict[str, Answers]:
    """The answers of several members of role mrc; one that could say nothing at all is missing."""
    given = await asyncio.gather(*(answer_questions(v, text, language, shown, config, minutes) for v in voices))
    return {voice.name: answers for voice, answers in zip(voices, given, strict=True) if answers.usable}


def answers_of(entities: Sequence[Entity], types: Sequence[str]) -> Answers:
    """Entities as if a member had named them."""
    read: Found = {name: [entity.span for entity in entities if entity.type == name] for name in types}
    return Answers(_by_span(read, types), complete=True)


def with_earlier(answers: Mapping[str, Answers], earlier: Mapping[str, Answers]) -> dict[str, Answers]:
    """Each member's answers with its earlier ones added, where it gave both; else those that it gave."""
    both = {name: earlier[name].added_to(later) for name, later in answers.items() if name in earlier}
    return {**earlier, **answers, **both}


def all_ballots(
    span: Span,
    typed: Mapping[str, Ballot],
    found: Mapping[str, Sequence[Span]],
    answers: Mapping[str, Answers],
    voices: Sequence[Voice],
    language: Language,
) -> dict[str, Ballot]:
    """Everybody's vote on a candidate, in the order of the members.

    Args:
        span: the candidate.
        typed: votes of the members that were asked for its type.
        found: the spans that each member named itself.
        answers: of the members of role mrc.
        voices: all members that were asked about the text.
        language: of the text.
    """
    ballots = {name: replace(ballot, found=span in found.get(name, ())) for name, ballot in typed.items()}
    for voice in voices:
        if voice.name in answers and (ballot := answers[voice.name].ballot(span, voice.weight(language))):
            ballots[voice.name] = ballot
    return {voice.name: ballots[voice.name] for voice in voices if voice.name in ballots}


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


def _by_span(read: Found, types: Sequence[str]) -> dict[Span, tuple[str, ...]]:
    spans = sorted({span for found in read.values() for span in found})
    return {span: tuple(name for name in types if span in read.get(name, ())) for span in spans}


def _by_reason(errors: Sequence[Exception]) -> list[list[Exception]]:
    reasons: dict[str, list[Exception]] = {}
    for error in errors:
        reasons.setdefault(str(error), []).append(error)
    return list(reasons.values())


def _questions(voice: Voice) -> Questions:
    assert voice.questions is not None, "a member of role el4ner is asked no questions"
    return voice.questions
