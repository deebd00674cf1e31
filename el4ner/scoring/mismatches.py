"""What went wrong with each entity: found, mistyped, badly cut, missed or invented.

Gold and predicted entities of a document are paired one to one, greedily, by this rule: pairs that overlap are taken in
the order of their outcome (correct, type, boundary, boundary+type), within an outcome the greater overlap first
(shared characters over characters covered by either), then the earlier gold entity, then the earlier prediction; a pair
counts if neither side is taken yet. Gold left over is missed, predictions left over are spurious.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from el4ner.scoring.counts import Labelling
from el4ner.text.spans import Entity


class Outcome(StrEnum):
    """How an entity fared; the first four concern a pair, in the order of the matching rule."""

    CORRECT = "correct"
    TYPE = "type"
    BOUNDARY = "boundary"
    BOUNDARY_AND_TYPE = "boundary+type"
    MISSED = "missed"
    SPURIOUS = "spurious"


_ORDER = {outcome: place for place, outcome in enumerate(Outcome)}


@dataclass(frozen=True, slots=True)
class Match:
    """One outcome; ``gold`` is None for spurious predictions, ``predicted`` for missed gold."""

    outcome: Outcome
    gold: Entity | None
    predicted: Entity | None

    @property
    def type(self) -> str:
        """The type it is counted under: gold's, or the prediction's where there is no gold."""
        entity = self.gold or self.predicted
        return entity.type if entity else ""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Outcomes of all documents.

    Attributes:
        by_type: for each type, how many entities had each outcome; a spurious one counts under its predicted type.
        confusions: how often a gold type met another predicted type, as ``(gold, predicted)``, badly cut ones included.
    """

    by_type: Mapping[str, Counter[Outcome]]
    confusions: Counter[tuple[str, str]]

    @property
    def total(self) -> Counter[Outcome]:
        """Outcomes over all types."""
        return sum(self.by_type.values(), Counter())

    @property
    def type_accuracy(self) -> float | None:
        """Of the pairs with the same span, the share with the right type: the classification stage alone.

        None where no span was found.
        """
        total = self.total
        found = total[Outcome.CORRECT] + total[Outcome.TYPE]
        return total[Outcome.CORRECT] / found if found else None


def match_entities(gold: Collection[Entity], predicted: Collection[Entity]) -> list[Match]:
    """The outcome of every entity of one document, each exactly once, by the rule at the top of this module."""
    free_gold, free_predicted = set(gold), set(predicted)
    matches = []
    for wanted, found in sorted(_overlapping(free_gold, free_predicted), key=_rank):
        if wanted in free_gold and found in free_predicted:
            matches.append(Match(_outcome(wanted, found), wanted, found))
            free_gold.remove(wanted)
            free_predicted.remove(found)
    missed = [Match(Outcome.MISSED, entity, None) for entity in sorted(free_gold)]
    spurious = [Match(Outcome.SPURIOUS, None, entity) for entity in sorted(free_predicted)]
    return matches + missed + spurious


def break_down(gold: Labelling, predicted: Labelling) -> Breakdown:
    """The outcomes of all documents, by type, and which types were taken for which."""
    by_type: dict[str, Counter[Outcome]] = {}
    confusions: Counter[tuple[str, str]] = Counter()
    for wanted, found in zip(gold, predicted, strict=True):
        for match in match_entities(wanted, found):
            by_type.setdefault(match.type, Counter())[match.outcome] += 1
            if match.gold and match.predicted and match.gold.type != match.predicted.type:
                confusions[match.gold.type, match.predicted.type] += 1
    return Breakdown(dict(sorted(by_type.items())), confusions)


def _overlapping(gold: Collection[Entity], predicted: Collection[Entity]) -> Iterator[tuple[Entity, Entity]]:
    candidates = sorted(predicted)
    longest = max((entity.end - entity.start for entity in candidates), default=0)
    for wanted in gold:
        first = bisect_left(candidates, wanted.start - longest, key=lambda entity: entity.start)
        last = bisect_left(candidates, wanted.end, key=lambda entity: entity.start)
        yield from ((wanted, found) for found in candidates[first:last] if found.end > wanted.start)


def _rank(pair: tuple[Entity, Entity]) -> tuple[int, float, Entity, Entity]:
    wanted, found = pair
    shared = min(wanted.end, found.end) - max(wanted.start, found.start)
    covered = max(wanted.end, found.end) - min(wanted.start, found.start)
    return _ORDER[_outcome(wanted, found)], -shared / covered, wanted, found


def _outcome(wanted: Entity, found: Entity) -> Outcome:
    same_type = wanted.type == found.type
    if wanted.span == found.span:
        return Outcome.CORRECT if same_type else Outcome.TYPE
    return Outcome.BOUNDARY if same_type else Outcome.BOUNDARY_AND_TYPE
