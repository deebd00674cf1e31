"""What the entities of these texts look like: a classifier of surface forms, which needs no labels.

Members that miss much agree with each other on the easy entities alone, and count against the one that finds more. What a
candidate looks like is a second view of it, apart from who named it (Blum and Mitchell 1998): a logistic regression, on the
words in and around a candidate and their shapes, for all types together and for each, learns the probabilities that
agreement gives, and judges each document by what the others taught it. Logits of the two views are averaged, as in a
product of experts (Hinton 2002).
"""

import re
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from el4ner.combine.platt import logit, sigmoid
from el4ner.combine.surfaces import TOKEN
from el4ner.text.language import HAN
from el4ner.vote.table import FloatArray, IntArray, VoteTable

MIN_CANDIDATES = 100
"""Candidates from which on there is something to learn."""
_FOLDS = 5
_PENALTY = 5.0
_WIDTH = 2**13
_SAMPLE = 20_000
_AROUND = 30
_HAN = re.compile(f"[{HAN}]")
_REPEATED = re.compile(r"(.)\1+")


def with_surface_forms(
    table: VoteTable, texts: Sequence[str], probabilities: FloatArray, targets: FloatArray
) -> FloatArray:
    """``(n,)``: probabilities after a look at what candidates look like; as they were where there are too few.

    Args:
        table: the candidates.
        texts: of each document.
        probabilities: ``(n,)``, by agreement.
        targets: ``(n,)``, what is learned from: the same, or 1 and 0 where documents are labelled.
    """
    fold = _folds(table)
    if len(table) < MIN_CANDIDATES or len(np.unique(fold)) < 2:
        return probabilities
    surface_probabilities = cross_predict(surface_features(table, texts), targets, fold)
    return sigmoid((logit(surface_probabilities) + logit(probabilities)) / 2)


def cross_predict(features: Any, targets: FloatArray, fold: IntArray) -> FloatArray:
    """``(n,)``: the probability of each candidate by what candidates of other folds taught.

    Args:
        features: ``(n, width)``, sparse.
        targets: ``(n,)``, probabilities to learn.
        fold: ``(n,)``.
    """
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    found = np.empty(len(targets))
    rng = np.random.default_rng(0)
    for number in np.unique(fold):
        rows = np.flatnonzero(fold != number)
        if len(rows) > _SAMPLE:
            rows = rng.choice(rows, _SAMPLE, replace=False)
        known = np.clip(targets[rows], 1e-6, 1 - 1e-6)
        # A probability is learned from as a right and a wrong example, weighted by it.
        model = LogisticRegression(C=1 / _PENALTY, max_iter=200)
        model.fit(
            vstack([features[rows], features[rows]]),
            np.repeat([1, 0], len(rows)),
            sample_weight=np.concatenate([known, 1 - known]),
        )
        held_out = fold == number
        found[held_out] = model.predict_proba(features[held_out])[:, 1]
    return found


def surface_features(table: VoteTable, texts: Sequence[str]) -> Any:
    """What the candidates look like: ``(n, width)``, sparse, of hashed features, each alone and with the candidate's type."""
    surfaces, before, after = (
        _FeatureView(_inside),
        _FeatureView(partial(_beside, "before")),
        _FeatureView(partial(_beside, "after")),
    )
    columns = (table.document, table.start, table.end, table.type)
    for document, start, end, kind in zip(*(column.tolist() for column in columns), strict=True):
        text = texts[document]
        surfaces.add(kind, text[start:end])
        before.add(kind, _last(TOKEN.findall(text[max(0, start - _AROUND) : start])))
        after.add(kind, _last(TOKEN.findall(text[end : end + _AROUND])[:1]))
    return surfaces.features() + before.features() + after.features()


class _FeatureView:
    """One part of what is seen of each candidate; equal parts are described once."""

    def __init__(self, describe: Callable[[str], list[str]]) -> None:
        self._describe = describe
        self._numbers: dict[tuple[int, str], int] = {}
        self._rows = array("q")

    def add(self, kind: int, part: str) -> None:
        self._rows.append(self._numbers.setdefault((kind, part), len(self._numbers)))

    def features(self) -> Any:
        """``(n, width)``, sparse."""
        from sklearn.feature_extraction import FeatureHasher

        hasher = FeatureHasher(_WIDTH, input_type="string", alternate_sign=False, dtype=np.float32)
        described = ((kind, self._describe(part)) for kind, part in self._numbers)
        matrix = hasher.transform(
            [*features, *(f"{kind} {feature}" for feature in features)] for kind, features in described
        )
        return matrix[np.asarray(self._rows)]


def _inside(surface: str) -> list[str]:
    """Features of the surface itself: its words at the ends, how it is spelt, how long it is."""
    words = list(surface) if _HAN.search(surface) else surface.split() or [surface]
    return [
        f"words {min(len(words), 8)}",
        "shape " + " ".join(map(_shape, words[:3])),
        f"first {words[0].casefold()}",
        f"last {words[-1].casefold()}",
        f"ends {surface[-3:].casefold()}",
        f"begins {surface[:3].casefold()}",
        f"capital {all(word[:1].isupper() for word in words)}",
    ]


def _last(tokens: list[str]) -> str:
    return tokens[-1] if tokens else ""


def _beside(place: str, word: str) -> list[str]:
    return [f"{place} {word.casefold()}", f"{place} shape {_shape(word)}"]


def _shape(word: str) -> str:
    """Kinds of letters, repeated ones once: ``Xx`` for ``Oslo``."""
    kinds = (
        "X" if c.isupper() else "x" if c.islower() else "9" if c.isdigit() else "z" if c.isalpha() else c for c in word
    )
    return _REPEATED.sub(r"\1", "".join(kinds))[:6]


def _folds(table: VoteTable) -> IntArray:
    """``(n,)``: documents dealt out in turn."""
    _, number = np.unique(table.document, return_inverse=True)
    return np.asarray(number % _FOLDS)
