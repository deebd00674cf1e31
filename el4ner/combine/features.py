"""What a learned combiner sees of a candidate: few numbers, each with a strength by which it is held at zero."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from el4ner.combine.answer_weights import strongest_overlapping
from el4ner.combine.corpus import Estimate
from el4ner.combine.platt import logit
from el4ner.vote.table import (
    ABSTAINED,
    FOUND,
    FOUND_SURE,
    NEARLY_FOUND,
    NOT_FOUND,
    OTHER_TYPE,
    OVERLAPS_OTHER_TYPE,
    OVERLAPS_SAME_TYPE,
    FloatArray,
    IntArray,
    VoteTable,
)

_FREE, _PLAIN, _TYPED, _CROSSED = 0.0, 1.0, 2.0, 8.0
_TYPICAL_LENGTH = 12.0
_USUAL_SHARE = 0.3
_SHAPES = ("capital", "all capitals", "digit", "words")


@dataclass(frozen=True, slots=True)
class Features:
    """Candidates as numbers.

    Attributes:
        values: ``(n, d)``.
        prior: ``(n,)``, the label-free logit, from which learning starts.
        strength: ``(d,)``, how strongly each weight is held at zero.
        names: of the columns.
    """

    values: FloatArray
    prior: FloatArray
    strength: FloatArray
    names: tuple[str, ...]

    def take(self, rows: IntArray) -> "Features":
        """The features of some candidates."""
        return Features(self.values[rows], self.prior[rows], self.strength, self.names)


def build_features(
    table: VoteTable,
    types: tuple[str, ...],
    estimate: Estimate,
    texts: Sequence[str] | None = None,
    *,
    member_types: bool = False,
) -> Features:
    """The features of all candidates.

    Args:
        table: the candidates.
        types: the types that have weights of their own; others share the general ones.
        estimate: what is known of the candidates without labels.
        texts: of each document; None: not known, and shapes count nothing.
        member_types: whether each member has a weight for each type.
    """
    columns: list[tuple[str, float, FloatArray]] = []
    probabilities = estimate.probabilities
    prior = logit(probabilities)
    votes = estimate.model.evidence(table)
    columns.append(("intercept", _FREE, np.ones(len(table))))
    columns.append(("agreement", _FREE, prior / 2))
    columns.append(("strong agreement", _PLAIN, np.maximum(prior, 0.0) / 2))
    columns.append(("single vote", _PLAIN, 1.0 * (table.votes.sum(axis=1) == 1)))
    columns.append(("confidence", _PLAIN, _confidence(table)))
    columns += [(f"vote {name}", _PLAIN, votes[:, m]) for m, name in enumerate(table.members)]
    for name, code in (
        ("abstained", ABSTAINED),
        ("crossed", OVERLAPS_OTHER_TYPE),
        ("shifted", OVERLAPS_SAME_TYPE),
        ("retyped", OTHER_TYPE),
    ):
        columns.append((name, _PLAIN, np.asarray((table.codes == code).mean(axis=1), dtype=np.float64)))
    columns += [
        (f"corpus {name}", _PLAIN, np.isin(estimate.corpus.codes, codes).astype(np.float64))
        for name, codes in (("yes", (FOUND, FOUND_SURE)), ("no", (NOT_FOUND, NEARLY_FOUND)))
    ]
    share = (estimate.corpus.support + _USUAL_SHARE) / (estimate.corpus.occurrences + 1)
    columns.append(("corpus share", _PLAIN, np.where(estimate.corpus.codes == ABSTAINED, 0, share - _USUAL_SHARE) * 4))
    columns += [(name, _PLAIN, shape) for name, shape in _shapes(table, texts)]
    columns.append(("length", _PLAIN, np.log((table.end - table.start) / _TYPICAL_LENGTH)))
    columns.append(("overlapping candidates", _PLAIN, np.minimum(table.n_overlapping.astype(np.float64), 4) / 4))
    columns.append(
        (
            "overlaps a more probable one",
            _PLAIN,
            (strongest_overlapping(table, probabilities) > probabilities).astype(np.float64),
        )
    )
    numbers = {name: number for number, name in enumerate(table.types)}
    for kind in types:
        mine = 1.0 * (table.type == numbers.get(kind, -1))
        columns.append((f"type {kind}", _TYPED, mine))
        if member_types:
            columns += [(f"vote {name}: {kind}", _CROSSED, mine * votes[:, m]) for m, name in enumerate(table.members)]
    names, strength, values = zip(*columns, strict=True)
    return Features(np.column_stack(values), prior, np.array(strength), tuple(names))


def _confidence(table: VoteTable) -> FloatArray:
    """``(n,)``: the mean logit of the probabilities that members state, in quarters; 0 where nobody states one."""
    if table.probabilities is None:
        return np.zeros(len(table))
    stated = ~np.isnan(table.probabilities)
    total = np.where(stated, logit(np.nan_to_num(table.probabilities)), 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(stated.sum(axis=1), 1) / 4)


def _shapes(table: VoteTable, texts: Sequence[str] | None) -> Iterator[tuple[str, FloatArray]]:
    """Names and ``(n,)`` values of what a surface looks like."""
    shapes = np.zeros((len(table), len(_SHAPES)))
    if texts is not None:
        for row, (place, start, end) in enumerate(
            zip(table.document.tolist(), table.start.tolist(), table.end.tolist(), strict=True)
        ):
            surface = texts[place][start:end]
            digit = any(character.isdigit() for character in surface)
            shapes[row] = surface[:1].isupper(), surface.isupper(), digit, min(len(surface.split()), 6) / 3
    return zip(_SHAPES, shapes.T, strict=True)
