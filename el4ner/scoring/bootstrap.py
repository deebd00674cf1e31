"""How far a score is down to the choice of documents: intervals and paired tests of micro-F1, documents resampled.

Notation: S systems, N documents, B samples. Counts are ``(S, N, 3)``: strict tp, fp and fn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from el4ner.errors import InputError

CountArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_CHUNK_CELLS = 4_000_000
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval, from the 2.5th to the 97.5th percentile of the bootstrap samples."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems on the same documents.

    Attributes:
        first: index of the first system.
        second: index of the second system.
        difference: F1 of the first minus F1 of the second.
        p_bootstrap: two-sided p-value, see ``bootstrap_p_value``.
        p_randomisation: two-sided p-value, see ``randomisation_p_value``.
    """

    first: int
    second: int
    difference: Interval
    p_bootstrap: float
    p_randomisation: float


def f1_scores(counts: CountArray | FloatArray) -> FloatArray:
    """F1 over the last axis (tp, fp, fn), ``(..., 3) -> (...)``; 0 where there is nothing to count."""
    doubled = 2.0 * counts[..., 0]
    total = doubled + counts[..., 1] + counts[..., 2]
    return np.divide(doubled, total, out=np.zeros_like(total), where=total > 0)


def bootstrap_f1(counts: CountArray, samples: int = 1000, seed: int = 13) -> FloatArray:
    """Micro-F1 of every system in each bootstrap sample, ``(S, N, 3) -> (B, S)``.

    A sample draws N documents with replacement, the same ones for all systems. The draws depend on N, ``samples`` and
    ``seed`` alone, so a system's interval does not change with what it is compared to.

    Raises:
        InputError: there is no document.
    """
    n_systems, n_documents, _ = counts.shape
    if n_documents == 0:
        raise InputError("there are no documents to resample; give a gold file that is not empty")
    flat = counts.transpose(1, 0, 2).reshape(n_documents, n_systems * 3).astype(np.float64)  # (N, S * 3)
    rng = np.random.default_rng(seed)
    scores = []
    for size in _chunks(samples, n_documents):
        drawn = rng.integers(n_documents, size=(size, n_documents))
        drawn += np.arange(size)[:, None] * n_documents
        times = np.bincount(drawn.ravel(), minlength=size * n_documents).reshape(size, n_documents)  # (b, N)
        scores.append(f1_scores((times.astype(np.float64) @ flat).reshape(size, n_systems, 3)))
    return np.concatenate(scores)


def interval(estimate: float, sampled: FloatArray) -> Interval:
    """The 95 % percentile interval of sampled values ``(B,)`` around a point estimate."""
    low, high = np.percentile(sampled, [2.5, 97.5])
    return Interval(estimate, float(low), float(high))


def bootstrap_p_value(difference: float, sampled: FloatArray) -> float:
    """Two-sided p-value of an observed difference d, from its bootstrap samples d_b ``(B,)``.

    ``p = (1 + #{b : |d_b - d| >= |d|}) / (B + 1)``: the samples, shifted to a mean of no difference, stand for what
    chance does where the systems are equally good. Never 0; 1 for identical systems.
    """
    extreme = np.abs(sampled - difference) >= abs(difference) - _TOLERANCE
    return (1 + int(extreme.sum())) / (len(sampled) + 1)


def randomisation_p_value(first: CountArray, second: CountArray, samples: int = 1000, seed: int = 13) -> float:
    """Two-sided p-value by approximate randomisation, from the documents' counts of two systems, each ``(N, 3)``.

    ``p = (1 + #{r : |d_r| >= |d|}) / (R + 1)``, where d_r is the difference of F1 after the systems' outputs were
    swapped in each document with probability 1/2. Never 0; 1 for identical systems.
    """
    changes = (second - first)[(first != second).any(axis=1)].astype(np.float64)  # (n, 3): documents that differ
    sums = np.stack([first.sum(axis=0), second.sum(axis=0)]).astype(np.float64)
    observed = abs(f1_scores(sums[0]) - f1_scores(sums[1]))
    rng = np.random.default_rng(seed)
    extreme = 0
    for size in _chunks(samples, max(len(changes), 1)):
        moved = rng.integers(2, size=(size, len(changes)), dtype=np.int8).astype(np.float64) @ changes  # (r, 3)
        differences = np.abs(f1_scores(sums[0] + moved) - f1_scores(sums[1] - moved))
        extreme += int((differences >= observed - _TOLERANCE).sum())
    return (1 + extreme) / (samples + 1)


def compare_systems(counts: CountArray, sampled: FloatArray, seed: int = 13) -> list[Comparison]:
    """Every pair of systems, from counts ``(S, N, 3)`` and the F1 that ``bootstrap_f1`` sampled, ``(B, S)``.

    The p-values are not corrected for the number of pairs.
    """
    observed = f1_scores(counts.sum(axis=1))  # (S,)
    comparisons = []
    for first in range(len(counts)):
        for second in range(first + 1, len(counts)):
            difference = float(observed[first] - observed[second])
            differences = sampled[:, first] - sampled[:, second]
            comparisons.append(
                Comparison(
                    first,
                    second,
                    interval(difference, differences),
                    bootstrap_p_value(difference, differences),
                    randomisation_p_value(counts[first], counts[second], len(sampled), seed),
                )
            )
    return comparisons


def _chunks(samples: int, width: int) -> list[int]:
    """Sizes that add up to ``samples``, so that ``size * width`` random numbers at once fit into memory."""
    size = max(1, min(samples, _CHUNK_CELLS // width))
    full, rest = divmod(samples, size)
    return [size] * full + [rest] * (rest > 0)
