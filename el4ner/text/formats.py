"""Reading documents from files, folders and standard input, one at a time; each format has a module of its own."""

import hashlib
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from el4ner.errors import InputError
from el4ner.text.conll import parse_conll, to_conll
from el4ner.text.documents import Document
from el4ner.text.files import (
    CONLL_SUFFIXES,
    JSONL_SUFFIXES,
    SUFFIXES,
    TEXT_SUFFIXES,
    Source,
    check_text,
    decode,
    find_sources,
    numbered_lines,
)
from el4ner.text.jsonl import parse_jsonl
from el4ner.text.tokens import tokenize

STDIN = "-"
"""The input that stands for standard input."""

_STDIN_PLACE = "standard input"
_STDIN_STEM = "stdin"


def read_documents(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> Iterator[Document]:
    """The documents of files, folders and standard input (``-``), in order, read lazily.

    ``.txt`` is one document (id: its path relative to the input folder, without suffix), unchanged down to its line
    ends. ``.jsonl`` holds one a line, ``.conll``, ``.bio``, ``.iob2`` and ``.bmes`` one a sentence. Standard input is
    JSON lines if its first character that is not blank is ``{``, else one plain document with the id ``stdin``.
    All must be UTF-8. Memory grows by one hash of 8 bytes a document, which finds duplicate ids.

    Args:
        inputs: paths, or ``-``.
        stdin: the stream to read for ``-``; None: the process's own.

    Raises:
        InputError: something cannot be read as what it should be, or an id stands twice; names the place.
    """
    _check_names(inputs)
    seen: set[int] = set()
    for place, document in _placed(inputs, stdin):
        digest = int.from_bytes(hashlib.blake2b(document.id.encode(), digest_size=8).digest())
        if digest in seen:
            raise InputError(_twice(inputs, document.id, place))
        seen.add(digest)
        yield document


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
    """How many documents ``read_documents`` will give, without parsing JSON; None where standard input is among them.

    Raises:
        InputError: as in ``read_documents``, as far as it is seen without parsing.
    """
    if STDIN in inputs:
        return None
    return sum(map(_count, find_sources(inputs, report=False)))


def _count(source: Source) -> int:
    if source.suffix in JSONL_SUFFIXES:
        with _open(source.path) as stream:
            return sum(1 for line in stream if line.strip(b"\xef\xbb\xbf \t\r\n"))
    if source.suffix in CONLL_SUFFIXES:
        return sum(1 for _ in _read(source, report=False))
    return 1


def _placed(
    inputs: Sequence[str], stdin: BinaryIO | None = None, *, report: bool = True
) -> Iterator[tuple[str, Document]]:
    for name in inputs:
        if name == STDIN:
            yield from _read_stdin(stdin if stdin is not None else sys.stdin.buffer)
            continue
        for source in find_sources([name], report=report):
            yield from _read(source, report=report)


def _check_names(inputs: Sequence[str]) -> None:
    """Refuse plain files that would have the same id, and names that no id can hold, before any is read.

    Raises:
        InputError: there are such files.
    """
    homes: dict[str, Path] = {}
    for source in find_sources([name for name in inputs if name != STDIN], report=False):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in source.stem):
            raise InputError(
                f"{str(source.path)!a}: the file's name is not UTF-8, or holds control characters; rename it"
            )
        if source.suffix in TEXT_SUFFIXES:
            if source.stem in homes:
                raise InputError(_says_twice(str(source.path), source.stem, str(homes[source.stem])))
            homes[source.stem] = source.path


def _read(source: Source, *, report: bool) -> Iterator[tuple[str, Document]]:
    where = str(source.path)
    with _open(source.path) as stream:
        if source.suffix in JSONL_SUFFIXES:
            yield from parse_jsonl(numbered_lines(stream, where), where, source.stem)
        elif source.suffix in CONLL_SUFFIXES:
            yield from parse_conll(numbered_lines(stream, where), where, source.stem, report=report)
        else:
            yield where, _plain(stream, where, source.stem)


def _read_stdin(stream: BinaryIO) -> Iterator[tuple[str, Document]]:
    lines = iter(stream)
    head: list[bytes] = []
    for line in lines:
        head.append(line)
        if line.removeprefix(b"\xef\xbb\xbf").strip():
            break
    if head and head[-1].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        yield from parse_jsonl(numbered_lines(chain(head, lines), _STDIN_PLACE), _STDIN_PLACE, _STDIN_STEM)
    else:
        yield _STDIN_PLACE, _plain(chain(head, lines), _STDIN_PLACE, _STDIN_STEM)


def _plain(stream: Iterable[bytes], where: str, identity: str) -> Document:
    text = "".join(decode(line, f"{where}, line {number}", first=number == 1) for number, line in enumerate(stream, 1))
    return Document(identity, check_text(text, where))


def _open(path: Path) -> BinaryIO:
    try:
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
    return (
        f"{place}: the id {identity!r} stands twice, first in {earlier}; ids must differ within a job "
        "(for equal file names, give their common folder as the input)"
    )


__all__ = ["STDIN", "SUFFIXES", "count_documents", "read_documents", "read_labelled", "to_conll", "tokenize"]
