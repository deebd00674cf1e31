"""Scores of the arms over their seeds, and how sure the differences are that the experiment is about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from el4ner.scoring.bootstrap import bootstrap_p_value, f1_scores
from el4ner.scoring.counts import Counts
from mrc_experiment.arms import FULL
from mrc_experiment.settings import Run
from mrc_experiment.work import counts_of, figures_of


@dataclass(frozen=True, slots=True)
class Row:
    """An arm on a set, over its seeds; scores from 0 to 1.

    Attributes:
        arm: its name.
        precision: mean.
        recall: mean.
        f1: mean of the seeds' strict micro-F1.
        by_seed: each seed's.
        spread: their sample standard deviation; 0 for one seed.
        minutes: mean time of training.
        difference: micro-F1 over all seeds of the full arm minus this arm's; None where there is no full arm.
        p_value: of that difference: bootstrap over documents, the same for both, and over each arm's seeds.
    """

    arm: str
    precision: float
    recall: float
    f1: float
    by_seed: tuple[float, ...]
    spread: float
    minutes: float
    difference: float | None
    p_value: float | None


def rows_of(runs: Mapping[str, Sequence[Run]], samples: int = 1000) -> list[Row]:
    """A row for each arm with finished runs; ``runs`` by the arm's name."""
    counts = {name: [counts_of(run) for run in of_arm] for name, of_arm in runs.items() if of_arm}
    p_values = _against_full({name: np.stack(of_arm) for name, of_arm in counts.items()}, samples)
    rows = []
    for name, of_arm in counts.items():
        strict = [Counts(*(int(number) for number in of_run.sum(axis=0))) for of_run in of_arm]
        f1 = [counted.f1 for counted in strict]
        difference, p_value = p_values.get(name, (None, None))
        rows.append(
            Row(
                arm=name,
                precision=mean(counted.precision for counted in strict),
                recall=mean(counted.recall for counted in strict),
                f1=mean(f1),
                by_seed=tuple(f1),
                spread=stdev(f1) if len(f1) > 1 else 0.0,
                minutes=mean(figures_of(run).get("train_s", 0.0) for run in runs[name]) / 60,
                difference=difference,
                p_value=p_value,
            )
        )
    return rows


def write_rows(blocks: Mapping[str, Sequence[Row]], path: Path) -> None:
    """All numbers as JSON."""
    content = {name: [asdict(row) for row in rows] for name, rows in blocks.items()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _against_full(counts: Mapping[str, np.ndarray], samples: int) -> dict[str, tuple[float, float]]:
    """Difference of the full arm to each other arm, and its p-value; counts ``(seeds, documents, 3)`` by arm."""
    if FULL not in counts:
        return {}
    observed = {name: float(f1_scores(of_arm.sum(axis=(0, 1)))) for name, of_arm in counts.items()}
    sampled = {name: _sampled_f1(of_arm, samples, row) for row, (name, of_arm) in enumerate(counts.items())}
    compared = {}
    for name in counts:
        if name != FULL:
            difference = observed[FULL] - observed[name]
            compared[name] = difference, bootstrap_p_value(difference, sampled[FULL] - sampled[name])
    return compared


def _sampled_f1(counts: np.ndarray, samples: int, row: int) -> np.ndarray:
    """Micro-F1 of an arm ``(seeds, documents, 3)`` in each sample: the same documents for all arms, seeds of its own."""
    n_seeds, n_documents, _ = counts.shape
    documents, seeds = (np.random.default_rng(stream) for stream in (13, (13, row)))
    times = documents.multinomial(n_documents, np.full(n_documents, 1 / n_documents), size=samples)
    totals = np.einsum("bd,sdk->bsk", times, counts)  # (samples, seeds, 3)
    drawn = seeds.integers(n_seeds, size=(samples, n_seeds))
    return f1_scores(np.take_along_axis(totals, drawn[:, :, None], axis=1).sum(axis=1))
