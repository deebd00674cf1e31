"""Span extraction by one member: zero-shot (stage 1) or after demonstrations (stage 3)."""

from collections.abc import Sequence

from el4ner.config import ExtractConfig, Language
from el4ner.engines.base import Request
from el4ner.errors import ParseError
from el4ner.prompts.formats import Mention
from el4ner.recognisers.base import Diagnostics, PromptedMember
from el4ner.recognisers.fit_to_context import Order, ask_within_context
from el4ner.text.align import find, occurrences
from el4ner.text.documents import Document
from el4ner.text.lines import crosses_lines
from el4ner.text.spans import Span


async def extract(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    config: ExtractConfig,
    diagnostics: Diagnostics,
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
        return extraction_request(member, text, language, documents, config)

    answer, fitting = await ask_within_context(member.engine.generate, request_with, demonstrations, order, diagnostics)
    if answer.finish_reason == "length":
        raise ParseError("the answer was cut at its longest; use smaller windows or raise extract.max_answer_tokens")
    return locate(member.answer_format.read(answer.text, text), text, fitting, config, diagnostics)


def extraction_request(
    member: PromptedMember, text: str, language: Language, demonstrations: Sequence[Document], config: ExtractConfig
) -> Request:
    """The request of stage 1 (nothing shown) or stage 3."""
    return Request(
        stage="extract" if demonstrations else "pre-extract",
        messages=member.prompts.extract(language, text, demonstrations, member.answer_format),
        max_tokens=min(config.max_answer_tokens, 2 * len(text) + 64),
        copy_of=text if member.answer_format.name == "inline" else None,
        template=member.prompts.identity,
        list_of=member.answer_format.list_form(text),
    )


def locate(
    mentions: Sequence[Mention],
    text: str,
    demonstrations: Sequence[Document],
    config: ExtractConfig,
    diagnostics: Diagnostics,
) -> list[Span]:
    """Spans of mentions in ``text``: all occurrences of each, or the marked ones; what is not there is dropped and counted."""
    spans: set[Span] = set()
    for mention in mentions:
        places = _places(mention, text, config.occurrences == "marked")
        if not places:
            leaked = any(mention.surface in document.text for document in demonstrations)
            diagnostics.counts["leaked-from-demonstration" if leaked else "not-in-text"] += 1
        on_line = [place for place in places if not crosses_lines(text, place.start, place.end)]
        fitting = [place for place in on_line if place.end - place.start <= config.max_mention_chars]
        diagnostics.counts["across-lines"] += len(places) - len(on_line)
        diagnostics.counts["too-long-mention"] += len(on_line) - len(fitting)
        spans.update(fitting)
    return sorted(spans)


def _places(mention: Mention, text: str, marked_only: bool) -> list[Span]:
    if mention.span is None:
        return find(mention.surface, text)
    if marked_only:
        return [mention.span]
    return sorted({mention.span, *occurrences(mention.span.surface(text), text)})
