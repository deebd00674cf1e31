"""All members' answers as arrays: one row a candidate, one column a member, and how rival spans bear on each other.

Notation: n candidates, M members. A candidate is a typed span that at least one member found in a document.
"""

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from el4ner.text.spans import Entity, Span


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a member says of a document, where it says more than what it found.

    Attributes:
        found: its entities, each with the probability it gives it, or None where it states none.
        weighed: typed spans that it was asked about and did not choose, with the probabilities it gave them.
        passed: spans that it was asked about and gave no answer for.
    """

    found: Mapping[Entity, float | None]
    weighed: Mapping[Entity, float] = field(default_factory=dict)
    passed: frozenset[Span] = frozenset()


Answers: TypeAlias = Mapping[str, Collection[Entity] | Opinion]
"""What each member that answered found in one document; members that abstained are missing. Where the entities are a
mapping, its values are the probabilities that the member gives them (None: it states none)."""

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
CodeArray: TypeAlias = NDArray[np.int8]

ABSTAINED, SILENT, HINTED, CROSSED, SHIFTED, RETYPED, DOUBTFUL, EXACT, SURE = range(-1, 8)
"""What a member says of a candidate: no answer; nothing there; an overlapping span of another type, or of the same type;
the same span with another type; exactly this. The greatest that applies counts. Probabilities tell more (see ``grades``):
nothing there, but nearly (hinted); exactly this, but doubtful, or sure."""

N_CODES = SURE + 1
GIVEN, WEIGHED, PASSED = 1, 0, -1
"""Stances of a finding: an entity; a probability only; no answer about a candidate of others."""
_REACH = 64
_COLUMNS = ("document", "start", "end", "type", "codes", "rivals")


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
        codes: ``(n, M)``, ``ABSTAINED``, ``SILENT``, ``CROSSED``, ``SHIFTED``, ``RETYPED`` or ``EXACT``.
        rivals: ``(n,)``, how many other candidates overlap it.
        chances: ``(n, M)``, the probability that a member gives a candidate, NaN where it states none; None: nobody does.
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
    chances: FloatArray | None = None

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

    def take(self, rows: IntArray | BoolArray) -> "VoteTable":
        """The table of some rows, in their order."""
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **columns, chances=None if self.chances is None else self.chances[rows])

    def restricted(self, rows: IntArray, members: Sequence[int]) -> "VoteTable":
        """The table of some rows and some members."""
        part, some = self.take(rows), list(members)
        chances = None if part.chances is None else part.chances[:, some]
        names = tuple(self.members[m] for m in some)
        return replace(part, members=names, codes=part.codes[:, some], chances=chances)

    def contains(self, labels: Sequence[Iterable[Entity]]) -> BoolArray:
        """``(n,)``: whether each candidate is among its document's labels."""
        sets = [frozenset(entities) for entities in labels]
        return np.array([self.entity(row) in sets[self.document[row]] for row in range(len(self))], dtype=np.bool_)


def tabulate(documents: Sequence[Answers], members: Sequence[str]) -> VoteTable:
    """The table of all candidates; members that a document does not name have abstained there."""
    column = {name: index for index, name in enumerate(members)}
    findings = _Findings()
    answered = np.zeros((len(documents), len(members)), dtype=np.bool_)
    for number, answers in enumerate(documents):
        for name, entities in answers.items():
            member = column[name]
            answered[number, member] = True
            if isinstance(entities, Opinion):
                findings.add(number, member, entities.found, entities.found.values())
                findings.add(number, member, entities.weighed, entities.weighed.values(), WEIGHED)
                findings.add(number, member, _passed(entities.passed, answers), (), PASSED)
            else:
                findings.add(number, member, entities, entities.values() if isinstance(entities, Mapping) else ())
    return from_cells(*findings.columns(answered, tuple(members)))


def _passed(spans: frozenset[Span], answers: Answers) -> list[Entity]:
    """The candidates of all members that stand at these spans."""
    if not spans:
        return []
    found = (opinion.found if isinstance(opinion, Opinion) else opinion for opinion in answers.values())
    return [entity for entities in found for entity in entities if entity.span in spans]


class _Findings:
    """Findings as they come, in arrays that grow."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._cells = array("q")
        self._chances = array("d")
        self._stances = array("b")

    def add(
        self,
        document: int,
        member: int,
        entities: Collection[Entity],
        chances: Collection[float | None] = (),
        stance: int = GIVEN,
    ) -> None:
        """Add a member's entities in a document; ``chances`` are as many as the entities, or none."""
        names = self._names
        for entity in entities:
            kind = names.setdefault(entity.type, len(names))
            self._cells.extend((document, entity.start, entity.end, kind, member))
        self._stances.extend([stance] * len(entities))
        if chances:
            self._chances.extend([math.nan if chance is None else chance for chance in chances])
        else:
            self._chances.extend([math.nan] * len(entities))

    def columns(
        self, answered: BoolArray, members: tuple[str, ...]
    ) -> tuple[IntArray, BoolArray, tuple[str, ...], tuple[str, ...], FloatArray, IntArray]:
        """The arguments of ``from_cells``, the types being numbered by name."""
        types = sorted(self._names)
        rank = np.zeros(len(types) + 1, dtype=np.int64)
        rank[[self._names[name] for name in types]] = np.arange(len(types))
        cells = np.array(self._cells, dtype=np.int64).reshape(-1, 5)
        cells[:, 3] = rank[cells[:, 3]]
        return cells, answered, members, tuple(types), np.array(self._chances), np.array(self._stances, dtype=np.int64)


def from_cells(
    cells: IntArray,
    answered: BoolArray,
    members: tuple[str, ...],
    types: tuple[str, ...],
    chances: FloatArray | None = None,
    stances: IntArray | None = None,
) -> VoteTable:
    """The table of single findings.

    Args:
        cells: ``(findings, 5)``: document, start, end, type number, member number.
        answered: ``(documents, M)``.
        members: names of the columns.
        types: names of the types.
        chances: ``(findings,)``, the member's probability, NaN where it states none; None: there are none.
        stances: ``(findings,)``, ``GIVEN``, ``WEIGHED`` or ``PASSED``; None: all are given.
    """
    order = np.lexsort(cells[:, 3::-1].T)
    cells = cells[order]
    first = np.ones(len(cells), dtype=np.bool_)
    first[1:] = (cells[1:, :4] != cells[:-1, :4]).any(axis=1)
    row, member = np.cumsum(first) - 1, cells[:, 4]
    places = cells[first, :4]
    votes = np.zeros((len(places), len(members)), dtype=np.bool_)
    given = np.ones(len(cells), dtype=np.bool_) if stances is None else stances[order] == GIVEN
    votes[row[given], member[given]] = True
    stated = None
    if chances is not None and not np.isnan(chances).all():
        stated = np.full(votes.shape, np.nan)
        stated[row, member] = chances[order]
    codes = np.where(answered[places[:, 0]], np.int8(SILENT), np.int8(ABSTAINED))
    if stances is not None:
        passed = stances[order] == PASSED
        codes[row[passed], member[passed]] = ABSTAINED
        found = votes.any(axis=1)
        if not found.all():
            places, votes, codes = places[found], votes[found], codes[found]
            stated = None if stated is None else stated[found]
    document, start, end, kind = (np.ascontiguousarray(column) for column in places.T)
    rivals = _add_rivals(codes, votes, document, start, end, kind)
    codes[votes] = EXACT
    return VoteTable(members, types, len(answered), document, start, end, kind, codes, rivals, stated)


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
