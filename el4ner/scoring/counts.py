"""Strict and span-only counts, precision, recall and F1; entities are sets, so nested ones count and doubles do not.

Every document takes part, also one without entities: what is predicted there is a false positive.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from el4ner.text.spans import Entity

Labelling: TypeAlias = Sequence[frozenset[Entity]]
"""The entities of each document; gold and predictions list the same documents in the same order."""


class Scored(Protocol):
    """Anything with precision, recall and F1, each from 0 to 1."""

    @property
    def precision(self) -> float:
        """Share of what was predicted that is right."""

    @property
    def recall(self) -> float:
        """Share of gold that was found."""

    @property
    def f1(self) -> float:
        """F1."""


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives and false negatives; a ratio without anything to count is 0."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def gold(self) -> int:
        """How many there are in gold."""
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        """How many were predicted."""
        return self.tp + self.fp

    @property
    def precision(self) -> float:
        """``tp / (tp + fp)``."""
        return self.tp / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """``tp / (tp + fn)``."""
        return self.tp / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """``2 tp / (2 tp + fp + fn)``, the harmonic mean of precision and recall."""
        total = self.gold + self.predicted
        return 2 * self.tp / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Averages:
    """Means over types; unlike ``Counts``, ``f1`` is the mean of the types' F1, not the F1 of the means."""

    precision: float
    recall: float
    f1: float


def strict_counts(gold: Labelling, predicted: Labelling) -> dict[str, Counts]:
    """Counts by type, sorted, of every type that gold or the predictions have: right means same span and same type."""
    tally: dict[str, list[int]] = {}
    for wanted, found in zip(gold, predicted, strict=True):
        for column, entities in enumerate((wanted & found, found - wanted, wanted - found)):
            for entity in entities:
                tally.setdefault(entity.type, [0, 0, 0])[column] += 1
    return {name: Counts(*tally[name]) for name in sorted(tally)}


def span_counts(gold: Labelling, predicted: Labelling) -> Counts:
    """Counts of spans, whatever their types: how well the extraction stages find mentions.

    A span that stands under two types counts once.
    """
    pairs = zip(gold, predicted, strict=True)
    return sum((_compare(_spans(wanted), _spans(found)) for wanted, found in pairs), Counts())


def micro(by_type: Mapping[str, Counts]) -> Counts:
    """All types' counts summed: every entity weighs the same."""
    return sum(by_type.values(), Counts())


def macro(by_type: Mapping[str, Counts]) -> Averages:
    """Plain means over the given types: every type weighs the same; all 0 where there is none."""
    n_types = max(len(by_type), 1)
    counts = by_type.values()
    return Averages(
        sum(c.precision for c in counts) / n_types,
        sum(c.recall for c in counts) / n_types,
        sum(c.f1 for c in counts) / n_types,
    )


def document_counts(gold: Labelling, predicted: Labelling) -> NDArray[np.int64]:
    """Strict tp, fp and fn of each document, ``(n_documents, 3) int64``; what resampling works on."""
    rows = [
        (len(wanted & found), len(found - wanted), len(wanted - found))
        for wanted, found in zip(gold, predicted, strict=True)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _spans(entities: Collection[Entity]) -> frozenset[tuple[int, int]]:
    return frozenset((entity.start, entity.end) for entity in entities)


def _compare(wanted: frozenset[tuple[int, int]], found: frozenset[tuple[int, int]]) -> Counts:
    return Counts(len(wanted & found), len(found - wanted), len(wanted - found))
