"""Who wins the vote on a window's candidates, by the rule of a configuration: counts of votes, or a combiner."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from el4ner.combine.combiner import Combiner, load_combiner
from el4ner.combine.rules import entities_of
from el4ner.config import ClassifyConfig, Config
from el4ner.errors import ConfigError
from el4ner.text.spans import Span
from el4ner.vote.entities import ScoreKind, VotedEntity
from el4ner.vote.overlaps import best_flat, best_nested
from el4ner.vote.rules import count_votes, elect_all
from el4ner.vote.table import tabulate
from el4ner.vote.votes import Vote, discounted, mean_probability, member_outputs, support

Votes: TypeAlias = Mapping[str, Vote]


@dataclass(frozen=True)
class VotingRule:
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

    def decide(self, text: str, votes: Mapping[Span, Votes], asked_weight: float) -> list[VotedEntity]:
        """The entities that a window's members elect; those that a combiner learned from labels elects have its scores.

        Args:
            text: of the window.
            votes: of each candidate, by member.
            asked_weight: the weight of all members that were asked.
        """
        if self.combiner is not None:
            return self._combined(self.combiner, text, votes)
        settings = self.settings
        counts = count_votes(list(self.discounted_votes(votes).values()), self.types, self._total_weight(asked_weight))
        winners = elect_all(counts, settings.rule, settings.tie, settings.threshold)  # type: ignore[arg-type]
        elected = zip(votes.items(), winners.tolist(), strict=True)
        return [
            VotedEntity(span.start, span.end, self.types[row % len(self.types)], votes=_types(given))
            for (span, given), row in elected
            if row >= 0
        ]

    def discounted_votes(self, votes: Mapping[Span, Votes]) -> dict[Span, Votes]:
        """The votes as they count: discounted by ``classify.unextracted_vote_discount``; a combiner takes them as they are."""
        discount = self.settings.unextracted_vote_discount if self.combiner is None else 1.0
        return {span: {name: discounted(b, discount) for name, b in given.items()} for span, given in votes.items()}

    @property
    def score_kind(self) -> ScoreKind:
        """Where the scores come from."""
        return "calibrated" if self.combiner is not None and self.combiner.documents else "votes"

    def scored(self, entity: VotedEntity, given: Votes, asked_weight: float) -> VotedEntity:
        """The entity with a score: its own, or else the mean probability that the members give its type.

        That is ``sum_j w_j p_j / sum_j w_j`` over the members j that answered, each with its weight w_j and the probability
        p_j that it gives the type, as the vote counts them: discounted where a member did not find the candidate itself, 1
        for the type of a member that states no probabilities and 0 for other types. Where an abstention counts as a vote for
        no entity, the members that did not answer are in the denominator as well.

        Args:
            entity: one that was elected.
            given: the votes on it, as :meth:`discounted_votes` gives them.
            asked_weight: the weight of all members that were asked.
        """
        if entity.score is not None:
            return entity
        return replace(entity, score=round(mean_probability(given, entity.type, self._total_weight(asked_weight)), 4))

    def strength(self, entity: VotedEntity, given: Votes, asked_weight: float) -> float:
        """How strong an entity is beside overlapping ones: a combiner's score, or what the rule counts for its type.

        Args:
            entity: one that was elected, scored.
            given: the votes on it, as :meth:`discounted_votes` gives them.
            asked_weight: the weight of all members that were asked.
        """
        if self.combiner is not None and entity.score is not None:
            return entity.score
        return support(given, entity.type, self.settings.rule, self._total_weight(asked_weight))

    def _total_weight(self, asked_weight: float) -> float | None:
        return asked_weight if self.settings.abstention == "none" else None

    def _combined(self, combiner: Combiner, text: str, votes: Mapping[Span, Votes]) -> list[VotedEntity]:
        table = tabulate([member_outputs(votes)], combiner.members)
        start = combiner.estimate(table)
        probabilities = combiner.probabilities(table, start, [text])
        gains = combiner.shrink(start, probabilities) - combiner.per_document.thresholds[self.settings.prefer]
        kept = (best_nested if self.nested else best_flat)(table, gains)
        (entities,) = entities_of(table, kept, probabilities if combiner.documents else None)
        return list(entities)


def build_voting_rule(config: Config) -> VotingRule:
    """The rule of a configuration.

    Raises:
        El4nerError: its combiner cannot be read, or was learned for other members or types.
    """
    settings, nested = config.classify, config.entities.nested == "keep"
    if settings.combiner is None:
        return VotingRule(settings, config.type_names, nested)
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
    return VotingRule(settings, config.type_names, nested, combiner)


def combiner_hash(config: Config) -> str | None:
    """The sha256 (hex) of the combiner's file, or None where the configuration names none."""
    path = config.classify.combiner
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _types(given: Votes) -> dict[str, str | None]:
    return {name: vote.type for name, vote in given.items()}
