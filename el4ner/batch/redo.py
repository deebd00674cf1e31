"""Which records of an earlier run are done again: those that failed, where that is asked for, and those of mended documents."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from el4ner.batch.prediction import Prediction
from el4ner.errors import El4nerError, InputError
from el4ner.text.documents import Item


class StrayRecord(InputError):
    """A record is not that of the document that stands in its place.

    Attributes:
        number: of the record, from 1.
    """

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


@dataclass(frozen=True, slots=True)
class Patch:
    """Records whose place other ones take.

    Attributes:
        record: number of the first one, from 0.
        records: how many.
        item: number of the first item of the input that takes their place, from 0.
        items: how many do; 0: the records are dropped, and what stands in their place, if anything, has no record yet.
    """

    record: int
    records: int
    item: int
    items: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    Attributes:
        patches: records to replace, in their order.
        more: whether the input holds documents that have no record.
    """

    patches: tuple[Patch, ...] = ()
    more: bool = False

    @property
    def documents(self) -> int:
        """How many documents are done again."""
        return sum(patch.items for patch in self.patches)

    def select(self, items: Iterator[Item]) -> Iterator[Item]:
        """Of all items of the input, those that are done again."""
        at = 0
        for patch in self.patches:
            yield from islice(items, patch.item - at, patch.item - at + patch.items)
            at = patch.item + patch.items


def make_plan(records: Iterable[Prediction], items: Iterator[Item], *, retry: bool) -> Plan:
    """Compare the records of an earlier run with its input, as it is now.

    A record that failed does not hold its document to what it was: what stands in its place by now, be it the document as it was
    mended, several or none, is done instead. All other records must be those of the input, in its order.

    Args:
        records: of the earlier run.
        items: the whole input.
        retry: do all documents again that failed or are partial.

    Raises:
        StrayRecord: a record does not belong to the input.
    """
    walk = _Walk(iter(records), items)
    patches: list[Patch] = []
    while (record := walk.record) is not None:
        problem = walk.mismatch()
        if problem is None:
            if retry and record.status != "ok":
                patches.append(Patch(walk.n_records, 1, walk.n_items, 1))
            walk.both()
        elif record.status != "failed":
            raise StrayRecord(walk.n_records + 1, problem)
        elif walk.item is not None and walk.item.id == record.id:
            patches.append(Patch(walk.n_records, 1, walk.n_items, 1))
            walk.both()
        else:
            patches.append(walk.stretch())
    return Plan(tuple(patches), more=walk.item is not None)


class _Walk:
    """Records and items side by side, each with the number of those before."""

    def __init__(self, records: Iterator[Prediction], items: Iterator[Item]) -> None:
        self._records, self._items = records, items
        self.n_records = self.n_items = 0
        self.record = next(records, None)
        self.item = next(items, None)

    def both(self) -> None:
        """Go on to the next record and the next item."""
        self._next_record()
        self._next_item()

    def mismatch(self) -> str | None:
        """Why the record is not that of the item; None if it is."""
        if self.record is None or self.item is None:
            return "the input ends before it"
        try:
            self.record.check(self.item)
        except El4nerError as error:
            return str(error)
        return None

    def stretch(self) -> Patch:
        """Go on to the next record that did not fail, and to the item with its id; what lies between is the patch.

        If there is no such record, the items stay: they have no record yet.
        """
        record, item = self.n_records, self.n_items
        while self.record is not None and self.record.status == "failed":
            self._next_record()
        while self.record is not None and self.item is not None and self.item.id != self.record.id:
            self._next_item()
        return Patch(record, self.n_records - record, item, self.n_items - item)

    def _next_record(self) -> None:
        self.record = next(self._records, None)
        self.n_records += 1

    def _next_item(self) -> None:
        self.item = next(self._items, None)
        self.n_items += 1


def better(old: Sequence[Prediction], new: Sequence[Prediction]) -> bool:
    """Whether new records may take the place of old ones: not where one that failed would replace one that has entities."""
    return not (len(old) == len(new) == 1 and _badness(new[0]) > _badness(old[0]))


def _badness(prediction: Prediction) -> tuple[int, int]:
    unread = sum(end - start for start, end in prediction.unread)
    return ("ok", "partial", "failed").index(prediction.status), unread
