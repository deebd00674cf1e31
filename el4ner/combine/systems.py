"""Several systems' predictions for the same documents, side by side; an abstention is not an empty answer."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from el4ner.combine.platt import sigmoid
from el4ner.combine.records import Found, read_candidates, read_entities
from el4ner.errors import InputError
from el4ner.text.files import CONLL_SUFFIXES, JSONL_SUFFIXES
from el4ner.text.formats import read_documents, read_labelled
from el4ner.text.spans import Entity
from el4ner.vote.table import MemberOutput, MemberOutputs
from el4ner.vote.votes import member_outputs

System: TypeAlias = Mapping[str, Found | MemberOutput | None]
"""What a system says of each document, by id; None: it failed there."""
_FULL = 20.0
"""Scores above this, up to 100 and none below 0, are percent: as log-odds they would all be certainties."""


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
    rows: dict[str, dict[str, MemberOutput]] = {}
    for identity, answered, candidates in read_candidates(path):
        votes = {candidate.span: candidate.votes for candidate in candidates or ()}
        silent = {name: MemberOutput({}, unanswered=frozenset(votes)) for name in answered}
        rows[identity] = {**silent, **member_outputs(votes)}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {identity: row.get(name) for identity, row in rows.items()} for name in names}


def renamed(ids: Collection[str], own: str, known: Collection[str]) -> dict[str, str]:
    """What ids of a file are called by the others: themselves, or without the file's own name, or those of the same number.

    A run calls the second sentence of ``letters.conll`` ``letters:2``; a column file without ids has only its number.

    Args:
        ids: the file's, as they stand.
        own: the beginning that the file's name gives to ids that it does not state.
        known: the ids of the other files.

    Returns:
        New names by id, of those whose name changes.
    """
    if not known or not set(ids).isdisjoint(known):
        return {}
    bare = {identity: identity.removeprefix(own) for identity in ids}
    numbers = _numbers(known)
    if set(bare.values()).isdisjoint(known) and _are_numbers(bare.values()):
        bare = {identity: numbers.get(name, name) for identity, name in bare.items()}
    elif _are_numbers(known):
        bare = {identity: number for number, identity in _numbers(ids).items()}
    return {identity: name for identity, name in bare.items() if name != identity}


def _numbers(ids: Collection[str]) -> dict[str, str]:
    """Ids ``NAME:N`` of one name by N; none if there are others."""
    parted = {identity: identity.rpartition(":") for identity in ids}
    if len({name for name, _, _ in parted.values()}) != 1 or not all(n.isdecimal() for _, _, n in parted.values()):
        return {}
    return {number: identity for identity, (_, _, number) in parted.items()}


def _are_numbers(ids: Iterable[str]) -> bool:
    return all(identity.isdecimal() for identity in ids)


def meet(systems: Mapping[str, System]) -> dict[str, System]:
    """The systems with ids by which they meet: those of the first one.

    Raises:
        InputError: one has no document in common with any other.
    """
    met: dict[str, System] = {}
    known: set[str] = set()
    for name, system in systems.items():
        names = renamed(list(system), "", known)
        met[name] = {names.get(identity, identity): said for identity, said in system.items()}
        known |= met[name].keys()
    for name, system in met.items():
        others: set[str] = set().union(*(other.keys() for key, other in met.items() if key != name))
        if len(met) > 1 and system and others and others.isdisjoint(system):
            raise InputError(
                f"{name} has no document in common with the others (for instance {next(iter(system))!r} and {min(others)!r}); "
                "give the same documents the same ids"
            )
    return met


def align_systems(
    systems: Mapping[str, System],
) -> tuple[list[str], list[MemberOutputs]]:
    """All document ids, in the order they are first met, and what each system that answered found in each of them."""
    ids = list(dict.fromkeys(identity for system in systems.values() for identity in system))
    rows: list[MemberOutputs] = []
    for identity in ids:
        stated = ((name, system.get(identity)) for name, system in systems.items())
        rows.append({name: entities for name, entities in stated if entities is not None})
    return ids, rows


def read_gold(path: Path, ids: Collection[str]) -> dict[str, frozenset[Entity]]:
    """The gold entities of each labelled document, by its id among the predicted ones, ``ids``, where it is one of them.

    Raises:
        InputError: the file cannot be read, or a document has no labels.
    """
    gold = {d.id: frozenset(d.entities or ()) for d in read_labelled(path)}
    names = renamed(gold, f"{path.stem}:", ids)
    return {names.get(identity, identity): entities for identity, entities in gold.items()}


def read_texts(inputs: Sequence[str], ids: Sequence[str]) -> list[str]:
    """The texts of the documents with these ids, in their order.

    Raises:
        InputError: an input cannot be read, or lacks a document.
    """
    texts = known_texts(inputs, ids)
    missing = [identity for identity in ids if identity not in texts]
    if missing:
        raise InputError(f"--documents lacks {len(missing):,} predicted documents, the first is {missing[0]!r}")
    return [texts[identity] for identity in ids]


def known_texts(inputs: Sequence[str], ids: Collection[str]) -> dict[str, str]:
    """The texts of documents, by their ids among the predicted ones, ``ids``, where they are of them.

    Raises:
        InputError: an input cannot be read.
    """
    texts: dict[str, str] = {}
    for path in inputs:
        read = {d.id: d.text for d in read_documents([path])}
        names = renamed(read, f"{Path(path).stem}:", ids)
        texts.update((names.get(identity, identity), text) for identity, text in read.items())
    return texts


def _as_probabilities(found: dict[str, Found | None]) -> dict[str, Found | None]:
    """Scores that are logarithms of probabilities (none above 0), in percent, or on some other scale, brought between 0 and 1."""
    stated = [s for entities in found.values() if entities for s in entities.values() if s is not None]
    low, high = min(stated, default=0.0), max(stated, default=0.0)
    if low >= 0 and high <= 1:
        return found
    squash = math.exp if high <= 0 else _of_percent if low >= 0 and _FULL < high <= 100 else _of_logit
    for entities in found.values():
        for entity, score in (entities or {}).items():
            if entities and score is not None:
                entities[entity] = squash(score)
    return found


def _of_percent(x: float) -> float:
    return x / 100


def _of_logit(x: float) -> float:
    return float(sigmoid(np.array(x)))
