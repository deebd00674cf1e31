"""Probabilities that mean what they say: a curve fitted to held-out answers, and how far off they are."""

from dataclasses import dataclass

import numpy as np

from el4ner.ensemble.table import BoolArray, FloatArray

_STEPS = 20
_RIDGE = 50.0
_BINS = 10


@dataclass(frozen=True, slots=True)
class Curve:
    """Platt's curve: ``sigmoid(offset + slope * logit(p))``; 0 and 1 leave probabilities as they are."""

    offset: float = 0.0
    slope: float = 1.0

    def __call__(self, probabilities: FloatArray) -> FloatArray:
        """Calibrated probabilities, in the same order and of the same shape."""
        return _sigmoid(self.offset + self.slope * _logit(probabilities))


def fit_curve(probabilities: FloatArray, right: BoolArray) -> Curve:
    """The curve that fits held-out candidates ``(n,)`` best, held lightly at the identity; it never falls.

    Two parameters, because a freer curve (isotonic) follows chance where the labels are few.
    """
    design = np.stack([np.ones(len(right)), _logit(probabilities)])
    theta = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        chance = _sigmoid(theta @ design)
        slope = design @ (right - chance) - _RIDGE * (theta - [0.0, 1.0])
        curvature = (design * (chance * (1 - chance))) @ design.T + _RIDGE * np.eye(2)
        theta = theta + np.clip(np.linalg.solve(curvature, slope), -1.0, 1.0)
    return Curve(float(theta[0]), float(max(theta[1], 0.05)))


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


def _logit(probabilities: FloatArray) -> FloatArray:
    clipped = np.clip(probabilities, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))
