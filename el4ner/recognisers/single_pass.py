"""Spans and votes in one answer: the text copied with typed marks, by a member tuned to give it."""

from collections.abc import Sequence

from el4ner.config import Config, Language
from el4ner.engines.base import Request
from el4ner.errors import ParseError
from el4ner.prompts.marking import Marking
from el4ner.recognisers.base import Diagnostics, PromptedMember, ask_all
from el4ner.recognisers.extract import locate
from el4ner.recognisers.fit_to_context import ask_within_context
from el4ner.recognisers.typed_spans import TypedSpans, by_span
from el4ner.text.documents import Document

STAGE = "mark"


async def mark(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
    diagnostics: Diagnostics,
) -> TypedSpans:
    """The mentions that a member marks in a text, with their types.

    Args:
        member: a member of role single-pass.
        text: what is asked about.
        language: of the text.
        demonstrations: demonstrations in prompt order; those that do not fit are left out, the least similar first, and counted.
        config: the ensemble's configuration.
        diagnostics: of the window.

    Raises:
        MemberError: the member cannot answer.
        ParseError: its answer cannot be read, or was cut.
    """

    def request_with(documents: Sequence[Document]) -> Request:
        return marking_request(member, text, language, documents)

    order = config.demonstrations.order
    answer, fitting = await ask_within_context(member.engine.generate, request_with, demonstrations, order, diagnostics)
    if answer.finish_reason == "length":
        raise ParseError("the answer was cut at its longest; use smaller windows")
    marking = marking_of(member)
    listed = marking.read(language, answer.text, text)
    settings = config.extract.model_copy(update={"occurrences": "marked"})
    placed = {name: locate(mentions, text, fitting, settings, diagnostics) for name, mentions in listed.items()}
    types = by_span(placed, config.type_names)
    probabilities = marking.probabilities(language, answer.text, text, answer.token_log_probs)
    return TypedSpans(types, complete=True, probabilities={s: p for s, p in probabilities.items() if s in types})


async def mark_all(
    members: Sequence[PromptedMember],
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    config: Config,
    diagnostics: Diagnostics,
) -> dict[str, TypedSpans]:
    """What several members mark; one that failed, or whose answer cannot be read, abstains, and the diagnostics say why."""
    asked = {member.name: mark(member, text, language, demonstrations, config, diagnostics) for member in members}
    return await ask_all(asked, STAGE, diagnostics)


def marking_request(
    member: PromptedMember, text: str, language: Language, demonstrations: Sequence[Document]
) -> Request:
    """The request about one text."""
    marking = marking_of(member)
    words = marking.words(language)
    return Request(
        stage=STAGE,
        messages=marking.ask(language, text, demonstrations),
        max_tokens=3 * len(text) + 64,
        copy_of=text,
        template=marking.identity,
        copy_types=words,
    )


def marking_of(member: PromptedMember) -> Marking:
    """The prompts of a member of role single-pass."""
    assert member.marking is not None, "a member of another role marks nothing"
    return member.marking
