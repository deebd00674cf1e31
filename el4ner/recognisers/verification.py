"""Self-validation: judges say of elected entities whether span and type are right, and a rejection does what is configured."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from el4ner.config import Config, VerifyConfig
from el4ner.recognisers.base import Judge, Recogniser, WindowContext
from el4ner.text.spans import Span
from el4ner.vote.entities import VotedEntity
from el4ner.vote.votes import Vote, runner_up, share


async def verify(
    members: Sequence[Recogniser],
    context: WindowContext,
    entities: Sequence[VotedEntity],
    votes: Mapping[Span, Mapping[str, Vote]],
    config: Config,
) -> list[VotedEntity]:
    """The entities after their judges' verdicts; one that nobody could judge stays as it is.

    Args:
        members: those that are judges are asked, as far as the configuration names them.
        context: the window.
        entities: what the vote elected.
        votes: of each candidate, by member, as the vote counted them.
        config: the ensemble's configuration.
    """
    settings, judges = config.verify, _judges(members, config.verify)

    async def judged(entity: VotedEntity) -> VotedEntity | None:
        given = votes[entity.span]
        if settings.mode == "doubtful" and share(given, entity.type) >= 1.0:
            return entity
        answers = await asyncio.gather(*(judge.verify(context, entity.span, entity.type) for judge in judges))
        said = [(judge.name, answer) for judge, answer in zip(judges, answers, strict=True) if answer is not None]
        verdicts = {name: probability >= 0.5 for name, probability in said}
        return _after_verdicts(replace(entity, verdicts=verdicts), given, config, context)

    results = await asyncio.gather(*map(judged, entities))
    return [entity for entity in results if entity is not None]


def _judges(members: Sequence[Recogniser], settings: VerifyConfig) -> list[Judge]:
    able = [member for member in members if isinstance(member, Judge) and settings.mode != "off"]
    if settings.mode == "all":
        return able
    return [judge for judge in able if judge.name == settings.member] or able[:1]


def _after_verdicts(
    entity: VotedEntity, votes: Mapping[str, Vote], config: Config, context: WindowContext
) -> VotedEntity | None:
    """The entity: kept where most call it right or nobody could judge it, else what is configured.

    A new type has not been judged, and its score is to be estimated anew.
    """
    right = sum(entity.verdicts.values())
    if not entity.verdicts or 2 * right > len(entity.verdicts):
        return entity
    on_reject = config.verify.on_reject
    context.counts[f"rejected-{on_reject}"] += 1
    if on_reject == "flag":
        return entity
    other = runner_up(votes, entity.type, config.type_names) if on_reject == "retype" else None
    return None if other is None else replace(entity, type=other, score=None, verdicts={})
