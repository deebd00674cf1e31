"""Learning a combiner from labelled documents: logistic regression that starts from the label-free estimate.

Weights are held at zero, which is the label-free estimate itself, the more strongly the more special they are: a few
documents correct the level and the worth of each member, many documents also members on single types.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from el4ner.combine.combiner import MANY_DOCUMENTS, Combiner, CombinerHead, learned_weight, logistic, shrink
from el4ner.combine.corpus import Estimate, no_corpus
from el4ner.combine.decision import BETA, Preference, decide
from el4ner.combine.features import Features, build_features
from el4ner.combine.platt import PlattScaling, fit_platt
from el4ner.errors import InputError
from el4ner.vote.table import BoolArray, FloatArray, IntArray, VoteTable

STRENGTHS = (2.0, 8.0, 32.0, 512.0)
"""How strongly all weights are held at zero; the strongest that cross-validation cannot tell from the best."""

_STEPS = 12
_FOLDS = 5
_MAX_MISSING = 5.0
_SETTLED = 1e-3
_MIN_RIDGE = 0.5
_MAX_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Labels:
    """What labelled documents say.

    Attributes:
        labelled: ``(documents,)``, which documents have labels.
        right: ``(n,)``, which candidates are in gold; without meaning in documents without labels.
        n_gold: number of gold entities, found by a member or not.
    """

    labelled: BoolArray
    right: BoolArray
    n_gold: int


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """A combiner with what it says of its own labelled documents when it has not seen them.

    Attributes:
        combiner: learned from all of them.
        rows: the candidates of the labelled documents.
        held_out: ``(rows,)``, calibrated by cross-validation; calibration too is fitted to other documents than it is
            applied to.
        strength: the one that was chosen.
    """

    combiner: Combiner
    rows: IntArray
    held_out: FloatArray
    strength: float


def learn(table: VoteTable, start: Estimate, labels: Labels, texts: Sequence[str] | None = None) -> CrossFitted:
    """Learn from the candidates of labelled documents.

    Args:
        table: all candidates, of labelled and other documents.
        start: the label-free estimate of all of them.
        labels: what is known of the labelled documents.
        texts: of all documents; None: not known.

    Raises:
        InputError: the labelled documents hold no candidate.
    """
    rows = np.flatnonzero(labels.labelled[table.document])
    if not len(rows):
        raise InputError("no member found anything in the labelled documents; there is nothing to learn from")
    documents = int(labels.labelled.sum())
    missing = min(max(0.0, labels.n_gold / max(int(labels.right[rows].sum()), 1) - 1), _MAX_MISSING)

    def head(begin: Estimate) -> tuple[CombinerHead, FloatArray, float]:
        features = build_features(table, table.types, begin, texts, member_types=documents >= MANY_DOCUMENTS)
        found, held_out, strength = _learn_head(table.take(rows), begin, features.take(rows), labels.right[rows])
        sure = shrink(begin.probabilities[rows], held_out, documents)
        thresholds = thresholds_of(table.take(rows), sure, missing * learned_weight(documents))
        return replace(found, thresholds=thresholds), held_out, strength

    per_document, held_out, strength = head(_by_document(table, start))
    corpus = None
    if start.corpus_model is not None:
        corpus, held_out, strength = head(start)
    combiner = Combiner(table.members, table.types, per_document, corpus, missing, documents, shapes=texts is not None)
    return CrossFitted(combiner, rows, held_out, strength)


def unlabelled_combiner(table: VoteTable, start: Estimate) -> Combiner:
    """The label-free estimate as a combiner: its models and limits, and no weights."""

    def head(begin: Estimate) -> CombinerHead:
        thresholds = thresholds_of(table, begin.probabilities, 0.0)
        return CombinerHead(begin.corpus_model or begin.model, np.zeros(0), PlattScaling(), thresholds)

    corpus = None if start.corpus_model is None else head(start)
    return Combiner(table.members, table.types, head(_by_document(table, start)), corpus, 0.0, 0, shapes=False)


def _by_document(table: VoteTable, start: Estimate) -> Estimate:
    """The estimate of single documents: the corpus takes no part."""
    if start.corpus_model is None:
        return start
    return Estimate(start.model.probabilities(table), start.model, None, no_corpus(len(table)))


def _learn_head(
    table: VoteTable, start: Estimate, features: Features, right: BoolArray
) -> tuple[CombinerHead, FloatArray, float]:
    """A head without limits, the held-out probabilities of the labelled candidates, and the strength that was chosen."""
    folds = np.random.default_rng(0).permutation(table.n_documents)[table.document] % _FOLDS
    trials = {strength: _cross_validated(features, right, folds, strength) for strength in STRENGTHS}
    strength = _strongest_good(trials, right, table.document)
    raw = trials[strength]
    weights = _regress(features, right, np.arange(len(right)), strength)
    held_out = _cross_calibrated(raw, right, folds)
    return CombinerHead(start.corpus_model or start.model, weights, fit_platt(raw, right), {}), held_out, strength


def thresholds_of(table: VoteTable, probabilities: FloatArray, missing: float) -> dict[Preference, float]:
    """For each preference, the probability from which keeping a candidate adds to the expected F of these."""
    total = missing * float(probabilities.sum())
    return {prefer: decide(table, probabilities, prefer=prefer, missing=total).threshold for prefer in BETA}


def _regress(features: Features, right: BoolArray, rows: IntArray, strength: float) -> FloatArray:
    """Newton's method on the penalised likelihood; of very many rows a fixed random part."""
    if len(rows) > _MAX_ROWS:
        rows = np.random.default_rng(0).choice(rows, _MAX_ROWS, replace=False)
    values, prior, labels = features.values[rows], features.prior[rows], right[rows]
    ridge = strength * features.strength + _MIN_RIDGE
    weights = np.zeros(values.shape[1])
    cost = _cost(values, prior, labels, ridge, weights)
    for _ in range(_STEPS):
        found = logistic(values, prior, weights)
        slope = values.T @ (labels - found) - ridge * weights
        curvature = (values.T * (found * (1 - found))) @ values + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        while (trial := _cost(values, prior, labels, ridge, weights + step)) > cost and np.abs(step).max() > _SETTLED:
            step = step / 2
        if trial > cost:
            break
        weights, cost = weights + step, trial
        if np.abs(step).max() < _SETTLED:
            break
    return weights


def _cost(values: FloatArray, prior: FloatArray, labels: BoolArray, ridge: FloatArray, weights: FloatArray) -> float:
    """What the regression minimises: the negative log-likelihood and the penalty."""
    logits = prior + values @ weights
    return float(np.logaddexp(0, logits).sum() - logits[labels].sum() + (ridge * weights**2).sum() / 2)


def _cross_validated(features: Features, right: BoolArray, folds: IntArray, strength: float) -> FloatArray:
    found = np.zeros(len(right))
    for fold in range(_FOLDS):
        mine = folds == fold
        weights = _regress(features, right, np.flatnonzero(~mine), strength)
        found[mine] = logistic(features.values[mine], features.prior[mine], weights)
    return found


def _cross_calibrated(raw: FloatArray, right: BoolArray, folds: IntArray) -> FloatArray:
    calibrated = np.zeros(len(right))
    for fold in range(_FOLDS):
        mine = folds == fold
        calibrated[mine] = fit_platt(raw[~mine], right[~mine])(raw[mine])
    return calibrated


def _strongest_good(trials: dict[float, FloatArray], right: BoolArray, document: IntArray) -> float:
    """The greatest strength whose loss is within one standard error of the best one's; documents are what varies."""
    losses = {strength: _losses(found, right) for strength, found in trials.items()}
    best = min(losses.values(), key=lambda values: float(values.sum()))
    good = []
    for strength, values in losses.items():
        worse = np.bincount(document, values - best)
        if worse.sum() <= np.sqrt((worse**2).sum()):
            good.append(strength)
    return max(good)


def _losses(found: FloatArray, right: BoolArray) -> FloatArray:
    found = np.clip(found, 1e-6, 1 - 1e-6)
    return np.asarray(-np.log(np.where(right, found, 1 - found)))
