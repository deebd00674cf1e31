"""Doing a run: train, find, remember how long it took; what is done already is not done again."""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from el4ner import run as run_command
from el4ner.errors import El4nerError
from el4ner.scoring.counts import document_counts
from el4ner.scoring.labels import TypeSelection
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.documents import Document
from el4ner.text.formats import read_labelled
from el4ner.train import __main__ as train_command
from mrc_experiment.copier import write_copied
from mrc_experiment.settings import Base, Run, ensemble, max_demonstrations, training, write_yaml
from mrc_experiment.tagger import train_tagger, write_predictions

PREDICTIONS = "predictions.jsonl"
FIGURES = "figures.json"
COUNTS = "counts"
FAULTS = ("unexpected ", "inference failed")
"""Words of problems that say nothing about the arm."""


class ExperimentError(El4nerError):
    """A step of a run did not end well; its own message stands above."""


def is_done(run: Run) -> bool:
    """Whether the run's predictions are complete and counted."""
    return COUNTS in figures_of(run)


def figures_of(run: Run) -> dict[str, Any]:
    """What is kept of a run, without any text: the seconds of its steps (``train_s``, ``found_s``), and ``counts``."""
    path = run.folder / FIGURES
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def counts_of(run: Run) -> NDArray[np.int64]:
    """Strict true positives, false positives and false negatives of each dev document, ``(n_documents, 3)``."""
    return np.array(figures_of(run)[COUNTS], dtype=np.int64)


def export(runs: Sequence[Run], source: Path, target: Path) -> None:
    """Copy the figures of finished runs from one output folder to another; the texts stay where they are."""
    for run in runs:
        copy = target / run.folder.relative_to(source) / FIGURES
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.folder / FIGURES, copy)


def do(run: Run, recipe: Mapping[str, Any], base: Base, minutes: float, epochs: float) -> None:
    """Do what is left of a run.

    Raises:
        El4nerError: a step did not end well.
    """
    if run.arm.crf:
        _do_tagger(run)
    elif run.arm.copied:
        found, k = run.folder / "found" / PREDICTIONS, max_demonstrations(recipe)
        _timed(run, "found_s", lambda: write_copied(_labelled(run.train), _labelled(run.dev), k, found))
    else:
        _do_reader(run, recipe, base, minutes, epochs)
    documents, every_type = read_gold(run.dev), TypeSelection()
    wanted = [every_type.apply(document.entities or ()) for document in documents]
    predicted = read_predictions(run.folder / "found" / PREDICTIONS, documents).entities
    counts = document_counts(wanted, [every_type.apply(found) for found in predicted])
    _remember(run, {COUNTS: counts.tolist()})


def _do_reader(run: Run, recipe: Mapping[str, Any], base: Base, minutes: float, epochs: float) -> None:
    if run.arm.tuned and not (run.folder / "adapter" / "adapter_model.safetensors").is_file():
        config = write_yaml(training(run, recipe, base, minutes, epochs), run.folder / "train.yaml")
        words = ["--task", "mrc", "--config", str(config), "--resume"]
        _timed(run, "train_s", lambda: _command(train_command.main, words))
    if run.adapter is not None and not run.adapter.is_dir():
        raise ExperimentError(f"{run.arm.name} goes on from {run.arm.based_on}; add that to --arms")
    config = write_yaml(ensemble(run, recipe, base), run.folder / "ensemble.yaml")
    words = ["--config", str(config), "--input", str(run.dev), "--output", str(run.folder / "found"), "--quiet"]
    _timed(run, "found_s", lambda: _command(run_command.main, words, well=(0, 1)))
    problems = json.loads((run.folder / "found" / "run.json").read_text(encoding="utf-8"))["totals"]["problems"]
    faults = [problem for problem in problems if any(word in problem for word in FAULTS)]
    if faults:
        raise ExperimentError(f"{faults[0]}; mend it, remove {run.folder / 'found'}, and run the experiment again")


def _do_tagger(run: Run) -> None:
    model = run.folder / "tagger.crfsuite"
    if not model.is_file():
        _timed(run, "train_s", lambda: train_tagger(_labelled(run.train), model, run.seed))
    _timed(run, "found_s", lambda: write_predictions(_labelled(run.dev), model, run.folder / "found" / PREDICTIONS))


def _labelled(path: Path) -> list[Document]:
    return list(read_labelled(path))


def _command(main: Callable[[Sequence[str]], int], words: Sequence[str], well: Sequence[int] = (0,)) -> None:
    """Run one of the project's commands; what it prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        code = main(list(words))
    if code not in well:
        raise ExperimentError(f"{' '.join(words)} ended with exit code {code}; run the experiment again to go on")


def _timed(run: Run, step: str, work: Callable[[], None]) -> None:
    """Do a step and add its seconds to the run's figures, where an earlier try may have left some."""
    started = time.perf_counter()
    work()
    _remember(run, {step: round(figures_of(run).get(step, 0.0) + time.perf_counter() - started, 1)})


def _remember(run: Run, figures: Mapping[str, Any]) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / FIGURES).write_text(json.dumps(figures_of(run) | figures) + "\n", encoding="utf-8")
