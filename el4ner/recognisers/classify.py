"""Typing of candidates by one member: a closed choice over the label words and an explicit none (stage 4)."""

import math
from collections.abc import Sequence

from el4ner.config import Language
from el4ner.engines.base import Request
from el4ner.prompts.demonstrated import demonstrated_candidates
from el4ner.recognisers.base import Diagnostics, PromptedMember
from el4ner.recognisers.fit_to_context import Order, ask_within_context
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from el4ner.vote.votes import Vote

LONGEST_LABEL = 16
"""Tokens of the longest label word."""


async def classify(
    member: PromptedMember,
    text: str,
    span: Span,
    language: Language,
    demonstrations: Sequence[Document],
    diagnostics: Diagnostics,
    order: Order = "best-last",
) -> Vote:
    """A member's vote on the type of one candidate, with the probabilities where its engine gives them.

    Raises:
        MemberError: the member cannot answer.
    """

    def request_with(documents: Sequence[Document]) -> Request:
        return classification_request(member, text, span, language, documents)

    choice, _ = await ask_within_context(member.engine.choose, request_with, demonstrations, order, diagnostics)
    names = member.prompts.choices(language)
    probabilities = None
    if choice.log_probs is not None:
        probabilities = {names[word]: math.exp(log_prob) for word, log_prob in choice.log_probs.items()}
    return Vote(names[choice.label], probabilities, member.weight(language))


def classification_request(
    member: PromptedMember, text: str, span: Span, language: Language, demonstrations: Sequence[Document]
) -> Request:
    """The request for one candidate."""
    solved = demonstrated_candidates(demonstrations, span.surface(text))
    return Request(
        stage="classify",
        messages=member.prompts.classify(language, text, span, solved),
        max_tokens=LONGEST_LABEL,
        choices=tuple(member.prompts.choices(language)),
        template=member.prompts.identity,
    )
