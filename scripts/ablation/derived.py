"""Rows that are made of the candidates of a recorded one: the union, and combination without labels and with labels.

What is learned is learned from one half of the sentences and applied to the other, both ways: no figure stands on sentences
that it was learned from.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ablation.scores import write_gold
from el4ner.batch.journal import PREDICTIONS, Journal, read_predictions
from el4ner.batch.prediction import Prediction
from el4ner.combine.job import Job, combine_files
from el4ner.combine.records import read_candidates
from el4ner.combine.rules import choose_by_count, entities_of
from el4ner.text.documents import Document
from el4ner.text.spans import Entity
from el4ner.vote.entities import VotedEntity
from el4ner.vote.table import MemberOutputs, tabulate
from el4ner.vote.votes import Candidate


def derive(what: str, source: Path, gold: Sequence[Document], folder: Path) -> None:
    """Write the predictions of a derived row.

    Args:
        what: ``union``, ``label-free`` or ``learned``.
        source: the folder of the row whose candidates it is made of.
        gold: the row's sentences.
        folder: where to write.

    Raises:
        InputError: the source cannot be read, or holds nothing to learn from.
    """
    path = source / PREDICTIONS
    makers = {"union": union, "label-free": label_free, "learned": learned}
    found = makers[what](path, gold)
    with Journal(folder) as journal:
        journal.clear()
        for record in read_predictions(path):
            journal.append(_with(record, found))


def union(path: Path, gold: Sequence[Document]) -> dict[str, tuple[VotedEntity, ...]]:
    """What any member found and typed; where two findings overlap, or differ in type, that of more members."""
    records = list(read_candidates(path))
    answers = [_own_findings(answered, candidates or ()) for _, answered, candidates in records]
    members = sorted({name for answer in answers for name in answer})
    table = tabulate(answers, members)
    found = entities_of(table, choose_by_count(table, "union"))
    return dict(zip((identity for identity, _, _ in records), found, strict=True))


def label_free(path: Path, gold: Sequence[Document]) -> dict[str, tuple[VotedEntity, ...]]:
    """What the agreement of all votes makes probable, with the texts of all sentences."""
    with tempfile.TemporaryDirectory() as folder:
        return _combined(path, gold, None, Path(folder))


def learned(path: Path, gold: Sequence[Document]) -> dict[str, tuple[VotedEntity, ...]]:
    """For each half of the sentences, what a combiner says that was learned from the other half."""
    found: dict[str, tuple[VotedEntity, ...]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for tested, labelled in cross(gold):
            said = _combined(path, gold, labelled, Path(folder))
            found |= {document.id: said[document.id] for document in tested if document.id in said}
    return found


def cross(gold: Sequence[Document]) -> tuple[tuple[list[Document], list[Document]], ...]:
    """Every second sentence and the others, both ways: (tested, chosen or learned from)."""
    one, other = list(gold[::2]), list(gold[1::2])
    return (one, other), (other, one)


def _combined(
    path: Path, gold: Sequence[Document], labelled: Sequence[Document] | None, folder: Path
) -> dict[str, tuple[VotedEntity, ...]]:
    texts, labels, output = folder / "texts.jsonl", folder / "labels.jsonl", folder / "combined.jsonl"
    write_gold([replace(document, entities=()) for document in gold], texts)
    job = Job(systems={}, runs=(path,), output=output, documents=(str(texts),))
    if labelled is not None:
        write_gold(labelled, labels)
        job = replace(job, gold=labels, fit=folder / "combiner.json")
    combine_files(job)
    return {record.id: record.entities for record in read_predictions(output)}


def _own_findings(answered: Sequence[str], candidates: Sequence[Candidate]) -> MemberOutputs:
    """What each member that answered found and typed itself."""
    found: dict[str, set[Entity]] = {name: set() for name in answered}
    for candidate in candidates:
        for name, vote in candidate.votes.items():
            if vote.found and vote.type is not None:
                found.setdefault(name, set()).add(Entity(candidate.span.start, candidate.span.end, vote.type))
    return found


def _with(record: Prediction, found: Mapping[str, tuple[VotedEntity, ...]]) -> Prediction:
    """A record with other entities; without surfaces and candidates, which the source has."""
    return replace(record, entities=found.get(record.id, ()), surfaces=None, candidates=None)
