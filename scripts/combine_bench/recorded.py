"""Recorded answers of real models: mentions without offsets, placed in their sentences."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from el4ner.text.align import occurrences
from el4ner.text.spans import Entity
from el4ner.vote.table import MemberOutputs

Mentions = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Sentences with their texts and gold entities, and what each answer set, ``member/setting``, found in them."""

    texts: list[str]
    gold: list[frozenset[Entity]]
    rows: list[dict[str, frozenset[Entity]]]
    settings: list[str]

    def chosen(self, setting: str) -> tuple[list[MemberOutputs], list[str]]:
        """The answers of one setting, or of all (an empty name), and the names of their sets."""
        names = sorted({name for row in self.rows for name in row if name.endswith(setting)})
        return [{name: row[name] for name in names if name in row} for row in self.rows], names


def read_recorded(path: Path) -> Recorded:
    """One line a sentence: ``{"id", "text", "gold": [[surface, type]], "members": {member: {setting: [[surface, type]]}}}``.

    Answers of types that gold does not know are dropped, as closed labels would do.
    """
    sentences = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    types = {kind for sentence in sentences for _, kind in sentence["gold"]}
    gold = [place(s["text"], s["gold"], types) for s in sentences]
    rows = [
        {f"{m}/{k}": place(s["text"], a, types) for m, by in s["members"].items() for k, a in by.items()}
        for s in sentences
    ]
    return Recorded(
        [s["text"] for s in sentences], gold, rows, sorted({name.split("/")[1] for row in rows for name in row})
    )


def place(text: str, mentions: Mentions, types: set[str]) -> frozenset[Entity]:
    """Mentions at offsets: the n-th of equal ones at the n-th occurrence; those not in the text lie behind it."""
    seen: Counter[tuple[str, str]] = Counter()
    placed: set[Entity] = set()
    for surface, kind in mentions:
        if not surface or kind not in types:
            continue
        spans = occurrences(surface, text)
        number = seen[surface, kind]
        seen[surface, kind] += 1
        if number < len(spans):
            placed.add(Entity(spans[number].start, spans[number].end, kind))
        else:
            start = len(text) + 10 * (int.from_bytes(surface.encode()[-3:]) + number)
            placed.add(Entity(start, start + 1, kind))
    return frozenset(placed)
