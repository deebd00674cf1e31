"""Stage 4's decision: from the ballots on a window's candidates to typed entities."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from el4ner.config import ClassifyConfig, Config
from el4ner.ensemble.ballots import Ballot, doubted, opinions
from el4ner.ensemble.combination import entities_of
from el4ner.ensemble.combiner import Combiner, load_combiner
from el4ner.ensemble.consistent import best_flat, best_nested
from el4ner.ensemble.entities import ScoreKind, VotedEntity
from el4ner.ensemble.polls import elect_all, poll_ballots
from el4ner.ensemble.table import tabulate
from el4ner.ensemble.vote import mean_probability, support
from el4ner.errors import ConfigError
from el4ner.stages.asking import Minutes
from el4ner.text.spans import Span

Ballots: TypeAlias = Mapping[str, Ballot]


@dataclass(frozen=True)
class Voting:
    """The rule that a configuration states.

    Attributes:
        settings: the configuration's section.
        types: type names, in order.
        nested: whether entities may lie inside others.
        combiner: what decides where the rule is ``combiner``.
    """

    settings: ClassifyConfig
    types: tuple[str, ...]
    nested: bool = False
    combiner: Combiner | None = None

    def decide(self, text: str, ballots: Mapping[Span, Ballots], voters: float) -> list[VotedEntity]:
        """The entities that a window's members elect; those that a combiner learned from labels elects have its scores.

        Args:
            text: of the window.
            ballots: of each candidate, by member.
            voters: the weight of all members that were asked.
        """
        if self.combiner is not None:
            return self._combined(self.combiner, text, ballots)
        settings = self.settings
        poll = poll_ballots(list(self.heard(ballots).values()), self.types, self._electorate(voters))
        winners = elect_all(poll, settings.rule, settings.tie, settings.threshold)  # type: ignore[arg-type]
        elected = zip(ballots.items(), winners.tolist(), strict=True)
        return [
            VotedEntity(span.start, span.end, self.types[row % len(self.types)], votes=_types(given))
            for (span, given), row in elected
            if row >= 0
        ]

    def heard(self, ballots: Mapping[Span, Ballots]) -> dict[Span, Ballots]:
        """The ballots as the vote counts them: discounted by ``classify.trust_unfound``; a combiner takes them as they are."""
        trust = self.settings.trust_unfound if self.combiner is None else 1.0
        return {span: {name: doubted(b, trust) for name, b in given.items()} for span, given in ballots.items()}

    @property
    def score_kind(self) -> ScoreKind:
        """Where the scores come from."""
        return "calibrated" if self.combiner is not None and self.combiner.documents else "votes"

    def scored(self, entity: VotedEntity, given: Ballots, voters: float) -> VotedEntity:
        """The entity with a score: its own, or else the mean probability that the members give its type.

        That is ``sum_j w_j p_j / sum_j w_j`` over the members j that answered, each with its weight w_j and the probability
        p_j that it gives the type, as the vote counts them: discounted where a member did not find the candidate itself, 1
        for the type of a member that states no probabilities and 0 for other types. Where an abstention counts as a vote for
        no entity, the members that did not answer are in the denominator as well.

        Args:
            entity: one that was elected.
            given: the ballots on it, as :meth:`heard` gives them.
            voters: the weight of all members that were asked.
        """
        if entity.score is not None:
            return entity
        return replace(entity, score=round(mean_probability(given, entity.type, self._electorate(voters)), 4))

    def strength(self, entity: VotedEntity, given: Ballots, voters: float) -> float:
        """How strong an entity is beside rivals: a combiner's score, or what the rule counts for its type.

        Args:
            entity: one that was elected, scored.
            given: the ballots on it, as :meth:`heard` gives them.
            voters: the weight of all members that were asked.
        """
        if self.combiner is not None and entity.score is not None:
            return entity.score
        return support(given, entity.type, self.settings.rule, self._electorate(voters))

    def _electorate(self, voters: float) -> float | None:
        return voters if self.settings.abstention == "none" else None

    def _combined(self, combiner: Combiner, text: str, ballots: Mapping[Span, Ballots]) -> list[VotedEntity]:
        table = tabulate([opinions(ballots)], combiner.members)
        start = combiner.estimate(table)
        probabilities = combiner.probabilities(table, start, [text])
        gains = combiner.cautious(start, probabilities) - combiner.alone.limits[self.settings.prefer]
        kept = (best_nested if self.nested else best_flat)(table, gains)
        (entities,) = entities_of(table, kept, probabilities if combiner.documents else None)
        return list(entities)


def build_voting(config: Config) -> Voting:
    """The rule of a configuration.

    Raises:
        El4nerError: its combiner cannot be read, or was learned for other members or types.
    """
    settings, nested = config.classify, config.entities.nested == "keep"
    if settings.combiner is None:
        return Voting(settings, config.type_names, nested)
    combiner = load_combiner(Path(settings.combiner))
    names = [member.name for member in config.members]
    if sorted(names) != sorted(combiner.members):
        raise ConfigError(
            f"classify.combiner {settings.combiner} was learned for the members {', '.join(combiner.members)}, but the "
            f"members are {', '.join(names)}; learn it again from a run of these"
        )
    unknown = sorted(set(combiner.types) - set(config.type_names))
    if unknown:
        raise ConfigError(
            f"classify.combiner {settings.combiner} was learned for types that labels lacks: {', '.join(unknown)}; "
            "learn it again from a run with these labels"
        )
    return Voting(settings, config.type_names, nested, combiner)


def count_votes(ballots: Mapping[Span, Ballots], elected: Sequence[VotedEntity], minutes: Minutes) -> None:
    """Count candidates, those that the vote rejected, and who voted for no entity: a run that finds nothing can say why."""
    minutes.counts["candidates"] += len(ballots)
    minutes.counts["voted-out"] += len(ballots.keys() - {entity.span for entity in elected})
    for given in ballots.values():
        minutes.counts.update(f"none-by-{name}" for name, ballot in given.items() if ballot.type is None)


def combiner_hash(config: Config) -> str | None:
    """The sha256 (hex) of the combiner's file, or None where the configuration names none."""
    path = config.classify.combiner
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _types(given: Ballots) -> dict[str, str | None]:
    return {name: ballot.type for name, ballot in given.items()}
