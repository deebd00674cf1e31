"""From a model's probability to a calibrated one: Platt scaling, fitted to held-out answers."""

from dataclasses import dataclass

import numpy as np

from el4ner.vote.table import BoolArray, FloatArray

_STEPS = 20
_RIDGE = 50.0
_MARGIN = 1e-4


@dataclass(frozen=True, slots=True)
class PlattScaling:
    """Platt scaling: ``sigmoid(offset + slope * logit(p))``; 0 and 1 leave probabilities as they are."""

    offset: float = 0.0
    slope: float = 1.0

    def __call__(self, probabilities: FloatArray) -> FloatArray:
        """Calibrated probabilities, in the same order and of the same shape."""
        return sigmoid(self.offset + self.slope * logit(probabilities, _MARGIN))


def fit_platt(probabilities: FloatArray, right: BoolArray) -> PlattScaling:
    """The scaling that fits held-out candidates ``(n,)`` best, held lightly at the identity; it never falls.

    Two parameters, because a freer form (isotonic regression) follows chance where the labels are few.
    """
    design = np.stack([np.ones(len(right)), logit(probabilities, _MARGIN)])
    theta = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        probability = sigmoid(theta @ design)
        slope = design @ (right - probability) - _RIDGE * (theta - [0.0, 1.0])
        curvature = (design * (probability * (1 - probability))) @ design.T + _RIDGE * np.eye(2)
        theta = theta + np.clip(np.linalg.solve(curvature, slope), -1.0, 1.0)
    return PlattScaling(float(theta[0]), float(max(theta[1], 0.05)))


def sigmoid(x: FloatArray) -> FloatArray:
    """Probabilities of logits; of the same shape."""
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def logit(probabilities: FloatArray, margin: float = 0.0025) -> FloatArray:
    """Logits, with probabilities kept off 0 and 1 by ``margin``: agreement is not to be trusted further than the usual one."""
    clipped = np.clip(probabilities, margin, 1 - margin)
    return np.asarray(np.log(clipped / (1 - clipped)))
