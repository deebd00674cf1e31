"""Which members are worth their cost: what each one adds, how alike they are, and the smallest set that nearly does."""

from collections.abc import Sequence

import numpy as np

from el4ner.combine.agreement import fit_agreement
from el4ner.combine.decision import decide
from el4ner.combine.learning import Labels
from el4ner.vote.table import FOUND_UNSURE, FloatArray, VoteTable

_TOLERANCE = 0.005


def advice(table: VoteTable, probabilities: FloatArray, labels: Labels | None) -> list[str]:
    """Lines that say what each member adds to the label-free combination, and the smallest set within 0.5 F1 of all.

    Members are left out one at a time, the one missed least first. F1 is measured where there are labels, and else what
    the probabilities ``(n,)`` of all candidates let expect, which can only be a rough guide.
    """
    everyone = tuple(range(len(table.members)))
    whole = subset_f1(table, everyone, probabilities, labels)
    kind = "expected" if labels is None else "measured"
    lines = [f"{kind} F1 of all {len(everyone)}: {100 * whole:.1f}"]
    pairwise_f1 = _mean_pairwise_f1(table)
    for member in everyone:
        rest = subset_f1(table, [m for m in everyone if m != member], probabilities, labels)
        lines.append(
            f"{table.members[member]}: adds {100 * (whole - rest):+.1f} F1, mean F1 with the others "
            f"{100 * pairwise_f1[member]:.0f}"
        )
    kept = smallest_set(table, probabilities, labels)
    return [*lines, f"smallest set within 0.5 F1 of all: {', '.join(table.members[m] for m in kept)}"]


def smallest_set(table: VoteTable, probabilities: FloatArray, labels: Labels | None) -> list[int]:
    """Member numbers that remain when members are left out one by one while F1 stays within 0.005 of all of them."""
    kept = list(range(len(table.members)))
    needed = subset_f1(table, kept, probabilities, labels) - _TOLERANCE
    while len(kept) > 1:
        trials = [(subset_f1(table, [m for m in kept if m != out], probabilities, labels), -out) for out in kept]
        best, out = max(trials)
        if best < needed:
            break
        kept.remove(-out)
    return kept


def subset_f1(table: VoteTable, members: Sequence[int], probabilities: FloatArray, labels: Labels | None) -> float:
    """F1, from 0 to 1, of the label-free combination of some members: measured, or expected where there are no labels."""
    if not members:
        return 0.0
    codes = table.codes[:, list(members)]
    rows = np.flatnonzero((codes >= FOUND_UNSURE).any(axis=1))
    part = table.restricted(rows, members)
    kept = rows[decide(part, fit_agreement(part).probabilities(part)).kept]
    if labels is None:
        return 2 * float(probabilities[kept].sum()) / max(len(kept) + float(probabilities.sum()), 1e-9)
    kept = kept[labels.labelled[table.document[kept]]]
    return 2 * int(labels.right[kept].sum()) / max(len(kept) + labels.n_gold, 1)


def _mean_pairwise_f1(table: VoteTable) -> FloatArray:
    """``(M,)``: the mean F1 of each member with each other one."""
    votes = table.votes.astype(np.float64)
    common = votes.T @ votes
    sizes = np.diag(common)
    pairs = 2 * common / np.maximum(sizes[:, None] + sizes[None, :], 1)
    others = max(len(table.members) - 1, 1)
    return np.asarray((pairs.sum(axis=1) - np.diag(pairs)) / others)
