"""One prompt of each stage for a text, to be looked at before anything is computed."""

from collections.abc import Sequence

from el4ner.config import Config, Language
from el4ner.engines.base import Message, Request
from el4ner.recognisers.base import PromptedMember
from el4ner.recognisers.classify import classification_request
from el4ner.recognisers.extract import extraction_request
from el4ner.recognisers.fit_to_context import most_similar
from el4ner.recognisers.mrc import STAGE, question_request
from el4ner.recognisers.verify import verification_request
from el4ner.text.documents import Document
from el4ner.text.spans import Span


def extractor_requests(
    member: PromptedMember, text: str, language: Language, demonstrations: Sequence[Document], config: Config
) -> list[tuple[str, Request]]:
    """What a member would be asked at each of the paper's steps: (stage, request); its first word stands for a candidate."""
    near = most_similar(demonstrations, config.classify.k, config.demonstrations.order)
    span = _first_word(text)
    return [
        ("pre-extract", extraction_request(member, text, language, (), config.extract)),
        ("extract", extraction_request(member, text, language, demonstrations, config.extract)),
        ("classify", classification_request(member, text, span, language, near)),
        ("verify", verification_request(member, text, span, config.type_names[0], language)),
    ]


def first_question(
    member: PromptedMember, text: str, language: Language, demonstrations: Sequence[Document], config: Config
) -> tuple[str, Request]:
    """The first question that a member of role mrc would be asked: (stage, request)."""
    assert member.questions is not None
    return STAGE, question_request(member, text, member.questions.groups[0], language, demonstrations, config)


def as_text(messages: Sequence[Message]) -> str:
    """A conversation as plain text."""
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def _first_word(text: str) -> Span:
    first = next((i for i, character in enumerate(text) if not character.isspace()), 0)
    last = next((i for i in range(first, len(text)) if text[i].isspace()), len(text))
    return Span(first, max(last, first + 1))
