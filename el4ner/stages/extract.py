"""Span extraction by one member: zero-shot (stage 1) or after demonstrations (stage 3)."""

from collections.abc import Sequence

from el4ner.config import ExtractConfig, Language
from el4ner.errors import ParseError
from el4ner.members.base import Request
from el4ner.prompts.formats import Mention
from el4ner.stages.asking import Minutes, Voice
from el4ner.stages.showing import Order, ask_fitting
from el4ner.text.align import find, occurrences
from el4ner.text.documents import Document
from el4ner.text.lines import crosses_lines
from el4ner.text.spans import Span


async def extract(
    voice: Voice,
    text: str,
    language: Language,
    shown: Sequence[Document],
    config: ExtractConfig,
    minutes: Minutes,
    order: Order = "best-last",
) -> list[Span]:
    """The spans that a member finds in ``text``; every one verbatim in it.

    Demonstrations (in prompt order, ``order`` says which) that do not fit into the member's context are left out, the least
    similar first, and counted.

    Raises:
        MemberError: the member cannot answer.
        ParseError: its answer cannot be read, or was cut.
    """

    def request_with(documents: Sequence[Document]) -> Request:
        return extraction_request(voice, text, language, documents, config)

    answer, fitting = await ask_fitting(voice.member.generate, request_with, shown, order, minutes)
    if answer.finish_reason == "length":
        raise ParseError("the answer was cut at its longest; use smaller windows or raise extract.max_answer_tokens")
    return locate(voice.answer_format.read(answer.text, text), text, fitting, config, minutes)


def extraction_request(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], config: ExtractConfig
) -> Request:
    """The request of stage 1 (nothing shown) or stage 3."""
    return Request(
        stage="extract" if shown else "pre-extract",
        messages=voice.prompts.extract(language, text, shown, voice.answer_format),
        max_tokens=min(config.max_answer_tokens, 2 * len(text) + 64),
        copy_of=text if voice.answer_format.name == "inline" else None,
        template=voice.prompts.identity,
        list_of=voice.answer_format.list_form(text),
    )


def locate(
    mentions: Sequence[Mention], text: str, shown: Sequence[Document], config: ExtractConfig, minutes: Minutes
) -> list[Span]:
    """Spans of mentions in ``text``: all occurrences of each, or the marked ones; what is not there is dropped and counted."""
    spans: set[Span] = set()
    for mention in mentions:
        places = _places(mention, text, config.occurrences == "marked")
        if not places:
            leaked = any(mention.surface in document.text for document in shown)
            minutes.counts["leaked-from-demonstration" if leaked else "not-in-text"] += 1
        on_line = [place for place in places if not crosses_lines(text, place.start, place.end)]
        fitting = [place for place in on_line if place.end - place.start <= config.max_mention_chars]
        minutes.counts["across-lines"] += len(places) - len(on_line)
        minutes.counts["too-long-mention"] += len(on_line) - len(fitting)
        spans.update(fitting)
    return sorted(spans)


def _places(mention: Mention, text: str, marked_only: bool) -> list[Span]:
    if mention.span is None:
        return find(mention.surface, text)
    if marked_only:
        return [mention.span]
    return sorted({mention.span, *occurrences(mention.span.surface(text), text)})
