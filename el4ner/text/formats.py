"""Reading documents from files, folders and standard input, one at a time; each format has a module of its own."""

import hashlib
import io
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from el4ner.errors import InputError
from el4ner.text.conll import parse_conll, to_conll
from el4ner.text.documents import Document, Item, Unreadable, digest
from el4ner.text.files import (
    BLANK,
    CONLL_SUFFIXES,
    JSONL_SUFFIXES,
    MAX_BYTES,
    SUFFIXES,
    TEXT_SUFFIXES,
    Source,
    check_size,
    check_text,
    decode,
    find_sources,
    holds_one_line,
    read_lines,
)
from el4ner.text.jsonl import parse_jsonl
from el4ner.text.tokens import tokenize

STDIN = "-"
"""The input that stands for standard input."""

_log = logging.getLogger(__name__)
_STDIN_PLACE = "standard input"
_STDIN_STEM = "stdin"
_REMEDY = " (for equal file names, give their common folder as the input)"


def read_items(inputs: Sequence[str], *, stdin: BinaryIO | None = None, report: bool = True) -> Iterator[Item]:
    """The documents of files, folders and standard input (``-``), in order, read lazily, and those that cannot be read.

    ``.txt`` is one document (id: its path relative to the input folder, without suffix), unchanged down to its line
    ends. ``.jsonl`` holds one a line, ``.conll``, ``.bio``, ``.iob2`` and ``.bmes`` one a sentence. Standard input is
    JSON lines if its first character that is not blank is ``{``, else one plain document with the id ``stdin``.
    All must be UTF-8. Memory grows by one hash of 8 bytes a document, which finds duplicate ids.

    Where one cannot be read, or has the id of an earlier one, an :class:`Unreadable` stands in its place; one alone stands for
    a file or a folder that cannot be opened.

    Args:
        inputs: paths, or ``-``.
        stdin: the stream to read for ``-``; None: the process's own.
        report: whether to log what is skipped, empty or odd.

    Raises:
        InputError: an input does not exist or has an unknown suffix, or a folder holds no file that can be read.
    """
    deque(find_sources([name for name in inputs if name != STDIN], report=False), maxlen=0)  # are they all there?
    seen: set[int] = set()
    for place, item in _placed(inputs, stdin, report=report):
        yield item if _is_new(item.id, seen) else _aside(item, place, seen)


def read_documents(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Iterator[Document]:
    """The documents of ``read_items``, where each must be readable.

    Raises:
        InputError: as there, or something cannot be read as what it should be, or an id stands twice; names the place. Of plain
            files that is said before any is read.
    """
    _check_names(inputs)
    seen: set[int] = set()
    for place, item in _placed(inputs, stdin):
        if isinstance(item, Unreadable):
            raise InputError(item.reason)
        if not _is_new(item.id, seen):
            raise InputError(_twice(inputs, item.id, place))
        yield item


def read_labelled(path: str | Path) -> Iterator[Document]:
    """The labelled documents of a file or folder (a pool, or gold data), read lazily; ``entities`` is never None.

    Raises:
        InputError: as in ``read_documents``, or a document states no entities.
    """
    for document in read_documents([str(path)]):
        if document.entities is None:
            raise InputError(
                f'{path}: document {document.id!r} has no labels; give each line "entities" (an empty list: none), '
                "or use a column file with tags"
            )
        yield document


def count_documents(inputs: Sequence[str]) -> int | None:
    """How many items ``read_items`` will give, without parsing JSON; None where standard input is among them.

    Raises:
        InputError: as in ``read_items``.
    """
    if STDIN in inputs:
        return None
    return sum(map(_count, find_sources(inputs, report=False)))


def _count(source: Source) -> int:
    if source.suffix in JSONL_SUFFIXES and source.problem is None:
        try:
            with _open(source.path) as stream:
                return sum(1 for line in read_lines(stream, "") if line.data.strip(BLANK))
        except InputError:
            return 1
    return sum(1 for _ in _read(source, report=False)) if source.suffix in CONLL_SUFFIXES else 1


def _is_new(identity: str, seen: set[int]) -> bool:
    """Whether an id is met for the first time; remembers it."""
    key = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest())
    new = key not in seen
    seen.add(key)
    return new


def _aside(item: Item, place: str, seen: set[int]) -> Unreadable:
    """What stands in the place of an item whose id is an earlier one's: with a number added, so that ids stay unique."""
    number = 2
    while not _is_new(f"{item.id} ({number})", seen):
        number += 1
    identity = f"{item.id} ({number})"
    if isinstance(item, Unreadable):
        return Unreadable(identity, place, item.reason, item.digest)
    reason = f"{place}: the id {item.id!r} stands twice; ids must differ within a job{_REMEDY}"
    return Unreadable(identity, place, reason, digest(item.text.encode()))


def _placed(inputs: Sequence[str], stdin: BinaryIO | None = None, *, report: bool = True) -> Iterator[tuple[str, Item]]:
    for name in inputs:
        if name == STDIN:
            yield from _read_stdin(_own_stdin() if stdin is None else stdin)
            continue
        for source in find_sources([name], report=report):
            yield from _read(source, report=report)


def _check_names(inputs: Sequence[str]) -> None:
    """Refuse plain files that would have the same id, before any is read.

    Raises:
        InputError: there are such files.
    """
    homes: dict[str, Path] = {}
    for source in find_sources([name for name in inputs if name != STDIN], report=False):
        if source.suffix in TEXT_SUFFIXES and source.problem is None:
            if source.stem in homes:
                raise InputError(_says_twice(str(source.path), source.stem, str(homes[source.stem])))
            homes[source.stem] = source.path


def _read(source: Source, *, report: bool) -> Iterator[tuple[str, Item]]:
    """What a file holds; one unreadable item where it cannot be opened, or for the rest where it cannot be read on."""
    where = str(source.path)
    if not holds_one_line(source.stem):
        reason = f"{where!a}: the file's name is not UTF-8, or holds control characters; rename it"
        yield ascii(where), Unreadable(ascii(source.stem)[1:-1], ascii(where), reason, digest(b""))
        return
    if source.problem is not None:
        yield where, Unreadable(source.stem, where, source.problem, digest(b""))
        return
    try:
        empty = True
        with _open(source.path) as stream:
            for item in _parsed(stream, source, report=report):
                empty = False
                yield item
        if empty and report:
            _log.warning("%s: holds no document", where)
    except InputError as error:
        yield where, Unreadable(source.stem, where, str(error), digest(b""))
    except OSError as error:
        reason = f"{where}: cannot be read on: {error.strerror}; see to the disk or network where it lies"
        yield where, Unreadable(source.stem, where, reason, digest(b""))


def _parsed(stream: BinaryIO, source: Source, *, report: bool) -> Iterator[tuple[str, Item]]:
    where = str(source.path)
    if source.suffix in JSONL_SUFFIXES:
        yield from parse_jsonl(read_lines(stream, where), source.stem)
    elif source.suffix in CONLL_SUFFIXES:
        yield from parse_conll(read_lines(stream, where), where, source.stem, report=report)
    else:
        yield where, _plain(stream, where, source.stem)


def _own_stdin() -> BinaryIO:
    """Standard input, buffered apart from ``sys.stdin``: at its end, the interpreter locks that one's buffer, and aborts where a
    thread still reads from it.
    """
    try:
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:  # not a real file
        return sys.stdin.buffer


def _read_stdin(stream: BinaryIO) -> Iterator[tuple[str, Item]]:
    head = b""
    for line in iter(lambda: stream.readline(MAX_BYTES), b""):
        head += line
        if line.strip(BLANK + b"\n") or len(head) > MAX_BYTES:
            break
    whole = io.BufferedReader(_Rejoined(head, stream))
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        yield from parse_jsonl(read_lines(whole, _STDIN_PLACE), _STDIN_STEM)
    else:
        yield _STDIN_PLACE, _plain(whole, _STDIN_PLACE, _STDIN_STEM)


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were taken off, whole again."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what there is; 0 at the end."""
        data = self._head[: len(buffer)] or self._rest.readline(len(buffer))
        self._head = self._head[len(data) :] if self._head else b""
        buffer[: len(data)] = data
        return len(data)


def _plain(stream: BinaryIO, where: str, identity: str) -> Item:
    data = stream.read(MAX_BYTES + 1)
    try:
        check_size(data, where)
        lines = enumerate(data.split(b"\n"), 1)
        text = "\n".join(decode(line, f"{where}, line {number}", first=number == 1) for number, line in lines)
        return Document(identity, check_text(text, where))
    except InputError as error:
        return Unreadable(identity, where, str(error), digest(data))


def _open(path: Path) -> BinaryIO:
    try:
        if path.exists() and not S_ISREG(path.stat().st_mode):
            raise InputError(f"cannot read {path}: it is no regular file; copy what it gives into one")
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; fix the path or its permissions") from error


def _twice(inputs: Sequence[str], identity: str, place: str) -> str:
    """The message for an id that stands twice: reads the files again, because earlier places are not kept in memory."""
    files = [name for name in inputs if name != STDIN]
    earlier = next((found for found, document in _placed(files, report=False) if document.id == identity), place)
    if earlier == place:
        earlier = f"earlier in {_STDIN_PLACE}" if STDIN in inputs else "earlier"
    return _says_twice(place, identity, earlier)


def _says_twice(place: str, identity: str, earlier: str) -> str:
    return f"{place}: the id {identity!r} stands twice, first in {earlier}; ids must differ within a job{_REMEDY}"


__all__ = [
    "STDIN",
    "SUFFIXES",
    "count_documents",
    "read_documents",
    "read_items",
    "read_labelled",
    "to_conll",
    "tokenize",
]
