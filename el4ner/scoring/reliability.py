"""How far the scores of predictions mean what they say: calibration error, and precision by score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from el4ner.combine.calibration import BINS, binned, calibration_error
from el4ner.scoring.counts import Counts, Labelling
from el4ner.scoring.labels import TypeSelection
from el4ner.text.spans import Entity

Scores: TypeAlias = Mapping[Entity, float]
"""The scores of a document's entities; those without one are missing."""


@dataclass(frozen=True, slots=True)
class Band:
    """Predictions with scores in ``[low, high)``; the last band holds 1 as well.

    Attributes:
        low: least score.
        high: end of the band.
        mean: mean score of its predictions.
        counts: how many of them are right and wrong; nothing is missed here.
    """

    low: float
    high: float
    mean: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class Reliability:
    """How the scores of one system fare against gold.

    Attributes:
        error: expected calibration error over ten bands of equal width: the mean distance of mean score and precision,
            bands weighted by their predictions; from 0, which is best, to 1.
        bands: those that hold predictions, from the least scores to the greatest.
    """

    error: float
    bands: tuple[Band, ...]


def measure(gold: Labelling, scores: Sequence[Scores]) -> Reliability | None:
    """The reliability of scores; None where there are none, or where they are no probabilities.

    Args:
        gold: of each document.
        scores: of each document's predictions.
    """
    pairs = [
        (score, entity in wanted) for wanted, given in zip(gold, scores, strict=True) for entity, score in given.items()
    ]
    stated = np.array([score for score, _ in pairs], dtype=np.float64)
    right = np.array([is_right for _, is_right in pairs], dtype=np.bool_)
    if not len(pairs) or not ((stated >= 0) & (stated <= 1)).all():
        return None
    parts = binned(stated, BINS, "width")
    bands = [
        Band(
            index / BINS,
            (index + 1) / BINS,
            float(stated[rows].mean()),
            Counts(int(right[rows].sum()), int((~right[rows]).sum())),
        )
        for index, rows in enumerate(parts)
        if len(rows)
    ]
    return Reliability(calibration_error(stated, right, BINS, "width"), tuple(bands))


def selected(selection: TypeSelection, scores: Scores) -> dict[Entity, float]:
    """The scores of the entities that are scored, under their new names; of those that become equal the greatest."""
    kept: dict[Entity, float] = {}
    for entity, score in scores.items():
        for renamed in selection.apply([entity]):
            kept[renamed] = max(score, kept.get(renamed, score))
    return kept
