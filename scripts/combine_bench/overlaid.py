"""Made-up members over real, labelled texts: what they overlook and invent hangs on surfaces, as it does with models."""

import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from el4ner.text.formats import read_labelled
from el4ner.text.spans import Entity
from el4ner.vote.table import MemberOutputs

_TEMPTING = re.compile(r"\b[A-Z]\w{2,}\b|\b\w{7,}\b")
_RETYPED, _TOO_LONG = 0.12, 0.1


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Texts with gold entities, and what made-up members found in them."""

    texts: list[str]
    gold: list[frozenset[Entity]]
    rows: list[MemberOutputs]
    members: list[str]


def overlay(path: Path, n_documents: int, seed: int) -> Overlaid:
    """Three to five members of different recall and greed over the first documents of a labelled file.

    How hard a surface is to notice is shared by all members and all of its places, with a part of each member's own
    and of each place's own; capitalised and long words that are no entities tempt them.
    """
    documents = list(read_labelled(path))[:n_documents]
    gold = [frozenset(document.entities or ()) for document in documents]
    types = sorted({entity.type for entities in gold for entity in entities})
    rng = np.random.default_rng(seed)
    n_members = int(rng.integers(3, 6))
    skill, greed = rng.normal(0.5, 0.7, n_members), rng.normal(-3.2, 0.6, n_members)
    moods: defaultdict[tuple[str, bool], np.ndarray] = defaultdict(lambda: rng.normal(0, 1, n_members + 1))
    rows: list[MemberOutputs] = []
    for document, entities in zip(documents, gold, strict=True):
        found: dict[str, set[Entity]] = {f"m{member}": set() for member in range(n_members)}
        for entity, real in _things(document.text, entities, types):
            mood = moods[document.text[entity.start : entity.end].casefold(), real]
            probability = (skill if real else greed) + 1.2 * mood[-1] + 0.6 * mood[:-1] + rng.normal(0, 0.7)
            for member in np.flatnonzero(rng.random(n_members) < 1 / (1 + np.exp(-probability))):
                found[f"m{member}"].add(_slipped(rng, document.text, entity, types))
        rows.append({name: frozenset(mine) for name, mine in found.items()})
    return Overlaid([d.text for d in documents], gold, rows, [f"m{member}" for member in range(n_members)])


def _things(text: str, gold: frozenset[Entity], types: Sequence[str]) -> list[tuple[Entity, bool]]:
    """Entities, and words outside of them that tempt, each always with the same type."""
    things = [(entity, True) for entity in sorted(gold)]
    for match in _TEMPTING.finditer(text):
        kind = types[zlib.crc32(match.group().casefold().encode()) % len(types)]
        lure = Entity(match.start(), match.end(), kind)
        if not any(lure.span.overlaps(entity.span) for entity in gold):
            things.append((lure, False))
    return things


def _slipped(rng: np.random.Generator, text: str, entity: Entity, types: Sequence[str]) -> Entity:
    kind = types[int(rng.integers(len(types)))] if rng.random() < _RETYPED else entity.type
    space = text.find(" ", entity.end + 1) if rng.random() < _TOO_LONG else -1
    return Entity(entity.start, max(space, entity.end), kind)
