"""What agreement alone says of members and candidates: no labels are needed.

Every candidate has a latent *trait* ``a``, standard normal among all that could be marked, and member j marks it with
probability ``sigmoid(alpha_j + beta_j a)`` (the two-parameter item response model; Birnbaum 1968). ``beta_j`` says how
sharply a member tells what others find too from what they do not. Candidates that nobody marked are never seen, so the
sample is truncated, and the unseen part is estimated with the rest. The reference is one more annotator, sharper than
any member, who marks as much as the members do on average; a candidate's probability is that of being marked by it.

Notation: n candidates, P different rows of codes, M members, Q nodes of trait.
"""

from dataclasses import dataclass

import numpy as np

from el4ner.combine.answer_weights import answer_weights
from el4ner.combine.confidence_bins import bin_by_confidence, confidence_quantiles
from el4ner.combine.platt import sigmoid
from el4ner.vote.table import ABSTAINED, N_CODES, CodeArray, FloatArray, IntArray, VoteTable

NODES = np.linspace(-4.0, 4.0, 33)
"""``(Q,)``, the values of trait over which is summed."""

_PRIOR = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
_DESIGN = np.stack([np.ones_like(NODES), NODES])
_CENTRE = np.array([[-2.0], [1.5]])
_PRECISION = np.array([[0.05], [4.0]])
_LEAST_DISCRIMINATION, _MOST_DISCRIMINATION = 0.05, 3.0
_MAX_UNSEEN = 0.9
_REFERENCE_FACTOR = 2.0
_ROUNDS = 25
_SETTLED = 2e-3
_SAMPLE = 20_000
_CHUNK = 50_000
_MAX_KEYS = 2**58


@dataclass(frozen=True, slots=True)
class Agreement:
    """The model of M members' agreement.

    Attributes:
        values: ``(8,)``, how much each code from ``NOT_FOUND`` to ``FOUND_SURE`` counts as a vote.
        quantiles: ``(3, M)``, bounds of the bins of each member's stated probabilities.
        easiness: ``(M,)``, alpha: how readily each member marks a candidate of mean trait, in logits.
        discrimination: ``(M,)``, beta, in logits per standard deviation of trait.
        reference: ``(Q,)``, how probably the reference marks a candidate of each trait.
        reliability: ``(M,)``, the F1 of each member with a colleague, as the model expects it.
    """

    values: FloatArray
    quantiles: FloatArray
    easiness: FloatArray
    discrimination: FloatArray
    reference: FloatArray
    reliability: FloatArray

    def probabilities(self, table: VoteTable) -> FloatArray:
        """``(n,)``: how probably the reference marks each candidate; an estimate without labels, not a calibrated one."""
        patterns, place, _ = _patterns(bin_by_confidence(table, self.quantiles))
        found = np.empty(len(patterns))
        for first in range(0, len(patterns), _CHUNK):
            rows = slice(first, first + _CHUNK)
            found[rows] = (
                _posterior(*_evidence(patterns[rows], self.values), self.easiness, self.discrimination) @ self.reference
            )
        return found[place]

    def evidence(self, table: VoteTable) -> FloatArray:
        """``(n, M)``: what each member says of each candidate, in votes; 0 where it abstained."""
        return _evidence(bin_by_confidence(table, self.quantiles), self.values)[0]


def fit_agreement(table: VoteTable) -> Agreement:
    """The model that agrees best with the members' answers, by expectation maximisation.

    Of more than 20,000 candidates a fixed random part is used. Two members always come out alike but for their numbers
    of answers: agreement cannot tell which of two is right.
    """
    quantiles = confidence_quantiles(table)
    codes = bin_by_confidence(table, quantiles)
    if len(table) > _SAMPLE:
        codes = codes[np.random.default_rng(0).choice(len(table), _SAMPLE, replace=False)]
    values = answer_weights(codes)
    patterns, _, counts = _patterns(codes)
    votes, answered = _evidence(patterns, values)
    theta = np.repeat(_CENTRE, len(table.members), axis=1)
    asked = np.zeros((len(NODES), len(table.members)))
    for _ in range(_ROUNDS):
        seen = _posterior(votes, answered, *theta) * counts[:, None]
        unseen = _unseen(answered, counts, theta)
        asked = (seen + unseen).T @ answered
        updated = _maximise(theta, seen.T @ votes, asked)
        change, theta = np.abs(updated - theta).max(initial=0.0), updated
        if change < _SETTLED:
            break
    mass = asked.max(axis=1, initial=0.0)
    marks = sigmoid(_DESIGN.T @ theta)
    shares, reliability = _reliability(marks, mass)
    return Agreement(values, quantiles, theta[0], theta[1], _reference(marks @ shares, mass, theta[1]), reliability)


def _patterns(codes: CodeArray) -> tuple[CodeArray, IntArray, FloatArray]:
    """The different rows, the place of each row among them, and their counts."""
    key = np.zeros(len(codes), dtype=np.int64)
    span = 1
    for column in codes.T:
        if span > _MAX_KEYS:
            different, key = np.unique(key, return_inverse=True)
            span = len(different)
        key = key * (N_CODES + 1) + (column + 1)
        span *= N_CODES + 1
    _, first, place, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    return codes[first], place, counts.astype(np.float64)


def _evidence(patterns: CodeArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``(P, M)`` twice: votes, in parts, and who answered."""
    answered = patterns != ABSTAINED
    return np.where(answered, values[np.maximum(patterns, 0)], 0.0), answered.astype(np.float64)


def _posterior(votes: FloatArray, answered: FloatArray, easiness: FloatArray, discrimination: FloatArray) -> FloatArray:
    """``(P, Q)``: how probable each trait is after the votes."""
    logits = _DESIGN.T @ np.stack([easiness, discrimination])
    weights = votes @ logits.T - answered @ np.logaddexp(0, logits).T + np.log(_PRIOR)
    weights = np.exp(weights - weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _unseen(answered: FloatArray, counts: FloatArray, theta: FloatArray) -> FloatArray:
    """``(P, Q)``: how many candidates of each trait nobody marked, for those that were seen."""
    joint = np.exp(-answered @ np.logaddexp(0, _DESIGN.T @ theta).T) * _PRIOR
    probability = joint.sum(axis=1, keepdims=True)
    missed = np.minimum(probability, _MAX_UNSEEN)
    return np.asarray(joint / probability * counts[:, None] * missed / (1 - missed))


def _maximise(theta: FloatArray, voted: FloatArray, asked: FloatArray) -> FloatArray:
    """Two Newton steps of every member's logistic regression of votes on trait, towards a common centre."""
    for _ in range(2):
        marks = sigmoid(_DESIGN.T @ theta)
        slope = _DESIGN @ (voted - asked * marks) - _PRECISION * (theta - _CENTRE)
        weight = asked * marks * (1 - marks)
        h00, h01, h11 = weight.sum(0) + _PRECISION[0], NODES @ weight, NODES**2 @ weight + _PRECISION[1]
        step = np.stack([h11 * slope[0] - h01 * slope[1], h00 * slope[1] - h01 * slope[0]]) / (h00 * h11 - h01**2)
        theta = theta + np.clip(step, -1.0, 1.0)
        theta[1] = np.clip(theta[1], _LEAST_DISCRIMINATION, _MOST_DISCRIMINATION)
    return theta


def _reliability(marks: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each member's share in an average colleague, ``(M,)``, and its F1 with that colleague; both until they settle."""
    shares = np.full(marks.shape[1], 1 / max(marks.shape[1], 1))
    scores = shares
    for _ in range(10):
        colleague = marks @ shares
        scores = 2 * (mass * colleague) @ marks / (mass @ marks + mass @ colleague + 1e-12)
        shares = scores / (scores.sum() + 1e-12)
    return shares, scores


def _reference(colleague: FloatArray, mass: FloatArray, discrimination: FloatArray) -> FloatArray:
    """``(Q,)``: an annotator much sharper than the sharpest member, that marks as much as the average colleague."""
    discrimination_of_reference = _REFERENCE_FACTOR * discrimination.max(initial=_LEAST_DISCRIMINATION)
    low, high = -5.0, 5.0
    for _ in range(40):
        cut = (low + high) / 2
        low, high = (
            (cut, high)
            if mass @ sigmoid(discrimination_of_reference * (NODES - cut)) > mass @ colleague
            else (low, cut)
        )
    return sigmoid(discrimination_of_reference * (NODES - low))
