"""How far probabilities mean what they say."""

import numpy as np

from el4ner.ensemble.table import BoolArray, FloatArray

_BINS = 10


def calibration_error(probabilities: FloatArray, right: BoolArray, bins: int = _BINS) -> float:
    """Expected calibration error: the mean distance of probability and share right, in bins of equal numbers; 0 is best."""
    stated, found, sizes = reliability_bins(probabilities, right, bins)
    return float((np.abs(stated - found) * sizes).sum() / max(sizes.sum(), 1))


def reliability_bins(
    probabilities: FloatArray, right: BoolArray, bins: int = _BINS
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean probability, share right, and number of candidates of each bin, ``(bins,)`` each; empty bins are left out."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    stated = np.array([probabilities[part].mean() for part in parts])
    found = np.array([right[part].mean() for part in parts])
    return stated, found, np.array([float(len(part)) for part in parts])


def risk_coverage(probabilities: FloatArray, right: BoolArray) -> tuple[FloatArray, FloatArray]:
    """``(n,)`` twice: the part of the candidates answered, surest first, and the share wrong among them."""
    wrong = ~right[np.argsort(-probabilities, kind="stable")]
    numbers = np.arange(1, len(right) + 1)
    return numbers / max(len(right), 1), np.cumsum(wrong) / numbers
