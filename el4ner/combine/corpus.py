"""The corpus as one more member: what is probably an entity where a surface stands elsewhere counts for it here.

A surface that several documents hold is looked at in the other ones: its typed candidates' summed probability there, by
its occurrences there, says how often it is that type. The corpus marks a candidate where this share reaches the
threshold at which a candidate is kept, is sure of it from twice the threshold on, leaves a hint from half of it on, and
abstains where the surface stands in no other document.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from el4ner.combine.agreement import Agreement, fit_agreement
from el4ner.combine.decision import decide
from el4ner.combine.surface_forms import with_surface_forms
from el4ner.combine.surfaces import find_surfaces
from el4ner.vote.table import (
    ABSTAINED,
    FOUND,
    FOUND_SURE,
    NEARLY_FOUND,
    NOT_FOUND,
    CodeArray,
    FloatArray,
    IntArray,
    VoteTable,
)

_CORPUS = "(corpus)"


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the other documents say of n candidates.

    Attributes:
        codes: ``(n,)``: ``FOUND_SURE``, ``FOUND``, ``NEARLY_FOUND``, ``NOT_FOUND`` or ``ABSTAINED``.
        support: ``(n,)``, the summed probability of the same surface and type in other documents.
        occurrences: ``(n,)``, how often the surface stands in other documents.
    """

    codes: CodeArray
    support: FloatArray
    occurrences: IntArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is known of n candidates without labels.

    Attributes:
        probabilities: ``(n,)``.
        model: of the members' agreement.
        corpus_model: of the agreement of members and corpus; None where there are no texts.
        corpus: what the corpus says.
    """

    probabilities: FloatArray
    model: Agreement
    corpus_model: Agreement | None
    corpus: Corpus


def estimate(
    table: VoteTable,
    texts: Sequence[str] | None = None,
    *,
    models: tuple[Agreement, Agreement | None] | None = None,
    known: FloatArray | None = None,
) -> Estimate:
    """Probabilities of all candidates without labels; with the documents' texts, the corpus takes part in a
    second fit, and so does what candidates look like.

    Args:
        table: the candidates.
        texts: of each document; None: not known.
        models: of members, and of members and corpus, from an earlier estimate; None: fitted to this table.
        known: ``(n,)``, 1 or 0 for candidates of labelled documents, else NaN; corpus and surface forms learn from it.
    """
    model, corpus_model = models or (fit_agreement(table), None)
    probabilities = model.probabilities(table)
    if texts is None or not len(table) or (models and not corpus_model):
        return Estimate(probabilities, model, None, no_corpus(len(table)))
    corpus = corpus_evidence(table, texts, _settled(probabilities, known))
    with_corpus = add_corpus(table, corpus.codes)
    corpus_model = corpus_model or fit_agreement(with_corpus)
    probabilities = corpus_model.probabilities(with_corpus)
    probabilities = with_surface_forms(table, texts, probabilities, _settled(probabilities, known))
    return Estimate(probabilities, model, corpus_model, corpus)


def add_corpus(table: VoteTable, codes: CodeArray) -> VoteTable:
    """The table with the corpus as its last member."""
    probabilities = (
        None if table.probabilities is None else np.column_stack([table.probabilities, np.full(len(table), np.nan)])
    )
    return replace(
        table,
        members=(*table.members, _CORPUS),
        codes=np.column_stack([table.codes, codes]),
        probabilities=probabilities,
    )


def corpus_evidence(table: VoteTable, texts: Sequence[str], probabilities: FloatArray) -> Corpus:
    """What the other documents say of each candidate.

    Args:
        table: the candidates.
        texts: of each document.
        probabilities: ``(n,)``, of each candidate so far.
    """
    limit = max(decide(table, probabilities).threshold, 1e-6)
    places = zip(table.document.tolist(), table.start.tolist(), table.end.tolist(), strict=True)
    surface, found = find_surfaces(texts, [texts[document][start:end] for document, start, end in places])
    elsewhere = _elsewhere(found, surface, table.document)
    support = _support_elsewhere(table, surface, probabilities)
    said = np.array([NOT_FOUND, NEARLY_FOUND, FOUND, FOUND_SURE], dtype=np.int8)
    steps = sum((support >= part * limit * elsewhere).astype(np.int64) for part in (0.5, 1.0, 2.0))
    return Corpus(np.where(elsewhere > 0, said[steps], np.int8(ABSTAINED)), support, elsewhere)


def no_corpus(n: int) -> Corpus:
    """What is known of n candidates where no other documents take part."""
    return Corpus(np.full(n, np.int8(ABSTAINED)), np.zeros(n), np.zeros(n, dtype=np.int64))


def _settled(probabilities: FloatArray, known: FloatArray | None) -> FloatArray:
    """The probabilities, with what is known in their place."""
    return probabilities if known is None else np.where(np.isnan(known), probabilities, known)


def _elsewhere(occurrences: IntArray, surface: IntArray, document: IntArray) -> IntArray:
    """``(n,)``: occurrences of each candidate's surface in other documents."""
    width = int(document.max(initial=0)) + 1
    width = max(width, int(occurrences[:, 1].max(initial=0)) + 1)
    total = np.bincount(occurrences[:, 0], minlength=int(surface.max(initial=0)) + 1)
    places, counts = np.unique(occurrences[:, 0] * width + occurrences[:, 1], return_counts=True)
    if not len(places):
        return np.zeros(len(surface), dtype=np.int64)
    wanted = surface * width + document
    at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
    here = np.where(places[at] == wanted, counts[at], 0)
    return np.asarray(total[surface] - here)


def _support_elsewhere(table: VoteTable, surface: IntArray, probabilities: FloatArray) -> FloatArray:
    """``(n,)``: the summed probability of candidates of the same surface and type in other documents."""
    typed = surface * max(len(table.types), 1) + table.type
    _, group = np.unique(typed, return_inverse=True)
    _, local = np.unique(typed * (table.n_documents + 1) + table.document, return_inverse=True)
    return np.asarray(np.bincount(group, probabilities)[group] - np.bincount(local, probabilities)[local])
