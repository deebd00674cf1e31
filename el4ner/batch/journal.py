"""``predictions.jsonl`` as its own journal: one line a document, in input order, appended, safe against kill -9.

A document's line is written when all documents before it have theirs. So whatever the moment of a kill, the file is a
prefix of the finished one, perhaps with a torn last line: a new run cuts that line off and goes on after the prefix.

Records that are done again wait in a file beside it, and are put in their places by one rename.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from el4ner.batch.prediction import Prediction, parse_line
from el4ner.batch.record import FULL
from el4ner.batch.redo import Patch
from el4ner.batch.redone import REDONE, RedoneFile, belongs_to, put_in
from el4ner.errors import ConfigError, InputError
from el4ner.text.files import bounded_lines
from el4ner.text.new_files import open_anew, sync_folder

PREDICTIONS = "predictions.jsonl"
SYNC_EVERY, SYNC_AFTER_S = 64, 1.0
"""A power loss costs at most so many records, or the records of so many seconds; a killed process costs none."""


class Journal:
    """The open predictions file; locked, so that one process at a time writes it. Mode 0600: it holds surfaces.

    Attributes:
        path: the file.
        kept: records found at opening; they are not written again.
        cut_bytes: length of the torn end that was cut off at opening.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal of an output folder, making both where they are missing.

        Raises:
            ConfigError: the folder cannot be written, or another process writes there.
        """
        self.path = folder / PREDICTIONS
        self._descriptor = _open(folder, self.path)
        self.kept, end = _measure(self.path)
        self.cut_bytes = self.path.stat().st_size - end
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)
        self._unsynced = 0
        self._synced_at = time.monotonic()
        self.take_in()

    def clear(self) -> None:
        """Forget all records."""
        os.ftruncate(self._descriptor, 0)
        self.kept = 0
        self.sync()

    def append(self, prediction: Prediction) -> None:
        """Write a record at the end; it survives the process at once, and a power loss soon after."""
        line = memoryview(prediction.to_line())
        end = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            os.ftruncate(self._descriptor, end)
            raise
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY or time.monotonic() - self._synced_at > SYNC_AFTER_S:
            self.sync()

    def redo(self, patches: Sequence[Patch]) -> RedoneFile:
        """The file for records that take the place of others; ``take_in`` puts them there, now or after a kill."""
        return RedoneFile(self.path.with_name(REDONE), os.fstat(self._descriptor).st_ino, patches)

    def take_in(self) -> None:
        """Put the records that were done again in their places: whatever happens, all of them or none."""
        redone = self.path.with_name(REDONE)
        if belongs_to(redone, os.fstat(self._descriptor).st_ino):
            with self.path.open("rb") as stream:
                self._replace(put_in(stream, redone))
        redone.unlink(missing_ok=True)

    def _replace(self, lines: Iterable[bytes]) -> None:
        """Take a new file with these lines, locked before it has the name."""
        beside = self.path.with_name(PREDICTIONS + ".part")
        descriptor = open_anew(beside)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.writelines(lines)
                stream.flush()
                os.fsync(descriptor)
            beside.replace(self.path)
        except BaseException:
            os.close(descriptor)
            beside.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self.kept, _ = _measure(self.path)

    def sync(self) -> None:
        """Bring all records to the disk."""
        os.fsync(self._descriptor)
        self._unsynced = 0
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Bring all records to the disk, and let others write."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_predictions(path: Path) -> Iterator[Prediction]:
    """The records of a predictions file, read lazily.

    Raises:
        InputError: it cannot be read, or a line is no record.
    """
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(bounded_lines(stream, str(path)), 1):
                yield parse_line(line, f"{path}, line {number}")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def count_records(path: Path) -> int:
    """How many whole records a predictions file begins with; 0 where there is none."""
    return _measure(path)[0] if path.exists() else 0


def _open(folder: Path, path: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another --output") from error
    if not _lock(descriptor, path):
        os.close(descriptor)
        raise ConfigError(f"another process writes {path}; wait for it, or choose another --output")
    os.fchmod(descriptor, 0o600)
    return descriptor


def _lock(descriptor: int, path: Path) -> bool:
    """Whether the file could be locked, and has not been replaced by another process before it was."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino


def _measure(path: Path) -> tuple[int, int]:
    """How many whole records the file begins with, and where in bytes the last of them ends."""
    records = end = 0
    with path.open("rb") as stream:
        for line in bounded_lines(stream, str(path)):
            try:
                parse_line(line, str(path))
            except InputError:
                break
            if not line.endswith(b"\n"):
                break
            records += 1
            end += len(line)
    return records, end
