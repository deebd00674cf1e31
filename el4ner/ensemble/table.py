"""All members' answers as arrays: one row a candidate, one column a member, and how rival spans bear on each other.

Notation: n candidates, M members. A candidate is a typed span that at least one member found in a document.
"""

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from el4ner.text.spans import Entity

Answers: TypeAlias = Mapping[str, Collection[Entity]]
"""What each member that answered found in one document; members that abstained are missing. Where the entities are a
mapping, its values are the member's confidences (None: it states none)."""

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
CodeArray: TypeAlias = NDArray[np.int8]

ABSTAINED, SILENT, CROSSED, SHIFTED, RETYPED, DOUBTFUL, EXACT, SURE = range(-1, 7)
"""What a member says of a candidate: no answer; nothing there; an overlapping span of another type, or of the same type;
the same span with another type; exactly this (with a confidence in the lower or the upper third of its own: doubtful, or
sure). The greatest that applies counts."""

N_CODES = SURE + 1
_REACH = 64


@dataclass(frozen=True, slots=True)
class VoteTable:
    """Candidates in order of document, start, end and type, and what each member says of them.

    Attributes:
        members: names, in the order of the columns.
        types: type names, in the order of their numbers.
        n_documents: documents, with and without candidates.
        document: ``(n,)``, number of the document.
        start: ``(n,)``, first code point.
        end: ``(n,)``, code point after the last.
        type: ``(n,)``, number of the type.
        codes: ``(n, M)``, see ``ABSTAINED`` to ``SURE``.
        rivals: ``(n,)``, how many other candidates overlap it.
    """

    members: tuple[str, ...]
    types: tuple[str, ...]
    n_documents: int
    document: IntArray
    start: IntArray
    end: IntArray
    type: IntArray
    codes: CodeArray
    rivals: IntArray

    def __len__(self) -> int:
        return len(self.document)

    @property
    def votes(self) -> BoolArray:
        """``(n, M)``: who found exactly this."""
        return np.asarray(self.codes >= DOUBTFUL)

    @property
    def answered(self) -> BoolArray:
        """``(n, M)``: who answered in the candidate's document."""
        return np.asarray(self.codes != ABSTAINED)

    def entity(self, row: int) -> Entity:
        """The candidate of a row."""
        return Entity(int(self.start[row]), int(self.end[row]), self.types[self.type[row]])

    def take(self, rows: NDArray[np.int64] | BoolArray) -> "VoteTable":
        """The table of some rows, in their order."""
        columns = (getattr(self, name)[rows] for name in ("document", "start", "end", "type", "codes", "rivals"))
        return VoteTable(self.members, self.types, self.n_documents, *columns)

    def restricted(self, rows: IntArray, members: Sequence[int]) -> "VoteTable":
        """The table of some rows and some members."""
        part = self.take(rows)
        return replace(part, members=tuple(self.members[m] for m in members), codes=part.codes[:, list(members)])

    def contains(self, labels: Sequence[Iterable[Entity]]) -> BoolArray:
        """``(n,)``: whether each candidate is among its document's labels."""
        sets = [frozenset(entities) for entities in labels]
        return np.array([self.entity(row) in sets[self.document[row]] for row in range(len(self))], dtype=np.bool_)


def tabulate(documents: Sequence[Answers], members: Sequence[str]) -> VoteTable:
    """The table of all candidates; members that a document does not name have abstained there."""
    column = {name: index for index, name in enumerate(members)}
    names: dict[str, int] = {}
    found = array("q")
    confidences = array("d")
    answered = np.zeros((len(documents), len(members)), dtype=np.bool_)
    for number, answers in enumerate(documents):
        for name, entities in answers.items():
            member = column[name]
            answered[number, member] = True
            stated: Mapping[Entity, float | None] = entities if isinstance(entities, Mapping) else {}
            for entity in entities:
                kind = names.setdefault(entity.type, len(names))
                found.extend((number, entity.start, entity.end, kind, member))
                confidence = stated.get(entity)
                confidences.append(math.nan if confidence is None else confidence)
    types = sorted(names)
    rank = np.zeros(len(names), dtype=np.int64)
    rank[[names[name] for name in types]] = np.arange(len(types))
    cells = np.array(found, dtype=np.int64).reshape(-1, 5)
    cells[:, 3] = rank[cells[:, 3]] if len(types) else cells[:, 3]
    return from_cells(cells, answered, tuple(members), tuple(types), np.array(confidences))


def from_cells(
    cells: IntArray,
    answered: BoolArray,
    members: tuple[str, ...],
    types: tuple[str, ...],
    confidences: FloatArray | None = None,
) -> VoteTable:
    """The table of single findings.

    Args:
        cells: ``(findings, 5)``: document, start, end, type number, member number.
        answered: ``(documents, M)``.
        members: names of the columns.
        types: names of the types.
        confidences: ``(findings,)``, of each finding, NaN where there is none; None: there are none.
    """
    order = np.lexsort(cells[:, 3::-1].T)
    grades = _grades(cells[:, 4], confidences, len(members))[order]
    cells = cells[order]
    first = np.ones(len(cells), dtype=np.bool_)
    first[1:] = (cells[1:, :4] != cells[:-1, :4]).any(axis=1)
    row = np.cumsum(first) - 1
    document, start, end, kind = (np.ascontiguousarray(column) for column in cells[first, :4].T)
    exact = np.zeros((len(document), len(members)), dtype=np.int8)
    exact[row, cells[:, 4]] = grades
    codes = np.where(answered[document], np.int8(SILENT), np.int8(ABSTAINED))
    rivals = _add_rivals(codes, exact > 0, document, start, end, kind)
    codes[exact > 0] = exact[exact > 0]
    return VoteTable(members, types, len(answered), document, start, end, kind, codes, rivals)


def _grades(member: IntArray, confidences: FloatArray | None, n_members: int) -> CodeArray:
    """``DOUBTFUL``, ``EXACT`` or ``SURE`` by the thirds of each member's own confidences; they need no common scale."""
    grades = np.full(len(member), EXACT, dtype=np.int8)
    for number in range(n_members if confidences is not None else 0):
        mine = np.flatnonzero(member == number)
        stated = confidences[mine]  # type: ignore[index]
        if not len(stated) or np.isnan(stated).any():
            continue
        low, high = np.quantile(stated, [1 / 3, 2 / 3])
        if low < high:
            grades[mine] = np.where(stated <= low, DOUBTFUL, np.where(stated > high, SURE, EXACT))
    return grades


def _add_rivals(
    codes: CodeArray, votes: BoolArray, document: IntArray, start: IntArray, end: IntArray, kind: IntArray
) -> IntArray:
    """Enter into the codes what the votes for overlapping candidates say; gives the number of those candidates."""
    rivals = np.zeros(len(document), dtype=np.int64)
    for one, two in overlapping(document, start, end):
        same_span = (start[one] == start[two]) & (end[one] == end[two])
        code = np.where(same_span, RETYPED, np.where(kind[one] == kind[two], SHIFTED, CROSSED)).astype(np.int8)
        for mine, other in ((one, two), (two, one)):
            heard = np.where(votes[other] & (codes[mine] != ABSTAINED), code[:, None], np.int8(ABSTAINED))
            codes[mine] = np.maximum(codes[mine], heard)
            rivals[mine] += 1
    return rivals


def overlapping(document: IntArray, start: IntArray, end: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows that overlap, for candidates in order: each yield pairs rows with the ones that stand equally far behind them.

    A row stands at most once on either side of a yield. Rows more than 64 places apart are not compared.
    """
    for distance in range(1, min(_REACH, len(document))):
        same = document[:-distance] == document[distance:]
        if not same.any():
            return
        one = np.flatnonzero(same & (start[distance:] < end[:-distance]))
        yield one, one + distance
