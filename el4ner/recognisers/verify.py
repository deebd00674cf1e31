"""Self-validation: is this span, with these boundaries, an entity of this type? (stage 5)"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from el4ner.combine.voting import Votes
from el4ner.config import Config, Language, VerifyConfig
from el4ner.engines.base import Request
from el4ner.recognisers.base import Diagnostics, PromptedMember, ask_all
from el4ner.recognisers.classify import LONGEST_LABEL
from el4ner.text.spans import Span
from el4ner.vote.entities import VotedEntity
from el4ner.vote.votes import runner_up, share


async def verify(member: PromptedMember, text: str, span: Span, type_name: str, language: Language) -> float:
    """The judge's probability that the typed candidate is right: 0 or 1 where its engine gives no probabilities.

    Raises:
        MemberError: the judge cannot answer.
    """
    choice = await member.engine.choose(verification_request(member, text, span, type_name, language))
    yes, _ = member.prompts.true_false_words(language)
    if choice.log_probs is None:
        return float(choice.label == yes)
    return math.exp(choice.log_probs[yes])


def verification_request(member: PromptedMember, text: str, span: Span, type_name: str, language: Language) -> Request:
    """The request for one typed candidate (zero-shot)."""
    return Request(
        stage="verify",
        messages=member.prompts.verify(language, text, span, type_name),
        max_tokens=LONGEST_LABEL,
        choices=member.prompts.true_false_words(language),
        template=member.prompts.identity,
    )


async def verify_all(
    members: Sequence[PromptedMember],
    text: str,
    language: Language,
    entities: Sequence[VotedEntity],
    votes: Mapping[Span, Votes],
    config: Config,
    diagnostics: Diagnostics,
) -> list[VotedEntity]:
    """The entities after their judges' verdicts; one that nobody could judge stays as it is.

    Args:
        members: members that can judge.
        text: of the window.
        language: of the window.
        entities: what the vote elected.
        votes: of each candidate, by member, as the vote counted them.
        config: the ensemble's configuration.
        diagnostics: of the window.
    """
    settings = config.verify
    if settings.mode == "off":
        return list(entities)
    judges = _judges(members, settings)

    async def judged(entity: VotedEntity) -> VotedEntity | None:
        if settings.mode == "doubtful" and share(votes[entity.span], entity.type) >= settings.doubtful_below:
            return entity
        questions = {v.name: verify(v, text, entity.span, entity.type, language) for v in judges}
        answers = await ask_all(questions, "verify", diagnostics)
        verdicts = {name: probability >= settings.threshold for name, probability in answers.items()}
        return _decided(replace(entity, verdicts=verdicts), votes[entity.span], config, diagnostics)

    results = await asyncio.gather(*map(judged, entities))
    return [entity for entity in results if entity is not None]


def _judges(members: Sequence[PromptedMember], settings: VerifyConfig) -> list[PromptedMember]:
    if settings.mode == "all":
        return list(members)
    named = [member for member in members if member.name == settings.member]
    return named or list(members[:1])


def _decided(entity: VotedEntity, votes: Votes, config: Config, diagnostics: Diagnostics) -> VotedEntity | None:
    """The entity after its verdicts: kept where most call it right or nobody could judge it, else what is configured.

    A new type has not been judged, and its score is to be estimated anew.
    """
    right = sum(entity.verdicts.values())
    if not entity.verdicts or 2 * right > len(entity.verdicts):
        return entity
    on_reject = config.verify.on_reject
    diagnostics.counts[f"rejected-{on_reject}"] += 1
    if on_reject == "flag":
        return entity
    other = runner_up(votes, entity.type, config.type_names) if on_reject == "retype" else None
    return None if other is None else replace(entity, type=other, score=None, verdicts={})
