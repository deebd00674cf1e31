"""What to keep of candidates with probabilities: the consistent set of the greatest expected F."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from el4ner.vote.overlaps import best_flat, best_nested
from el4ner.vote.table import BoolArray, FloatArray, VoteTable

Preference = Literal["f1", "precision", "recall"]

BETA: dict[Preference, float] = {"f1": 1.0, "precision": 0.5, "recall": 2.0}
"""The F-measure that each preference aims at: recall counts beta times as much as precision."""

_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Decision:
    """What is kept.

    Attributes:
        kept: ``(n,)``, the consistent set.
        threshold: the probability from which a candidate adds to the expected F.
        expected: the expected F of the set, from 0 to 1.
    """

    kept: BoolArray
    threshold: float
    expected: float


def decide(
    table: VoteTable,
    probabilities: FloatArray,
    *,
    prefer: Preference = "f1",
    nested: bool = False,
    missing: float = 0.0,
) -> Decision:
    """The consistent set that maximises expected F, for probabilities ``(n,)``.

    The threshold t solves ``t = F(t) / (1 + beta^2)``: half of the F1 that can be reached (Lipton et al. 2014). The set
    for a threshold is the best one by the sum of what exceeds it, so that overlapping spans compete and do not add up. Moved
    step by step to half of what its set reaches, the threshold meets the best flat set (Dinkelbach 1967).

    Args:
        table: the candidates.
        probabilities: of each candidate.
        prefer: F1, or F0.5 (precision), or F2 (recall).
        nested: whether entities may lie inside others.
        missing: how many right entities are expected that are no candidates.
    """
    beta2 = BETA[prefer] ** 2
    right = float(probabilities.sum()) + missing
    choose = best_nested if nested else best_flat
    best = Decision(probabilities > 1, 0.0, 0.0)
    limit = _without_overlaps(probabilities, right, beta2)
    for _ in range(_ROUNDS):
        kept = choose(table, probabilities - limit)
        total = int(kept.sum()) + beta2 * right
        expected = (1 + beta2) * float(probabilities[kept].sum()) / total if total else 0.0
        if expected <= best.expected + 1e-9:
            break
        limit = expected / (1 + beta2)
        best = Decision(kept, limit, expected)
    return best


def _without_overlaps(probabilities: FloatArray, right: float, beta2: float) -> float:
    """The threshold if any candidates could stand together: near the one that is looked for."""
    ranked = np.sort(probabilities)[::-1]
    reached = np.cumsum(ranked) / np.maximum(np.arange(1, len(ranked) + 1) + beta2 * right, 1e-12)
    return float(reached.max(initial=0.0))
