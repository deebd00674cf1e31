"""A combiner that was learned: what turns a table of votes into calibrated probabilities, and its file.

It has two heads: one looks at single documents alone, the other one also at what the other documents of the same call
say of a surface. A pipeline, which meets documents one by one, uses the first.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from el4ner.combine.agreement import Agreement
from el4ner.combine.corpus import Estimate, estimate
from el4ner.combine.decision import Preference
from el4ner.combine.features import Features, build_features
from el4ner.combine.platt import PlattScaling, logit, sigmoid
from el4ner.errors import InputError
from el4ner.text.files import load_json
from el4ner.vote.table import FloatArray, VoteTable

MANY_DOCUMENTS = 200
"""From so many labelled documents on, each member has a weight for each type."""

SHRINKAGE_DOCUMENTS = 20.0
"""From how many labelled documents on the learned probabilities count for more than the label-free ones in decisions."""
_FORMAT = 3
_FORMER_NAMES = {
    "alone": "per_document",
    "curve": "calibration",
    "limits": "thresholds",
    "cuts": "quantiles",
    "ease": "easiness",
    "sharpness": "discrimination",
}
"""What fields were called in files of format 2, which are still read, and what they are called now."""


@dataclass(frozen=True, slots=True)
class CombinerHead:
    """One way from votes to probabilities.

    Attributes:
        model: of the agreement of the members, or of members and corpus.
        weights: ``(d,)``, of the features; none where it was learned without labels.
        calibration: from the regression's probability to the calibrated one.
        thresholds: the probability from which a candidate is kept, for each preference.
    """

    model: Agreement
    weights: FloatArray
    calibration: PlattScaling
    thresholds: dict[Preference, float]

    def raw(self, features: Features) -> FloatArray:
        """``(n,)``: the regression's probabilities, before calibration."""
        return logistic(features.values, features.prior, self.weights)


@dataclass(frozen=True, slots=True)
class Combiner:
    """A combiner learned from a table.

    Attributes:
        members: names of the members, in order.
        types: types with weights of their own.
        per_document: for documents taken one by one.
        corpus: for the documents of one call together, or None where it was learned without their texts.
        missing: right entities that no member found, as a part of those that some found.
        documents: how many labelled documents it was learned from; 0: its probabilities are not calibrated.
        shapes: whether it was learned with texts, and looks at what surfaces look like.
    """

    members: tuple[str, ...]
    types: tuple[str, ...]
    per_document: CombinerHead
    corpus: CombinerHead | None
    missing: float
    documents: int
    shapes: bool

    def estimate(self, table: VoteTable, texts: Sequence[str] | None = None) -> Estimate:
        """The label-free estimate that the combiner starts from, by the models it was learned with.

        Raises:
            InputError: the members are not those it was learned with.
        """
        if table.members != self.members:
            names = ", ".join(self.members)
            raise InputError(f"the combiner was learned with the members {names}; give the same names")
        return estimate(table, texts, models=(self.per_document.model, self.corpus.model if self.corpus else None))

    def probabilities(self, table: VoteTable, start: Estimate, texts: Sequence[str] | None = None) -> FloatArray:
        """``(n,)``: the calibrated probability of each candidate; the estimate itself where there were no labels.

        Args:
            table: the candidates.
            start: their label-free estimate; says whether the other documents take part.
            texts: of each document, for the shapes of surfaces.

        Raises:
            InputError: it was learned with texts, and there are none.
        """
        if not self.documents:
            return start.probabilities
        if self.shapes and texts is None:
            raise InputError("the combiner was learned with the documents' texts; give them too: --documents PATH")
        head = self.per_document if start.corpus_model is None or self.corpus is None else self.corpus
        member_types = self.documents >= MANY_DOCUMENTS
        return head.calibration(head.raw(build_features(table, self.types, start, texts, member_types=member_types)))

    def shrink(self, start: Estimate, probabilities: FloatArray) -> FloatArray:
        """``(n,)``: probabilities to decide by: drawn towards the label-free estimate while labelled documents are few.

        A level learned from twenty documents is calibrated on average, but varies too much to cut by.
        """
        if not self.documents:
            return probabilities
        return shrink(start.probabilities, probabilities, self.documents)

    @property
    def missed(self) -> float:
        """``missing``, shrunk in the same way."""
        return self.missing * learned_weight(self.documents)

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


def load_combiner(path: Path) -> Combiner:
    """Read a combiner back.

    Raises:
        InputError: the file cannot be read, or holds no combiner of this format.
    """
    try:
        data: dict[str, Any] = load_json(path)
        if data["format"] not in (2, _FORMAT):
            raise ValueError
        if data["format"] == 2:
            data = _with_present_names(data)
        heads = _head(data["per_document"]), data["corpus"] and _head(data["corpus"])
        names = tuple(data["members"]), tuple(data["types"])
        return Combiner(*names, *heads, float(data["missing"]), int(data["documents"]), bool(data["shapes"]))
    except OSError as error:
        raise InputError(
            f"cannot read combiner {path}: {error.strerror or error}; give a file that --fit wrote"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise InputError(f"{path} holds no combiner that this version knows; learn it again with --fit") from None


def shrink(free: FloatArray, learned: FloatArray, documents: int) -> FloatArray:
    """``(n,)``: the mean logit of label-free and learned probabilities, for as many labelled documents."""
    trust = learned_weight(documents)
    return sigmoid(trust * logit(learned) + (1 - trust) * logit(free))


def logistic(values: FloatArray, prior: FloatArray, weights: FloatArray) -> FloatArray:
    """``(n,)``: the logistic regression's probabilities, for values ``(n, d)``, prior logits ``(n,)``, weights ``(d,)``."""
    return sigmoid(prior + values @ weights)


def learned_weight(documents: int) -> float:
    """The part, from 0 to 1, that what was learned from so many documents has in decisions."""
    return documents**2 / (documents**2 + SHRINKAGE_DOCUMENTS**2)


def _head(data: dict[str, Any]) -> CombinerHead:
    model = Agreement(**{name: np.array(values, dtype=np.float64) for name, values in data["model"].items()})
    weights = np.array(data["weights"], dtype=np.float64)
    thresholds = {name: float(threshold) for name, threshold in data["thresholds"].items()}
    return CombinerHead(model, weights, PlattScaling(**data["calibration"]), thresholds)


def _with_present_names(data: Any) -> Any:
    """The content of a file of format 2 with the present names of its fields."""
    if not isinstance(data, dict):
        return data
    return {_FORMER_NAMES.get(name, name): _with_present_names(value) for name, value in data.items()}


def _listed(value: Any) -> Any:
    return value.tolist()
