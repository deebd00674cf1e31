"""From a gold file and prediction files to everything that an evaluation says of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from el4ner.errors import ConfigError
from el4ner.scoring.bootstrap import Comparison, FloatArray, Interval, bootstrap_f1, compare_systems, interval
from el4ner.scoring.counts import Counts, Labelling, document_counts, micro, span_counts, strict_counts
from el4ner.scoring.labels import TypeSelection, selection_notes, unknown_type_notes
from el4ner.scoring.mismatches import Breakdown, break_down
from el4ner.scoring.predictions import Predictions, read_gold, read_predictions
from el4ner.scoring.reliability import Reliability, measure, selected
from el4ner.text.spans import Entity


@dataclass(frozen=True, slots=True)
class SystemScores:
    """How one prediction file fares.

    Attributes:
        name: the system's name in tables.
        path: its file.
        by_type: strict counts by type.
        span_only: counts of spans without types.
        breakdown: what happened to each entity.
        micro_f1: strict micro-F1 with its interval.
        predictions: what the file held.
        reliability: how far its scores can be trusted; None where there are none, or where they are no probabilities.
    """

    name: str
    path: Path
    by_type: dict[str, Counts]
    span_only: Counts
    breakdown: Breakdown
    micro_f1: Interval
    predictions: Predictions
    reliability: Reliability | None

    @property
    def strict(self) -> Counts:
        """Micro-averaged strict counts."""
        return micro(self.by_type)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that an evaluation found out.

    Attributes:
        gold_paths: the gold files.
        n_documents: gold documents, those without entities included.
        n_empty: gold documents without a scored entity.
        gold_types: scored gold entities by type.
        systems: in the order given.
        comparisons: one for each pair of systems.
        notes: what the reader must know: missing and failed documents, names that do not meet.
        selection: which types were scored, and under which names.
        samples: bootstrap samples.
        seed: seed of the samples.
    """

    gold_paths: tuple[Path, ...]
    n_documents: int
    n_empty: int
    gold_types: dict[str, int]
    systems: tuple[SystemScores, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    selection: TypeSelection
    samples: int
    seed: int


def score_files(
    gold: Sequence[Path],
    predictions: Sequence[Path],
    names: Sequence[str] | None = None,
    selection: TypeSelection | None = None,
    samples: int = 1000,
    seed: int = 13,
) -> Report:
    """Score prediction files against the documents of all gold files.

    Args:
        gold: files of labelled documents, JSONL or CoNLL; no id in two of them.
        predictions: files of predictions, JSONL or CoNLL.
        names: a name for each; None: file names, or folder names where those are the same.
        selection: which types are scored, under which names; None: all as they are.
        samples: bootstrap samples.
        seed: seed of the samples.

    Raises:
        InputError: a file cannot be read as what it should be, or does not fit gold.
        ConfigError: names do not fit the files, ``samples`` is not positive, or no file was given.
    """
    if samples < 1 or seed < 0:
        raise ConfigError(f"samples must be at least 1 and seed at least 0; they are {samples} and {seed}")
    labels = _system_names(predictions, names)
    selection = selection or TypeSelection()
    documents = read_gold(*gold)
    read = [read_predictions(path, documents) for path in predictions]
    wanted = [selection.apply(document.entities or ()) for document in documents]
    found = [[selection.apply(entities) for entities in system.entities] for system in read]
    counts = np.stack([document_counts(wanted, system) for system in found])
    sampled = bootstrap_f1(counts, samples, seed)
    systems = tuple(
        _score(named, wanted, labelling, system, sampled[:, index], selection)
        for index, (named, labelling, system) in enumerate(
            zip(zip(labels, predictions, strict=True), found, read, strict=True)
        )
    )
    raw = _types(document.entities or () for document in documents)
    raw += sum((_types(system.entities) for system in read), Counter())
    gold_types = dict(sorted(_types(wanted).items()))
    return Report(
        gold_paths=tuple(gold),
        n_documents=len(documents),
        n_empty=sum(not entities for entities in wanted),
        gold_types=gold_types,
        systems=systems,
        comparisons=tuple(compare_systems(counts, sampled, seed)),
        notes=(*selection_notes(selection, raw), *_notes(systems, gold_types, len(documents))),
        selection=selection,
        samples=samples,
        seed=seed,
    )


def _score(
    system: tuple[str, Path],
    wanted: Labelling,
    found: Labelling,
    predictions: Predictions,
    sampled: FloatArray,
    selection: TypeSelection,
) -> SystemScores:
    (name, path), by_type = system, strict_counts(wanted, found)
    return SystemScores(
        name=name,
        path=path,
        by_type=by_type,
        span_only=span_counts(wanted, found),
        breakdown=break_down(wanted, found),
        micro_f1=interval(micro(by_type).f1, sampled),
        predictions=predictions,
        reliability=measure(wanted, [selected(selection, scores) for scores in predictions.scores]),
    )


def _types(labelling: Iterable[Iterable[Entity]]) -> Counter[str]:
    return Counter(entity.type for entities in labelling for entity in entities)


def _system_names(paths: Sequence[Path], names: Sequence[str] | None) -> list[str]:
    if not paths:
        raise ConfigError("there is no prediction file; give at least one")
    if names is not None and len(names) != len(paths):
        raise ConfigError(f"there are {len(paths)} prediction file(s) but {len(names)} name(s); give one each")
    labels = list(names) if names is not None else [path.stem for path in paths]
    if names is None and len(set(labels)) < len(labels):
        labels = [path.resolve().parent.name for path in paths]
    if len(set(labels)) < len(labels):
        raise ConfigError("two systems would have the same name; give each its own with --names")
    return labels


def _notes(systems: Sequence[SystemScores], gold_types: dict[str, int], n_documents: int) -> list[str]:
    notes = []
    for system in systems:
        held = system.predictions
        counts = (
            (
                len(held.missing),
                f"of {n_documents:,} gold documents are not in the file; all their entities count as missed",
            ),
            (len(held.failed), "document(s) failed; all their entities count as missed"),
            (len(held.partial), "document(s) are partial; what they hold is counted"),
            (held.repeated, "prediction(s) repeat another of their document; each counts once"),
        )
        notes += [f"{system.name}: {count:,} {what}" for count, what in counts if count]
        predicted = {name: counts.predicted for name, counts in system.by_type.items()}
        notes += unknown_type_notes(system.name, predicted, gold_types)
    return notes
