"""Self-validation by one member: is this span, with these boundaries, an entity of this type? (stage 5)"""

import math

from el4ner.config import Language
from el4ner.members.base import Request
from el4ner.stages.asking import Voice
from el4ner.stages.classify import LONGEST_LABEL
from el4ner.text.spans import Span


async def verify(voice: Voice, text: str, span: Span, type_name: str, language: Language) -> float:
    """The judge's probability that the typed candidate is right: 0 or 1 where its engine gives no probabilities.

    Raises:
        MemberError: the judge cannot answer.
    """
    choice = await voice.member.choose(verification_request(voice, text, span, type_name, language))
    yes, _ = voice.prompts.truth(language)
    if choice.log_probs is None:
        return float(choice.label == yes)
    return math.exp(choice.log_probs[yes])


def verification_request(voice: Voice, text: str, span: Span, type_name: str, language: Language) -> Request:
    """The request for one typed candidate (zero-shot)."""
    return Request(
        stage="verify",
        messages=voice.prompts.verify(language, text, span, type_name),
        max_tokens=LONGEST_LABEL,
        choices=voice.prompts.truth(language),
        template=voice.prompts.identity,
    )
