"""``el4ner.score``: strict scores of predictions against gold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.api.documents import AnnotatedDocument
from el4ner.api.inputs import documents_of, labelled_document
from el4ner.errors import InputError
from el4ner.scoring.counts import Counts, micro, strict_counts
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.spans import Entity


@dataclass(frozen=True, slots=True)
class Score:
    """Strict scores (exact span and type), each from 0 to 1, over all types (micro-averaged).

    Attributes:
        counts: true positives, false positives and false negatives.
        by_type: the same by type; each has ``precision``, ``recall`` and ``f1``.
        missing: ids of gold documents without a prediction; their entities count as missed.
        failed: ids of documents that failed; theirs do as well.
    """

    counts: Counts
    by_type: Mapping[str, Counts]
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def precision(self) -> float:
        """Share of what was predicted that is right."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """Share of gold that was found."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.counts.f1


def score(
    gold: str | Path | Iterable[Mapping[str, Any]],
    predictions: str | Path | Iterable[AnnotatedDocument | Mapping[str, Any]],
) -> Score:
    """Strict scores of predictions against gold; documents are brought together by id.

    Args:
        gold: a labelled file; or dictionaries with ``text``, ``entities`` and, unless they are numbered from 0 alike, ``id``.
        predictions: a file of predictions; or annotated documents; or dictionaries like gold's.

    Raises:
        InputError: one of them cannot be read, is for a document that gold does not have, or stands twice.
    """
    documents = read_gold(Path(gold)) if isinstance(gold, str | Path) else documents_of(gold, "gold")
    wanted = [frozenset(document.entities or ()) for document in documents]
    if isinstance(predictions, str | Path):
        read = read_predictions(Path(predictions), documents)
        by_type = strict_counts(wanted, read.entities)
        return Score(micro(by_type), by_type, read.missing, read.failed)
    found, failed = _found(predictions)
    unknown = sorted(set(found) - {document.id for document in documents})
    if unknown:
        raise InputError(
            f"predictions hold document {unknown[0]!r}, which gold does not have; score the same documents"
        )
    by_type = strict_counts(wanted, [found.get(document.id, frozenset()) for document in documents])
    missing = tuple(document.id for document in documents if document.id not in found)
    return Score(micro(by_type), by_type, missing, tuple(failed))


def _found(
    predictions: Iterable[AnnotatedDocument | Mapping[str, Any]],
) -> tuple[dict[str, frozenset[Entity]], list[str]]:
    found: dict[str, frozenset[Entity]] = {}
    failed: list[str] = []
    for number, item in enumerate(predictions):
        if isinstance(item, AnnotatedDocument):
            name = item.id
            failed += [name] if item.status == "failed" else []
            entities = () if item.status == "failed" else item.entities
            labelled = frozenset(Entity(entity.start, entity.end, entity.type) for entity in entities)
        else:
            document = labelled_document(item, number, "predictions")
            name, labelled = document.id, frozenset(document.entities or ())
        if name in found:
            raise InputError(f"predictions hold document {name!r} twice; give each document once")
        found[name] = labelled
    return found, failed
