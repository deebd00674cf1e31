"""``predictions.jsonl`` as its own journal: one line a document, in input order, appended, safe against kill -9.

A document's line is written when all documents before it have theirs. So whatever the moment of a kill, the file is a
prefix of the finished one, perhaps with a torn last line: a new run cuts that line off and goes on after the prefix.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from el4ner.batch.prediction import Prediction, parse_line
from el4ner.errors import ConfigError, InputError

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

    def clear(self) -> None:
        """Forget all records."""
        os.ftruncate(self._descriptor, 0)
        self.kept = 0
        self.sync()

    def append(self, prediction: Prediction) -> None:
        """Write a record at the end; it survives the process at once, and a power loss soon after."""
        line = memoryview(prediction.to_line())
        while line:
            line = line[os.write(self._descriptor, line) :]
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY or time.monotonic() - self._synced_at > SYNC_AFTER_S:
            self.sync()

    def sync(self) -> None:
        """Bring all records to the disk."""
        os.fsync(self._descriptor)
        self._unsynced = 0
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Bring all records to the disk, and let others write."""
        self.sync()
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
            for number, line in enumerate(stream, 1):
                yield parse_line(line, f"{path}, line {number}")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _open(folder: Path, path: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another --output") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"another process writes {path}; wait for it, or choose another --output") from error
    os.fchmod(descriptor, 0o600)
    return descriptor


def _measure(path: Path) -> tuple[int, int]:
    """How many whole records the file begins with, and where in bytes the last of them ends."""
    records = end = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                parse_line(line, str(path))
            except InputError:
                break
            if not line.endswith(b"\n"):
                break
            records += 1
            end += len(line)
    return records, end
