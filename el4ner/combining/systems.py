"""Several systems' predictions for the same documents, side by side; an abstention is not an empty answer."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from el4ner.combining.records import Found, read_candidates, read_entities
from el4ner.ensemble.ballots import opinions
from el4ner.ensemble.table import Answers, Opinion
from el4ner.errors import InputError
from el4ner.text.files import CONLL_SUFFIXES, JSONL_SUFFIXES
from el4ner.text.formats import read_documents, read_labelled
from el4ner.text.spans import Entity

System: TypeAlias = Mapping[str, Found | Opinion | None]
"""What a system says of each document, by id; None: it failed there."""


def read_system(path: Path) -> dict[str, Found | None]:
    """The entities that a file holds for each document id, in its order; None: the system failed there.

    JSON lines have an ``id`` and ``entities`` with ``start``, ``end``, ``type`` and perhaps a ``score``, greater where
    the system is surer; a record with the status failed is an abstention. Column files have ``# id = X`` comments, or
    else sentences meet by their number.

    Raises:
        InputError: the file cannot be read, a record is malformed, or an id stands twice.
    """
    suffix = path.suffix.lower()
    if suffix in JSONL_SUFFIXES:
        records = read_entities(path)
    elif suffix in CONLL_SUFFIXES:
        own = f"{path.stem}:"
        records = ((d.id.removeprefix(own), dict.fromkeys(d.entities or ())) for d in read_labelled(path))
    else:
        known = ", ".join(sorted(JSONL_SUFFIXES | CONLL_SUFFIXES))
        raise InputError(f"predictions {path}: unknown suffix; rename the file to one of {known}")
    found: dict[str, Found | None] = {}
    for identity, entities in records:
        if identity in found:
            raise InputError(f"{path}: a second record for document {identity!r}; keep one")
        found[identity] = entities
    return _as_probabilities(found)


def read_run(path: Path) -> dict[str, System]:
    """What each member of a run says of each document, from records with candidates.

    A member that answered and voted for nothing says so; one that did not vote on a candidate passed it by.

    Raises:
        InputError: the file cannot be read, or a record is malformed or holds no candidates.
    """
    rows: dict[str, dict[str, Opinion]] = {}
    for identity, answered, candidates in read_candidates(path):
        ballots = {candidate.span: candidate.ballots for candidate in candidates or ()}
        silent = {name: Opinion({}, passed=frozenset(ballots)) for name in answered}
        rows[identity] = {**silent, **opinions(ballots)}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {identity: row.get(name) for identity, row in rows.items()} for name in names}


def side_by_side(
    systems: Mapping[str, System],
) -> tuple[list[str], list[Answers]]:
    """All document ids, in the order they are first met, and what each system that answered found in each of them."""
    ids = list(dict.fromkeys(identity for system in systems.values() for identity in system))
    rows: list[Answers] = []
    for identity in ids:
        stated = ((name, system.get(identity)) for name, system in systems.items())
        rows.append({name: entities for name, entities in stated if entities is not None})
    return ids, rows


def read_gold(path: Path) -> dict[str, frozenset[Entity]]:
    """The gold entities of each labelled document, by its id as ``read_system`` gives it.

    Raises:
        InputError: the file cannot be read, or a document has no labels.
    """
    own = f"{path.stem}:"
    return {d.id.removeprefix(own): frozenset(d.entities or ()) for d in read_labelled(path)}


def read_texts(inputs: Sequence[str], ids: Sequence[str]) -> list[str]:
    """The texts of the documents with these ids, in their order.

    Raises:
        InputError: an input cannot be read, or lacks a document.
    """
    texts: dict[str, str] = {}
    for path in inputs:
        own = f"{Path(path).stem}:"
        texts.update((d.id.removeprefix(own), d.text) for d in read_documents([path]))
    missing = [identity for identity in ids if identity not in texts]
    if missing:
        raise InputError(f"--documents lacks {len(missing):,} predicted documents, the first is {missing[0]!r}")
    return [texts[identity] for identity in ids]


def _as_probabilities(found: dict[str, Found | None]) -> dict[str, Found | None]:
    """Scores that are logarithms of probabilities (none above 0), or on some other scale, brought between 0 and 1."""
    stated = [s for entities in found.values() if entities for s in entities.values() if s is not None]
    low, high = min(stated, default=0.0), max(stated, default=0.0)
    if low >= 0 and high <= 1:
        return found
    squash = math.exp if high <= 0 else _sigmoid
    for entities in found.values():
        for entity, score in (entities or {}).items():
            if entities and score is not None:
                entities[entity] = squash(score)
    return found


def _sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))
