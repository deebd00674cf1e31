"""How far probabilities mean what they say."""

from typing import Literal, TypeAlias

import numpy as np

from el4ner.vote.table import BoolArray, FloatArray, IntArray

BINS = 10
"""How many bins there are where nothing else is said."""
Binning: TypeAlias = Literal["number", "width"]
"""What the bins have in common: how many probabilities they hold, or the width of their part of [0, 1]."""


def calibration_error(
    probabilities: FloatArray, right: BoolArray, bins: int = BINS, equal: Binning = "number"
) -> float:
    """Expected calibration error: the mean distance of probability and share right over the bins; 0 is best."""
    stated, found, sizes = reliability_bins(probabilities, right, bins, equal)
    return float((np.abs(stated - found) * sizes).sum() / max(sizes.sum(), 1))


def reliability_bins(
    probabilities: FloatArray, right: BoolArray, bins: int = BINS, equal: Binning = "number"
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean probability, share right, and number of candidates of each bin, ``(bins,)`` each; empty bins are left out."""
    parts = [part for part in binned(probabilities, bins, equal) if len(part)]
    stated = np.array([probabilities[part].mean() for part in parts])
    found = np.array([right[part].mean() for part in parts])
    return stated, found, np.array([float(len(part)) for part in parts])


def binned(probabilities: FloatArray, bins: int = BINS, equal: Binning = "number") -> list[IntArray]:
    """The rows of each bin, lowest probabilities first; bin i of equal width holds ``[i / bins, (i + 1) / bins)``, the last 1."""
    if equal == "number":
        return np.array_split(np.argsort(probabilities, kind="stable"), bins)
    number = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    return [np.flatnonzero(number == index) for index in range(bins)]


def risk_coverage(probabilities: FloatArray, right: BoolArray) -> tuple[FloatArray, FloatArray]:
    """``(n,)`` twice: the part of the candidates answered, surest first, and the share wrong among them."""
    wrong = ~right[np.argsort(-probabilities, kind="stable")]
    numbers = np.arange(1, len(right) + 1)
    return numbers / max(len(right), 1), np.cumsum(wrong) / numbers
