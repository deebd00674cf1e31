"""The learned combiner on random splits: some labelled sentences, tested on the others."""

import numpy as np

from combine_bench.overlaid import Overlaid
from combine_bench.recorded import Recorded
from el4ner.combine.calibration import calibration_error
from el4ner.combine.corpus import estimate
from el4ner.combine.decision import decide
from el4ner.combine.learning import Labels, learn
from el4ner.vote.table import BoolArray, FloatArray, IntArray, VoteTable

_SAMPLES = 2000


def splits(table: VoteTable, data: Recorded | Overlaid, labelled: int, n_splits: int) -> str:
    """Cells of a row: means over the splits; p is the chance of no gain, over sentences drawn anew.

    A sentence's counts are summed over the splits in which it is tested; sentences, not splits, are resampled, because
    splits share theirs.
    """
    sizes = np.array([len(gold) for gold in data.gold])
    right = table.contains(data.gold)
    start = estimate(table, data.texts)
    counts = np.zeros((2, len(sizes), 3))  # label-free and learned; sentence; tp, kept, gold
    hind, errors = [], []
    for split in range(n_splits):
        known = np.zeros(len(sizes), dtype=np.bool_)
        known[np.random.default_rng(split).permutation(len(sizes))[:labelled]] = True
        mine = known[table.document]
        again = estimate(
            table,
            data.texts,
            models=(start.model, start.corpus_model),
            known=np.where(mine, right.astype(np.float64), np.nan),
        )
        combiner = learn(table, again, Labels(known, right & mine, int(sizes[known].sum())), data.texts).combiner
        learned = combiner.probabilities(table, again, data.texts)
        test = np.flatnonzero(~mine)
        sure = combiner.shrink(again, learned)
        for system, (probabilities, missing) in enumerate([(start.probabilities, 0.0), (sure, combiner.missed)]):
            kept = decide(
                table.take(test), probabilities[test], missing=missing * float(probabilities[test].sum())
            ).kept
            counts[system] += _per_sentence(table.document[test], kept, right[test], np.where(known, 0, sizes))
        n_gold = int(sizes[~known].sum())
        hind.append(_hindsight(table.votes[test], right[test], n_gold))
        errors.append([calibration_error(c[test], right[test]) for c in (learned, start.probabilities)])
        errors[-1].append(_least_error(learned[test]))
    free, better = _f1(counts.sum(axis=1))
    drawn = np.random.default_rng(0).integers(len(sizes), size=(_SAMPLES, len(sizes)))
    sampled = np.stack([_f1(counts[system][drawn].sum(axis=1)) for system in (0, 1)])
    p = (1 + (sampled[1] <= sampled[0]).sum()) / (_SAMPLES + 1)
    numbers = [*np.mean(hind, axis=0), free, better]
    cells = [f"{number:.1f}" for number in numbers]
    return " | ".join([*cells, f"{better - free:+.1f}", f"{p:.3f}", *(f"{e:.3f}" for e in np.mean(errors, axis=0))])


def folds(table: VoteTable, data: Recorded) -> str:
    """Cells of a row: calibration errors where all sentences are labelled and each is judged by what the others taught."""
    right = table.contains(data.gold)
    start = estimate(table, data.texts)
    models = (start.model, start.corpus_model)
    again = estimate(table, data.texts, models=models, known=right.astype(np.float64))
    labels = Labels(np.ones(len(data.gold), dtype=np.bool_), right, sum(map(len, data.gold)))
    found = learn(table, again, labels, data.texts).held_out
    errors = [calibration_error(found, right), calibration_error(start.probabilities, right), _least_error(found)]
    return " | ".join(f"{error:.3f}" for error in errors)


def _per_sentence(document: IntArray, kept: BoolArray, right: BoolArray, sizes: IntArray) -> FloatArray:
    n = len(sizes)
    tp = np.bincount(document, kept & right, n)
    return np.stack([tp, np.bincount(document, kept, n), sizes], axis=1)


def _least_error(probabilities: FloatArray) -> float:
    """The error that perfectly calibrated probabilities would show, because the candidates are few."""
    rng = np.random.default_rng(0)
    return float(
        np.mean([calibration_error(probabilities, rng.random(len(probabilities)) < probabilities) for _ in range(10)])
    )


def _hindsight(votes: BoolArray, right: BoolArray, n_gold: int) -> tuple[float, float]:
    def f1(kept: BoolArray) -> float:
        return 200 * int((kept & right).sum()) / max(int(kept.sum()) + n_gold, 1)

    counts = votes.sum(axis=1)
    return max(f1(column) for column in votes.T), max(f1(counts >= k) for k in range(1, votes.shape[1] + 1))


def _f1(counts: FloatArray) -> FloatArray:
    return np.asarray(200 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1))
