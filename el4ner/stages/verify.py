"""Self-validation: is this span, with these boundaries, an entity of this type? (stage 5)"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from el4ner.config import Config, Language, VerifyConfig
from el4ner.ensemble.entities import VotedEntity
from el4ner.ensemble.vote import runner_up, share
from el4ner.members.base import Request
from el4ner.stages.asking import Minutes, Voice, ask_all
from el4ner.stages.classify import LONGEST_LABEL
from el4ner.stages.voting import Ballots
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


async def verify_all(
    voices: Sequence[Voice],
    text: str,
    language: Language,
    entities: Sequence[VotedEntity],
    ballots: Mapping[Span, Ballots],
    config: Config,
    minutes: Minutes,
) -> list[VotedEntity]:
    """The entities after their judges' verdicts; one that nobody could judge stays as it is.

    Args:
        voices: members that can judge.
        text: of the window.
        language: of the window.
        entities: what the vote elected.
        ballots: of each candidate, by member, as the vote counted them.
        config: the ensemble's configuration.
        minutes: of the window.
    """
    settings = config.verify
    if settings.mode == "off":
        return list(entities)
    judges = _judges(voices, settings)

    async def judged(entity: VotedEntity) -> VotedEntity | None:
        if settings.mode == "doubtful" and share(ballots[entity.span], entity.type) >= settings.doubtful_below:
            return entity
        questions = {v.name: verify(v, text, entity.span, entity.type, language) for v in judges}
        answers = await ask_all(questions, "verify", minutes)
        verdicts = {name: probability >= settings.threshold for name, probability in answers.items()}
        return _decided(replace(entity, verdicts=verdicts), ballots[entity.span], config, minutes)

    results = await asyncio.gather(*map(judged, entities))
    return [entity for entity in results if entity is not None]


def _judges(voices: Sequence[Voice], settings: VerifyConfig) -> list[Voice]:
    if settings.mode == "all":
        return list(voices)
    named = [voice for voice in voices if voice.name == settings.member]
    return named or list(voices[:1])


def _decided(entity: VotedEntity, ballots: Ballots, config: Config, minutes: Minutes) -> VotedEntity | None:
    """The entity after its verdicts: kept where most call it right or nobody could judge it, else what is configured.

    A new type has not been judged, and its score is to be estimated anew.
    """
    right = sum(entity.verdicts.values())
    if not entity.verdicts or 2 * right > len(entity.verdicts):
        return entity
    on_reject = config.verify.on_reject
    minutes.counts[f"rejected-{on_reject}"] += 1
    if on_reject == "flag":
        return entity
    other = runner_up(ballots, entity.type, config.type_names) if on_reject == "retype" else None
    return None if other is None else replace(entity, type=other, score=None, verdicts={})
