"""What leaked: gold entities whose characters still stand in the masked documents."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from el4ner.errors import InputError
from el4ner.mask.places import Place
from el4ner.text.documents import Document
from el4ner.text.spans import Entity

WARNING = (
    "No recogniser finds everything, and what none finds stays in the text: with a recall of 95 %, a document that names "
    "20 people is clean in 36 of 100 cases. Have the result read before it leaves; --audit GOLD measures what leaks."
)


@dataclass(slots=True)
class Audit:
    """Compares masked places with gold, document by document.

    Attributes:
        gold: labelled documents by id.
        types: that count; None: all.
    """

    gold: Mapping[str, Document]
    types: frozenset[str] | None = None
    _entities: Counter[str] = field(default_factory=Counter)
    _leaks: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _documents: Counter[bool] = field(default_factory=Counter)

    def leaks(self, document: Document, places: Sequence[Place]) -> Iterator[Entity]:
        """Count a document that was written; gives the gold entities that can still be read, wholly or in part.

        Raises:
            InputError: gold has another text for it.
        """
        if (gold := self.gold.get(document.id)) is None:
            return
        if gold.text != document.text:
            raise InputError(f"gold has another text for document {document.id!r}; audit with labels of the same texts")
        covered = bytearray(len(document.text))
        for place in places:
            covered[place.start : place.end] = b"\1" * (place.end - place.start)
        leaky = False
        for entity in gold.entities or ():
            if self.types is not None and entity.type not in self.types:
                continue
            self._entities[entity.type] += 1
            signs = [covered[at] for at in range(entity.start, entity.end) if document.text[at].isalnum()]
            if not all(signs):
                self._leaks[entity.type, any(signs)] += 1
                leaky = True
                yield entity
        self._documents[leaky] += 1

    def report(self) -> list[str]:
        """The counts as lines; no text.

        Raises:
            InputError: no document that was written has labels.
        """
        documents = self._documents.total()
        if not documents:
            raise InputError("audit: gold has none of the documents that were written; their ids must be the same")
        lines = [f"{'leaked':14}{'gold':>8}{'wholly':>8}{'in part':>8}  share (95 % interval)"]
        for name, kinds in [*((kind, {kind}) for kind in sorted(self._entities)), ("all", set(self._entities))]:
            gold = sum(self._entities[kind] for kind in kinds)
            wholly, partly = (sum(self._leaks[kind, part] for kind in kinds) for part in (False, True))
            lines.append(f"{name:14}{gold:8,}{wholly:8,}{partly:8,}  {_share(wholly + partly, gold)}")
        lines.append(
            f"{'documents':14}{documents:8,}{self._documents[True]:8,}{'':8}  {_share(self._documents[True], documents)}"
        )
        if missing := len(self.gold) - documents:
            lines.append(f"not audited: {missing:,} gold documents that were not in the input, or were withheld")
        return lines


def _share(part: int, whole: int) -> str:
    """A share in percent, with its Wilson interval."""
    if not whole:
        return "-"
    share, z = part / whole, 1.96
    spread = z * math.sqrt(share * (1 - share) / whole + (z / whole) ** 2 / 4)
    centre, scale = share + z**2 / (2 * whole), 1 + z**2 / whole
    return f"{share:.1%} ({max(0.0, (centre - spread) / scale):.1%} to {(centre + spread) / scale:.1%})"
