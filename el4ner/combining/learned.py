"""A combiner learned from labelled documents: logistic regression that starts from the label-free estimate.

Weights are held at zero, which is the label-free estimate itself, the more strongly the more special they are: a few
documents correct the level and the worth of each member, many documents also members on single types.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from el4ner.combining.calibration import Curve, fit_curve
from el4ner.combining.features import Features, build_features
from el4ner.ensemble.agreement import Agreement
from el4ner.ensemble.corpus import Estimate, estimate
from el4ner.ensemble.table import BoolArray, FloatArray, IntArray, VoteTable
from el4ner.errors import InputError

STRENGTHS = (2.0, 8.0, 32.0, 512.0)
"""How strongly all weights are held at zero; the strongest that cross-validation cannot tell from the best."""

_FORMAT = 1
_STEPS = 12
_FOLDS = 5
_MOST_MISSING = 5.0
_SETTLED = 1e-3
_LEAST_RIDGE = 0.5
_MOST_ROWS = 50_000
_MANY_DOCUMENTS = 200


@dataclass(frozen=True, slots=True)
class Combiner:
    """A learned combiner.

    Attributes:
        members: names of the members, in order.
        types: types with weights of their own.
        model: of the members' agreement.
        corpus_model: of the agreement of members and corpus, or None.
        weights: ``(d,)``, of the features.
        curve: from the regression's probability to the calibrated one.
        missing: right entities that no member found, as a part of those that some found.
        documents: how many labelled documents it was learned from.
    """

    members: tuple[str, ...]
    types: tuple[str, ...]
    model: Agreement
    corpus_model: Agreement | None
    weights: FloatArray
    curve: Curve
    missing: float
    documents: int

    def estimate(self, table: VoteTable, texts: Sequence[str] | None = None) -> Estimate:
        """The label-free estimate that the combiner starts from, by the models it was learned with.

        Raises:
            InputError: the members are not those it was learned with.
        """
        if table.members != self.members:
            names = ", ".join(self.members)
            raise InputError(f"the combiner was learned with the members {names}; give the same names in that order")
        return estimate(table, texts, models=(self.model, self.corpus_model))

    def probabilities(self, table: VoteTable, start: Estimate, texts: Sequence[str] | None = None) -> FloatArray:
        """``(n,)``: the calibrated probability of each candidate; ``start`` is the label-free estimate of the same table."""
        member_types = self.documents >= _MANY_DOCUMENTS
        features = build_features(table, self.types, start, texts, member_types=member_types)
        return self.curve(_chance(features.values, features.prior, self.weights))

    def save(self, path: Path) -> None:
        """Write it as JSON; it holds no text.

        Raises:
            InputError: the file cannot be written.
        """
        data = {"format": _FORMAT, **asdict(self)}
        try:
            path.write_text(json.dumps(data, default=_listed, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror or error}; give a path that can be written"
            ) from None


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
class Learned:
    """A combiner with what it says of its own labelled documents when it has not seen them.

    Attributes:
        combiner: learned from all of them.
        rows: the candidates of the labelled documents.
        held_out: ``(rows,)``, calibrated by cross-validation; the curve too is fitted to other documents than it is
            applied to.
        strength: the one that was chosen.
    """

    combiner: Combiner
    rows: IntArray
    held_out: FloatArray
    strength: float


def learn(table: VoteTable, start: Estimate, labels: Labels, texts: Sequence[str] | None = None) -> Learned:
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
    features = build_features(table, table.types, start, texts, member_types=documents >= _MANY_DOCUMENTS).take(rows)
    right = labels.right[rows]
    folds = np.random.default_rng(0).permutation(table.n_documents)[table.document[rows]] % _FOLDS
    trials = {strength: _cross_validated(features, right, folds, strength) for strength in STRENGTHS}
    strength = _strongest_good(trials, right, table.document[rows])
    raw = trials[strength]
    weights = _regress(features, right, np.arange(len(rows)), strength)
    missing = min(max(0.0, labels.n_gold / max(int(right.sum()), 1) - 1), _MOST_MISSING)
    models = start.model, start.corpus_model
    combiner = Combiner(table.members, table.types, *models, weights, fit_curve(raw, right), missing, documents)
    return Learned(combiner, rows, _cross_calibrated(raw, right, folds), strength)


def load_combiner(path: Path) -> Combiner:
    """Read a combiner back.

    Raises:
        InputError: the file cannot be read, or holds no combiner of this format.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            raise ValueError
        models = _agreement(data["model"]), data["corpus_model"] and _agreement(data["corpus_model"])
        weights = np.array(data["weights"], dtype=np.float64)
        curve = Curve(**data["curve"])
        names = tuple(data["members"]), tuple(data["types"])
        return Combiner(*names, *models, weights, curve, float(data["missing"]), int(data["documents"]))
    except OSError as error:
        raise InputError(
            f"cannot read combiner {path}: {error.strerror or error}; give a file that --fit wrote"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path} holds no combiner that this version knows; learn it again with --fit") from None


def _regress(features: Features, right: BoolArray, rows: IntArray, strength: float) -> FloatArray:
    """Newton's method on the penalised likelihood; of very many rows a fixed random part."""
    if len(rows) > _MOST_ROWS:
        rows = np.random.default_rng(0).choice(rows, _MOST_ROWS, replace=False)
    values, prior, labels = features.values[rows], features.prior[rows], right[rows]
    ridge = strength * features.strength + _LEAST_RIDGE
    weights = np.zeros(values.shape[1])
    cost = _cost(values, prior, labels, ridge, weights)
    for _ in range(_STEPS):
        chance = _chance(values, prior, weights)
        slope = values.T @ (labels - chance) - ridge * weights
        curvature = (values.T * (chance * (1 - chance))) @ values + np.diag(ridge)
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
    chance = np.zeros(len(right))
    for fold in range(_FOLDS):
        mine = folds == fold
        weights = _regress(features, right, np.flatnonzero(~mine), strength)
        chance[mine] = _chance(features.values[mine], features.prior[mine], weights)
    return chance


def _cross_calibrated(raw: FloatArray, right: BoolArray, folds: IntArray) -> FloatArray:
    calibrated = np.zeros(len(right))
    for fold in range(_FOLDS):
        mine = folds == fold
        calibrated[mine] = fit_curve(raw[~mine], right[~mine])(raw[mine])
    return calibrated


def _chance(values: FloatArray, prior: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh((prior + values @ weights) / 2)))


def _strongest_good(trials: dict[float, FloatArray], right: BoolArray, document: IntArray) -> float:
    """The greatest strength whose loss is within one standard error of the best one's; documents are what varies."""
    losses = {strength: _losses(chance, right) for strength, chance in trials.items()}
    best = min(losses.values(), key=lambda values: float(values.sum()))
    good = []
    for strength, values in losses.items():
        worse = np.bincount(document, values - best)
        if worse.sum() <= np.sqrt((worse**2).sum()):
            good.append(strength)
    return max(good)


def _losses(chance: FloatArray, right: BoolArray) -> FloatArray:
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    return np.asarray(-np.log(np.where(right, chance, 1 - chance)))


def _agreement(data: dict[str, list[float]]) -> Agreement:
    return Agreement(**{name: np.array(values, dtype=np.float64) for name, values in data.items()})


def _listed(value: Any) -> Any:
    return value.tolist()
