"""Scores of the rows of an ablation, and how sure their differences to the ensemble are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ablation.variants import Variant
from el4ner.batch.journal import PREDICTIONS
from el4ner.scoring.bootstrap import bootstrap_f1, bootstrap_p_value
from el4ner.scoring.counts import document_counts, micro, span_counts, strict_counts
from el4ner.scoring.labels import TypeSelection
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.documents import Document
from el4ner.text.new_files import write_atomically

GOLD = "gold.jsonl"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds for all documents (None: not all was computed) and calls per document."""

    seconds: float | None
    calls: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Strict micro scores and span-only F1 from 0 to 1, the difference of F1 to the ensemble, and incomplete documents."""

    precision: float
    recall: float
    f1: float
    span_f1: float
    difference: float
    p_value: float
    failed: int
    partial: int


@dataclass(frozen=True, slots=True)
class Block:
    """The columns of one gold file: its name, its number of documents, and by row its scores and costs."""

    name: str
    documents: int
    scores: Mapping[str, Scores]
    costs: Mapping[str, Cost]


def write_gold(documents: Sequence[Document], path: Path) -> None:
    """Write labelled documents as JSON lines, readable by the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(map(_gold_line, documents)))


def score(folder: Path, variants: Sequence[Variant], types: Sequence[str], samples: int) -> dict[str, Scores]:
    """Scores of every row's predictions in the folder of one gold file; only the configured types count."""
    documents = read_gold(folder / GOLD)
    selection = TypeSelection(kept=frozenset(types))
    wanted = [selection.apply(document.entities or ()) for document in documents]
    read = [read_predictions(folder / variant.folder / PREDICTIONS, documents) for variant in variants]
    found = [[selection.apply(entities) for entities in predictions.entities] for predictions in read]
    sampled = bootstrap_f1(np.stack([document_counts(wanted, system) for system in found]), samples)
    strict = [micro(strict_counts(wanted, system)) for system in found]
    result = {}
    for row, variant in enumerate(variants):
        difference = strict[row].f1 - strict[0].f1
        result[variant.name] = Scores(
            precision=strict[row].precision,
            recall=strict[row].recall,
            f1=strict[row].f1,
            span_f1=span_counts(wanted, found[row]).f1,
            difference=difference,
            p_value=bootstrap_p_value(difference, sampled[:, row] - sampled[:, 0]),
            failed=len(read[row].failed),
            partial=len(read[row].partial),
        )
    return result


def _gold_line(document: Document) -> str:
    entities = [{"start": e.start, "end": e.end, "type": e.type} for e in document.entities or ()]
    record = {"id": document.id, "text": document.text, "entities": entities}
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_json(blocks: Sequence[Block], variants: Sequence[Variant], path: Path) -> None:
    """All numbers, with the hash of each row's configuration."""
    content = {
        "variants": {variant.name: variant.config.hash() for variant in variants},
        "sets": [asdict(block) for block in blocks],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
