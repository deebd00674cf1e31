"""Typing of candidates by one member: a closed choice over the label words and an explicit none (stage 4)."""

import math
from collections.abc import Sequence

from el4ner.config import Language
from el4ner.ensemble.vote import Ballot
from el4ner.members.base import Request
from el4ner.prompts.shown import shown_candidates
from el4ner.stages.asking import Minutes, Voice
from el4ner.stages.showing import Order, ask_fitting
from el4ner.text.documents import Document
from el4ner.text.spans import Span

LONGEST_LABEL = 16
"""Tokens of the longest label word."""


async def classify(
    voice: Voice,
    text: str,
    span: Span,
    language: Language,
    shown: Sequence[Document],
    minutes: Minutes,
    order: Order = "best-last",
) -> Ballot:
    """A member's vote on the type of one candidate, with the probabilities where its engine gives them.

    Raises:
        MemberError: the member cannot answer.
    """

    def request_with(documents: Sequence[Document]) -> Request:
        return classification_request(voice, text, span, language, documents)

    choice, _ = await ask_fitting(voice.member.choose, request_with, shown, order, minutes)
    names = voice.prompts.choices(language)
    probabilities = None
    if choice.log_probs is not None:
        probabilities = {names[word]: math.exp(log_prob) for word, log_prob in choice.log_probs.items()}
    return Ballot(names[choice.label], probabilities, voice.weight(language))


def classification_request(
    voice: Voice, text: str, span: Span, language: Language, shown: Sequence[Document]
) -> Request:
    """The request for one candidate."""
    solved = shown_candidates(shown, span.surface(text))
    return Request(
        stage="classify",
        messages=voice.prompts.classify(language, text, span, solved),
        max_tokens=LONGEST_LABEL,
        choices=tuple(voice.prompts.choices(language)),
        template=voice.prompts.identity,
    )
