"""All members' answers as arrays: one row a candidate, one column a member, and how overlapping spans bear on each other.

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
class MemberOutput:
    """What a member says of a document, where it says more than what it found.

    Attributes:
        found: its entities, each with the probability it gives it, or None where it states none.
        alternatives: typed spans that it was asked about and did not choose, with the probabilities it gave them.
        unanswered: spans that it was asked about and gave no answer for.
    """

    found: Mapping[Entity, float | None]
    alternatives: Mapping[Entity, float] = field(default_factory=dict)
    unanswered: frozenset[Span] = frozenset()


MemberOutputs: TypeAlias = Mapping[str, Collection[Entity] | MemberOutput]
"""What each member that answered found in one document; members that abstained are missing. Where the entities are a
mapping, its values are the probabilities that the member gives them (None: it states none)."""

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]
CodeArray: TypeAlias = NDArray[np.int8]

(
    ABSTAINED,
    NOT_FOUND,
    NEARLY_FOUND,
    OVERLAPS_OTHER_TYPE,
    OVERLAPS_SAME_TYPE,
    OTHER_TYPE,
    FOUND_UNSURE,
    FOUND,
    FOUND_SURE,
) = range(-1, 8)
"""What a member says of a candidate; the greatest that applies counts.

No answer; not found; an overlapping span of another type, or of the same type; the same span with another type; found.
The member's probabilities tell more (see ``confidence_bins``): nearly found, found but unsure, found and sure."""

N_CODES = FOUND_SURE + 1
CHOSEN, ALTERNATIVE, UNANSWERED = 1, 0, -1
"""Kinds of finding: an entity; a probability only; no answer about a candidate of others."""
_REACH = 64
_COLUMNS = ("document", "start", "end", "type", "codes", "n_overlapping")


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
        codes: ``(n, M)``, ``ABSTAINED``, ``NOT_FOUND``, ``OVERLAPS_OTHER_TYPE``, ``OVERLAPS_SAME_TYPE``, ``OTHER_TYPE`` or
            ``FOUND``.
        n_overlapping: ``(n,)``, how many other candidates overlap it.
        probabilities: ``(n, M)``, the probability that a member gives a candidate, NaN where it states none; None: nobody does.
    """

    members: tuple[str, ...]
    types: tuple[str, ...]
    n_documents: int
    document: IntArray
    start: IntArray
    end: IntArray
    type: IntArray
    codes: CodeArray
    n_overlapping: IntArray
    probabilities: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.document)

    @property
    def votes(self) -> BoolArray:
        """``(n, M)``: who found exactly this."""
        return np.asarray(self.codes >= FOUND_UNSURE)

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
        return replace(self, **columns, probabilities=None if self.probabilities is None else self.probabilities[rows])

    def restricted(self, rows: IntArray, members: Sequence[int]) -> "VoteTable":
        """The table of some rows and some members."""
        part, some = self.take(rows), list(members)
        probabilities = None if part.probabilities is None else part.probabilities[:, some]
        names = tuple(self.members[m] for m in some)
        return replace(part, members=names, codes=part.codes[:, some], probabilities=probabilities)

    def contains(self, labels: Sequence[Iterable[Entity]]) -> BoolArray:
        """``(n,)``: whether each candidate is among its document's labels."""
        sets = [frozenset(entities) for entities in labels]
        return np.array([self.entity(row) in sets[self.document[row]] for row in range(len(self))], dtype=np.bool_)


def tabulate(documents: Sequence[MemberOutputs], members: Sequence[str]) -> VoteTable:
    """The table of all candidates; members that a document does not name have abstained there."""
    column = {name: index for index, name in enumerate(members)}
    findings = _Findings()
    answered = np.zeros((len(documents), len(members)), dtype=np.bool_)
    for number, answers in enumerate(documents):
        for name, entities in answers.items():
            member = column[name]
            answered[number, member] = True
            if isinstance(entities, MemberOutput):
                findings.add(number, member, entities.found, entities.found.values())
                findings.add(number, member, entities.alternatives, entities.alternatives.values(), ALTERNATIVE)
                findings.add(number, member, _unanswered(entities.unanswered, answers), (), UNANSWERED)
            else:
                findings.add(number, member, entities, entities.values() if isinstance(entities, Mapping) else ())
    return from_cells(*findings.columns(answered, tuple(members)))


def _unanswered(spans: frozenset[Span], answers: MemberOutputs) -> list[Entity]:
    """The candidates of all members that stand at these spans."""
    if not spans:
        return []
    found = (output.found if isinstance(output, MemberOutput) else output for output in answers.values())
    return [entity for entities in found for entity in entities if entity.span in spans]


class _Findings:
    """Findings as they come, in arrays that grow."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._cells = array("q")
        self._probabilities = array("d")
        self._finding_kinds = array("b")

    def add(
        self,
        document: int,
        member: int,
        entities: Collection[Entity],
        probabilities: Collection[float | None] = (),
        kind_of_finding: int = CHOSEN,
    ) -> None:
        """Add a member's entities in a document; ``probabilities`` are as many as the entities, or none."""
        names = self._names
        for entity in entities:
            kind = names.setdefault(entity.type, len(names))
            self._cells.extend((document, entity.start, entity.end, kind, member))
        self._finding_kinds.extend([kind_of_finding] * len(entities))
        if probabilities:
            self._probabilities.extend(
                [math.nan if probability is None else probability for probability in probabilities]
            )
        else:
            self._probabilities.extend([math.nan] * len(entities))

    def columns(
        self, answered: BoolArray, members: tuple[str, ...]
    ) -> tuple[IntArray, BoolArray, tuple[str, ...], tuple[str, ...], FloatArray, IntArray]:
        """The arguments of ``from_cells``, the types being numbered by name."""
        types = sorted(self._names)
        rank = np.zeros(len(types) + 1, dtype=np.int64)
        rank[[self._names[name] for name in types]] = np.arange(len(types))
        cells = np.array(self._cells, dtype=np.int64).reshape(-1, 5)
        cells[:, 3] = rank[cells[:, 3]]
        return (
            cells,
            answered,
            members,
            tuple(types),
            np.array(self._probabilities),
            np.array(self._finding_kinds, dtype=np.int64),
        )


def from_cells(
    cells: IntArray,
    answered: BoolArray,
    members: tuple[str, ...],
    types: tuple[str, ...],
    probabilities: FloatArray | None = None,
    finding_kinds: IntArray | None = None,
) -> VoteTable:
    """The table of single findings.

    Args:
        cells: ``(findings, 5)``: document, start, end, type number, member number.
        answered: ``(documents, M)``.
        members: names of the columns.
        types: names of the types.
        probabilities: ``(findings,)``, the member's probability, NaN where it states none; None: there are none.
        finding_kinds: ``(findings,)``, ``CHOSEN``, ``ALTERNATIVE`` or ``UNANSWERED``; None: all are given.
    """
    order = np.lexsort(cells[:, 3::-1].T)
    cells = cells[order]
    first = np.ones(len(cells), dtype=np.bool_)
    first[1:] = (cells[1:, :4] != cells[:-1, :4]).any(axis=1)
    row, member = np.cumsum(first) - 1, cells[:, 4]
    places = cells[first, :4]
    votes = np.zeros((len(places), len(members)), dtype=np.bool_)
    given = np.ones(len(cells), dtype=np.bool_) if finding_kinds is None else finding_kinds[order] == CHOSEN
    votes[row[given], member[given]] = True
    stated = None
    if probabilities is not None and not np.isnan(probabilities).all():
        stated = np.full(votes.shape, np.nan)
        stated[row, member] = probabilities[order]
    codes = np.where(answered[places[:, 0]], np.int8(NOT_FOUND), np.int8(ABSTAINED))
    if finding_kinds is not None:
        unanswered = finding_kinds[order] == UNANSWERED
        codes[row[unanswered], member[unanswered]] = ABSTAINED
        found = votes.any(axis=1)
        if not found.all():
            places, votes, codes = places[found], votes[found], codes[found]
            stated = None if stated is None else stated[found]
    document, start, end, kind = (np.ascontiguousarray(column) for column in places.T)
    n_overlapping = _add_overlaps(codes, votes, document, start, end, kind)
    codes[votes] = FOUND
    return VoteTable(members, types, len(answered), document, start, end, kind, codes, n_overlapping, stated)


def _add_overlaps(
    codes: CodeArray, votes: BoolArray, document: IntArray, start: IntArray, end: IntArray, kind: IntArray
) -> IntArray:
    """Enter into the codes what the votes for overlapping candidates say; gives the number of those candidates."""
    n_overlapping = np.zeros(len(document), dtype=np.int64)
    for one, two in overlapping(document, start, end):
        same_span = (start[one] == start[two]) & (end[one] == end[two])
        code = np.where(
            same_span, OTHER_TYPE, np.where(kind[one] == kind[two], OVERLAPS_SAME_TYPE, OVERLAPS_OTHER_TYPE)
        ).astype(np.int8)
        for mine, other in ((one, two), (two, one)):
            stated = np.where(votes[other] & (codes[mine] != ABSTAINED), code[:, None], np.int8(ABSTAINED))
            codes[mine] = np.maximum(codes[mine], stated)
            n_overlapping[mine] += 1
    return n_overlapping


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
