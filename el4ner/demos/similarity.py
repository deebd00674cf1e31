"""Span-level sentence similarity (EL4NER, section on demonstration retrieval).

Notation: m input spans, n spans of a pool sentence, d dimensions, p pool sentences, t their spans in all.
"""

import numpy as np
import numpy.typing as npt

from el4ner.demos.ragged import Ints

Floats = npt.NDArray[np.float32]


def span_sim(inputs: Floats, pool: Floats, weights: Floats) -> float | None:
    """``SpanSim(S, C) = sum_s w(s) max_t Sim(s, t) / sum_s w(s)``, with Sim the inner product of unit vectors.

    Asymmetric: it asks how well the pool sentence covers the input's spans, not the other way round.

    Args:
        inputs: ``(m, d)`` unit vectors of the input's spans, S.
        pool: ``(n, d)`` unit vectors of the pool sentence's spans, C.
        weights: ``(m,)`` weights w(s), none negative.

    Returns:
        A value in [-1, 1], or None where the paper's formula is undefined: S or C empty, or all weights 0.

    >>> S = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> C = np.array([[0.6, 0.8]], dtype=np.float32)
    >>> round(span_sim(S, C, np.array([4, 1], dtype=np.float32)), 3)
    0.64
    >>> span_sim(S, C, np.zeros(2, dtype=np.float32)) is None
    True
    """
    if len(pool) == 0 or not is_defined(weights):
        return None
    return float(weighted_mean((inputs @ pool.T).max(axis=1, keepdims=True), weights)[0])


def span_sim_many(similarities: Floats, starts: Ints, weights: Floats) -> Floats | None:
    """SpanSim of one input with many pool sentences.

    Args:
        similarities: ``(m, t)`` Sim of each input span with the spans of all p sentences, side by side.
        starts: ``(p + 1,)`` where each sentence's columns begin, and the end.
        weights: ``(m,)`` weights of the input spans.

    Returns:
        ``(p,)`` scores, ``-inf`` for a sentence without spans (a 0 would beat a sentence that is truly unlike);
        None where all weights are 0.

    >>> similarities = np.array([[0.2, 0.9, -0.5]], dtype=np.float32)
    >>> span_sim_many(similarities, np.array([0, 2, 2, 3]), np.ones(1, dtype=np.float32)).round(1).tolist()
    [0.8999999761581421, -inf, -0.5]
    """
    if not is_defined(weights):
        return None
    return weighted_mean(max_sim(similarities, starts), weights)


def max_sim(similarities: Floats, starts: Ints) -> Floats:
    """``(m, p)``: the best similarity of each input span within each sentence, ``-inf`` where it has no span."""
    best = np.full((similarities.shape[0], len(starts) - 1), -np.inf, dtype=np.float32)
    filled = np.flatnonzero(np.diff(starts))
    if filled.size:
        best[:, filled] = np.maximum.reduceat(similarities, starts[filled], axis=1)
    return best


def weighted_mean(best: Floats, weights: Floats) -> Floats:
    """``(p,)`` means over the m rows of ``best``; rows of weight 0 do not count, not even where they are ``-inf``."""
    counted = weights > 0
    share = (weights[counted] / weights[counted].sum()).astype(np.float32)
    return np.asarray(share @ best[counted], dtype=np.float32)


def is_defined(weights: Floats) -> bool:
    """Whether SpanSim has a value for these weights: at least one is above 0."""
    return bool((weights > 0).any())
