"""One prompt of each stage for a text, to be looked at before anything is computed."""

from collections.abc import Sequence

from el4ner.config import Config, Language
from el4ner.members.base import Message, Request
from el4ner.stages.asking import Voice
from el4ner.stages.classify import classification_request
from el4ner.stages.extract import extraction_request
from el4ner.stages.mrc import STAGE, question_request
from el4ner.stages.showing import most_similar
from el4ner.stages.verify import verification_request
from el4ner.text.documents import Document
from el4ner.text.spans import Span


def step_requests(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], config: Config
) -> list[tuple[str, Request]]:
    """What a member would be asked at each of the paper's steps: (stage, request); its first word stands for a candidate."""
    near = most_similar(shown, config.classify.k, config.demonstrations.order)
    span = _first_word(text)
    return [
        ("pre-extract", extraction_request(voice, text, language, (), config.extract)),
        ("extract", extraction_request(voice, text, language, shown, config.extract)),
        ("classify", classification_request(voice, text, span, language, near)),
        ("verify", verification_request(voice, text, span, config.type_names[0], language)),
    ]


def first_question(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], config: Config
) -> tuple[str, Request]:
    """The first question that a member of role mrc would be asked: (stage, request)."""
    assert voice.questions is not None
    return STAGE, question_request(voice, text, voice.questions.groups[0], language, shown, config)


def written(messages: Sequence[Message]) -> str:
    """A conversation as plain text."""
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages)


def _first_word(text: str) -> Span:
    first = next((i for i, character in enumerate(text) if not character.isspace()), 0)
    last = next((i for i in range(first, len(text)) if text[i].isspace()), len(text))
    return Span(first, max(last, first + 1))
