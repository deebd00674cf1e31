"""From prediction files to a combined one: by a rule without labels, or by a combiner learned or read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from el4ner.combine.calibration import calibration_error
from el4ner.combine.combiner import Combiner, load_combiner
from el4ner.combine.corpus import Estimate, estimate
from el4ner.combine.decision import Preference, decide
from el4ner.combine.learning import Labels, learn, unlabelled_combiner
from el4ner.combine.records import check_offsets, to_line
from el4ner.combine.rules import CombinationRule, choose_by_count, entities_of
from el4ner.combine.systems import (
    System,
    align_systems,
    known_texts,
    meet,
    read_gold,
    read_run,
    read_system,
    read_texts,
)
from el4ner.combine.weighted import weighted_shares
from el4ner.errors import InputError
from el4ner.text.files import JSONL_SUFFIXES
from el4ner.text.spans import Entity
from el4ner.vote.entities import ScoreKind, VotedEntity
from el4ner.vote.table import BoolArray, FloatArray, VoteTable, tabulate


@dataclass(frozen=True, slots=True)
class Job:
    """What to combine, and how; see the command's options of the same names."""

    systems: dict[str, Path]
    output: Path
    runs: tuple[Path, ...] = ()
    rule: CombinationRule = "agreement"
    at_least: int = 2
    prefer: Preference = "f1"
    nested: bool = False
    documents: tuple[str, ...] = ()
    gold: Path | None = None
    fit: Path | None = None
    combiner: Path | None = None
    abstain: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job.

    Attributes:
        table: all candidates.
        probabilities: ``(n,)``; of labelled documents those of cross-validation where a combiner was learned.
        kept: ``(n,)``, which are in the output, or in the review file.
        labels: of the labelled documents, or None.
        report: lines for people.
    """

    table: VoteTable
    probabilities: FloatArray
    kept: BoolArray
    labels: Labels | None
    report: tuple[str, ...]


def combine_files(job: Job) -> Result:
    """Read, combine, write, and report.

    Raises:
        InputError: a file cannot be read or written, or does not fit the others.
    """
    combiner = load_combiner(job.combiner) if job.combiner else None
    stated = _systems(job.systems, job.runs)
    copies = {} if combiner or job.fit else _copies({name: stated[name] for name in job.systems})
    stated = {name: system for name, system in stated.items() if name not in copies}
    systems = meet(stated)
    members = combiner.members if combiner and sorted(systems) == sorted(combiner.members) else tuple(systems)
    ids, rows = align_systems(systems)
    table = tabulate(rows, members)
    texts = read_texts(job.documents, ids) if job.documents else None
    known = known_texts([str(job.gold)], ids) if job.gold else {}
    known |= dict(zip(ids, texts or (), strict=False))
    _check_offsets({name: job.systems[name] for name in job.systems if name in stated}, stated, systems, known)
    labels = _labels(table, ids, read_gold(job.gold, ids)) if job.gold else None
    scored_table = _score(job, table, texts, labels, combiner)
    probabilities, source, lines = scored_table.probabilities, scored_table.source, list(scored_table.lines)
    per_document = len(systems) == 1 and combiner is None and job.fit is None
    kept = np.asarray(table.votes.any(axis=1)) if per_document else _kept(job, table, scored_table)
    scored = job.rule == "agreement" or source != "label-free"
    entities = _as_stated(table, kept) if per_document else entities_of(table, kept, probabilities if scored else None)
    lines += [f"{name} is a copy of {first} and is left out: a system counts once" for name, first in copies.items()]
    sure, doubtful = _split_doubtful(entities, job.abstain if scored else None)
    kind = _score_kind(table, source if scored else None, per_document)
    _write(job.output, [to_line(*row, list(systems), kind) for row in zip(ids, rows, sure, strict=True)])
    if job.abstain is not None:
        review = job.output.with_suffix(".review.jsonl")
        _write(review, [to_line(*row, list(systems), kind) for row in zip(ids, rows, doubtful, strict=True) if row[2]])
        lines.append(f"{sum(map(len, doubtful)):,} doubtful entities for review in {review}")
    lines.insert(0, f"{len(ids):,} documents, {sum(map(len, sure)):,} entities, probabilities: {source}")
    if labels is not None:
        lines += _measure(table, probabilities, kept, labels)
    return Result(table, probabilities, kept, labels, tuple(lines))


def _copies(systems: Mapping[str, System]) -> dict[str, str]:
    """Systems that say what one before says, with the same scores and in whatever order, and that one: they would count twice."""
    names = list(systems)
    earlier = (
        (name, [first for first in names[:at] if systems[first] == systems[name]]) for at, name in enumerate(names)
    )
    return {name: same[0] for name, same in earlier if same}


def _check_offsets(
    files: Mapping[str, Path], stated: Mapping[str, System], systems: Mapping[str, System], texts: Mapping[str, str]
) -> None:
    """See that what systems found lies in the texts, and is what they say it is."""
    for name, path in files.items():
        if path.suffix.lower() in JSONL_SUFFIXES:
            check_offsets(path, texts, dict(zip(stated[name], systems[name], strict=True)))


def _score_kind(table: VoteTable, source: ScoreKind | None, per_document: bool) -> ScoreKind | None:
    """Where the written scores come from; the only system's are its own."""
    if per_document:
        return None if table.probabilities is None else "votes"
    return source


def _as_stated(table: VoteTable, kept: BoolArray) -> list[tuple[VotedEntity, ...]]:
    """The entities of the only system with its own probabilities, or none."""
    if table.probabilities is None:
        return entities_of(table, kept)
    rows = entities_of(table, kept, table.probabilities[:, 0])
    return [
        tuple(replace(e, score=None) if e.score is not None and math.isnan(e.score) else e for e in row) for row in rows
    ]


def _systems(files: Mapping[str, Path], runs: Sequence[Path]) -> dict[str, System]:
    """All systems by name, those that are members of a run included."""
    systems: dict[str, System] = {name: read_system(path) for name, path in files.items()}
    for path in runs:
        for name, system in read_run(path).items():
            if name in systems:
                raise InputError(f"{path}: member {name} is already there; give each system another name")
            systems[name] = system
    return systems


@dataclass(frozen=True, slots=True)
class _Scored:
    """Probabilities ``(n,)``, those to decide by, where they come from, how many right entities nobody found, a report."""

    probabilities: FloatArray
    sure: FloatArray
    source: ScoreKind
    missing: float = 0.0
    lines: tuple[str, ...] = ()


def _score(
    job: Job, table: VoteTable, texts: Sequence[str] | None, labels: Labels | None, combiner: Combiner | None
) -> _Scored:
    if combiner is not None:
        return _apply(combiner, table, combiner.estimate(table, texts), texts)
    if job.fit is not None and labels is not None:
        return _learn(job.fit, table, texts, labels)
    if job.rule == "weighted":
        shares = weighted_shares(table)
        return _Scored(shares, shares, "label-free")
    start = estimate(table, texts)
    lines: tuple[str, ...] = ()
    if job.fit is not None:
        unlabelled_combiner(table, start).save(job.fit)
        lines = (f"fitted without labels, in {job.fit}",)
    return _Scored(start.probabilities, start.probabilities, "label-free", lines=lines)


def _apply(combiner: Combiner, table: VoteTable, start: Estimate, texts: Sequence[str] | None) -> _Scored:
    found = combiner.probabilities(table, start, texts)
    sure = combiner.shrink(start, found)
    source: ScoreKind = "calibrated" if combiner.documents else "label-free"
    return _Scored(found, sure, source, combiner.missed * float(sure.sum()))


def _learn(path: Path, table: VoteTable, texts: Sequence[str] | None, labels: Labels) -> _Scored:
    """Learn, save, and apply: to labelled documents what was learned from the others."""
    start = _with_labels(table, texts, labels)
    learned = learn(table, start, labels, texts)
    learned.combiner.save(path)
    found = learned.combiner.probabilities(table, start, texts)
    found[learned.rows] = learned.held_out
    sure = learned.combiner.shrink(start, found)
    line = f"learned from {learned.combiner.documents:,} documents, strength {learned.strength:g}, in {path}"
    return _Scored(found, sure, "calibrated", learned.combiner.missed * float(sure.sum()), (line,))


def _with_labels(table: VoteTable, texts: Sequence[str] | None, labels: Labels) -> Estimate:
    """The label-free estimate, where the labelled documents tell the others what their surfaces are."""
    first = estimate(table, texts)
    known = np.where(labels.labelled[table.document], labels.right.astype(np.float64), np.nan)
    return estimate(table, texts, models=(first.model, first.corpus_model), known=known)


def _kept(job: Job, table: VoteTable, scored_table: _Scored) -> BoolArray:
    if job.rule in ("agreement", "weighted"):
        return decide(table, scored_table.sure, prefer=job.prefer, nested=job.nested, missing=scored_table.missing).kept
    return choose_by_count(table, job.rule, job.at_least, nested=job.nested)


def _labels(table: VoteTable, ids: Sequence[str], gold: dict[str, frozenset[Entity]]) -> Labels:
    labelled = np.array([identity in gold for identity in ids], dtype=np.bool_)
    if not labelled.any():
        raise InputError("no labelled document has the id of a predicted one; give gold for the same documents")
    sets = [gold.get(identity, frozenset()) for identity in ids]
    return Labels(labelled, table.contains(sets), sum(map(len, sets)))


def _measure(table: VoteTable, probabilities: FloatArray, kept: BoolArray, labels: Labels) -> list[str]:
    mine = labels.labelled[table.document]
    right, chosen = labels.right[mine], kept[mine]
    tp = int((right & chosen).sum())
    f1 = 2 * tp / max(int(chosen.sum()) + labels.n_gold, 1)
    error = calibration_error(probabilities[mine], right)
    return [
        f"on {int(labels.labelled.sum()):,} labelled documents: F1 {100 * f1:.1f}, precision "
        f"{100 * tp / max(int(chosen.sum()), 1):.1f}, recall {100 * tp / max(labels.n_gold, 1):.1f}",
        f"expected calibration error {error:.3f}",
    ]


def _split_doubtful(
    entities: Sequence[tuple[VotedEntity, ...]], limit: float | None
) -> tuple[list[tuple[VotedEntity, ...]], list[tuple[VotedEntity, ...]]]:
    """Entities that are sure enough, and the others."""
    least = -1.0 if limit is None else limit
    sure = [tuple(e for e in row if e.score is None or e.score >= least) for row in entities]
    return sure, [tuple(e for e in row if e.score is not None and e.score < least) for row in entities]


def _write(path: Path, lines: Sequence[str]) -> None:
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; give a path in a folder that exists"
        ) from None
