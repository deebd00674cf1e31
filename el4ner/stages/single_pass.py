"""Spans and votes in one answer: the text copied with typed marks, by a member tuned to give it."""

from collections.abc import Sequence

from el4ner.config import Config, Language
from el4ner.errors import ParseError
from el4ner.members.base import Request
from el4ner.prompts.marking import Marking
from el4ner.stages.answers import Answers, by_span
from el4ner.stages.asking import Minutes, Voice, ask_all
from el4ner.stages.extract import locate
from el4ner.stages.showing import ask_fitting
from el4ner.text.documents import Document

STAGE = "mark"


async def mark(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], config: Config, minutes: Minutes
) -> Answers:
    """The mentions that a member marks in a text, with their types.

    Args:
        voice: a member of role single-pass.
        text: what is asked about.
        language: of the text.
        shown: demonstrations in prompt order; those that do not fit are left out, the least similar first, and counted.
        config: the ensemble's configuration.
        minutes: of the window.

    Raises:
        MemberError: the member cannot answer.
        ParseError: its answer cannot be read, or was cut.
    """

    def request_with(documents: Sequence[Document]) -> Request:
        return marking_request(voice, text, language, documents)

    order = config.demonstrations.order
    answer, fitting = await ask_fitting(voice.member.generate, request_with, shown, order, minutes)
    if answer.finish_reason == "length":
        raise ParseError("the answer was cut at its longest; use smaller windows")
    listed = marking_of(voice).read(language, answer.text, text)
    settings = config.extract.model_copy(update={"occurrences": "marked"})
    placed = {name: locate(mentions, text, fitting, settings, minutes) for name, mentions in listed.items()}
    return Answers(by_span(placed, config.type_names), complete=True)


async def mark_all(
    voices: Sequence[Voice], text: str, language: Language, shown: Sequence[Document], config: Config, minutes: Minutes
) -> dict[str, Answers]:
    """What several members mark; one that failed, or whose answer cannot be read, abstains, and the minutes say why."""
    asked = {voice.name: mark(voice, text, language, shown, config, minutes) for voice in voices}
    return await ask_all(asked, STAGE, minutes)


def marking_request(voice: Voice, text: str, language: Language, shown: Sequence[Document]) -> Request:
    """The request about one text."""
    marking = marking_of(voice)
    words = marking.words(language)
    return Request(
        stage=STAGE,
        messages=marking.ask(language, text, shown),
        max_tokens=3 * len(text) + 64,
        copy_of=text,
        template=marking.identity,
        copy_types=words,
    )


def marking_of(voice: Voice) -> Marking:
    """The prompts of a member of role single-pass."""
    assert voice.marking is not None, "a member of another role marks nothing"
    return voice.marking
