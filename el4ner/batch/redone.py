"""``redone.jsonl``: records that take the place of earlier ones, kept apart until all of them are put there at once.

Each line is ``[first record, records, records that replace them]``, a tab, and one of these records as it will stand, or
null. The first line names the file that it belongs to, by its inode: once that file has been replaced, what is here is done.
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from el4ner.batch.prediction import Prediction, parse_line
from el4ner.batch.redo import Patch, better
from el4ner.errors import InputError
from el4ner.text.files import bounded_lines
from el4ner.text.new_files import open_anew

REDONE = "redone.jsonl"


class RedoneFile:
    """The open file; each record is in it as soon as it is appended, and survives the process. Mode 0600.

    Args:
        path: the file; one that is there is replaced.
        inode: of the file whose records are to be replaced.
        patches: these records, in order.
    """

    def __init__(self, path: Path, inode: int, patches: Sequence[Patch]) -> None:
        self._patches = deque(patches)
        self._done = 0
        self._descriptor = open_anew(path)
        self._write(f"{inode}\n".encode())

    def append(self, prediction: Prediction) -> None:
        """Write the next record."""
        self._drop()
        patch = self._patches[0]
        self._write(_head(patch) + prediction.to_line())
        self._done += 1
        if self._done == patch.items:
            self._patches.popleft()
            self._done = 0

    def finish(self) -> None:
        """All records are there: write what is dropped after the last one."""
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def _drop(self) -> None:
        while self._patches and not self._patches[0].items:
            self._write(_head(self._patches.popleft()) + b"null\n")

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def put_in(old: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a predictions file with the redone records in their places; of some that replace several, all or none.

    A record that has more than the one that would replace it stays.
    """
    lines, at = iter(old), 0
    for group in _groups(path):
        yield from islice(lines, group.record - at)
        replaced = list(islice(lines, group.records))
        at = group.record + group.records
        new = [parse_line(line, str(path)) for line in group.lines]
        keep = not better([parse_line(line, "an earlier record") for line in replaced], new)
        yield from replaced if keep else group.lines
    yield from lines


def belongs_to(path: Path, inode: int) -> bool:
    """Whether there are redone records for the file with this inode."""
    try:
        with path.open("rb") as stream:
            return stream.readline() == f"{inode}\n".encode()
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class _Group:
    record: int
    records: int
    lines: tuple[bytes, ...]


def _groups(path: Path) -> Iterator[_Group]:
    """The patches whose records are all there."""
    lines: list[bytes] = []
    for head, line in _whole(path):
        record, records, items = head
        if items:
            lines.append(line)
        if len(lines) == items:
            yield _Group(record, records, tuple(lines))
            lines = []


def _whole(path: Path) -> Iterator[tuple[list[int], bytes]]:
    """Heads and records, up to a line that a kill or a power loss tore."""
    with path.open("rb") as stream:
        stream.readline()
        for line in bounded_lines(stream, str(path)):
            head, _, record = line.partition(b"\t")
            try:
                numbers = json.loads(head)
                if record != b"null\n":
                    parse_line(record, str(path))
            except (ValueError, RecursionError, InputError):
                return
            if not record.endswith(b"\n"):
                return
            yield numbers, record


def _head(patch: Patch) -> bytes:
    return f"{json.dumps([patch.record, patch.records, patch.items])}\t".encode()
