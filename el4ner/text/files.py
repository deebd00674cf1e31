"""Bytes to text: strict UTF-8 with messages that name the place, and the files that an input stands for."""

import errno
import json
import logging
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from el4ner.errors import InputError

JSONL_SUFFIXES = frozenset({".jsonl"})
CONLL_SUFFIXES = frozenset({".conll", ".bio", ".iob2", ".bmes"})
TEXT_SUFFIXES = frozenset({".txt"})
SUFFIXES = JSONL_SUFFIXES | CONLL_SUFFIXES | TEXT_SUFFIXES

MAX_BYTES = 32 * 2**20
"""A document in more bytes than this is not read: its windows and answers would take gigabytes of memory."""
MAX_LINE_BYTES = 8 * MAX_BYTES
"""The longest line that is a record: entities, votes and candidates of a document may be longer than its text."""
BLANK = b"\xef\xbb\xbf \t\r"
"""Bytes of a line that holds nothing."""

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_NAMES_LOGGED = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One input file.

    Attributes:
        path: where it lies.
        stem: its name without suffix, relative to the input folder with ``/``; the base of ids that it does not state.
        problem: why nothing can be read there, where that is known already.
    """

    path: Path
    stem: str
    problem: str | None = None

    @property
    def suffix(self) -> str:
        """Its suffix in lower case, for instance ``.jsonl``."""
        return self.path.suffix.lower()


def find_sources(inputs: Sequence[str], *, report: bool = True) -> Iterator[Source]:
    """The files that inputs name, in order; a folder gives its files of known suffix, sorted, sub-folders after files.

    Files of other suffixes in a folder are skipped, counted and named in one warning (if ``report``); hidden ones are
    passed over.

    Raises:
        InputError: a path is missing, is a file of unknown suffix, or a folder without any file of known suffix.
    """
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            yield from _in_folder(path, report)
        elif not path.exists():
            raise InputError(f"input {name} does not exist; name a file, a folder, or - for standard input")
        elif path.suffix.lower() not in SUFFIXES:
            raise InputError(f"input {name} has an unknown suffix; rename it to one of {', '.join(sorted(SUFFIXES))}")
        else:
            yield Source(path, path.stem)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        number: counted from 1.
        data: its bytes without the line end; only the first ``MAX_BYTES`` and one of a longer line.
        where: the file, for messages.
    """

    number: int
    data: bytes
    where: str

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.where}, line {self.number}"

    def text(self) -> str:
        """The line as text; a byte-order mark at the beginning of the file is taken off.

        Raises:
            InputError: it is not UTF-8, or too long; names file, line and byte.
        """
        check_size(self.data, self.place)
        return decode(self.data, self.place, first=self.number == 1)


def read_lines(stream: BinaryIO, where: str) -> Iterator[Line]:
    """The lines of a stream, however they end (LF, CR LF, or CR alone), in bounded memory."""
    number = 0
    while data := stream.readline(MAX_BYTES + 1):
        whole = len(data) <= MAX_BYTES
        if not whole and not data.endswith(b"\n"):
            _skip_line(stream)
        for part in data.rstrip(b"\r\n").split(b"\r") if whole else [data]:
            number += 1
            yield Line(number, part, where)


def numbered_lines(stream: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 stream from number 1, without line ends; a byte-order mark is taken off.

    Raises:
        InputError: a line is not UTF-8, or longer than ``MAX_LINE_BYTES``; names ``where``, the line and the byte.
    """
    for number, line in enumerate(bounded_lines(stream, where), 1):
        yield number, decode(line, f"{where}, line {number}", first=number == 1).rstrip("\r\n")


def load_json(path: Path, most: int = 64 * 2**20) -> Any:
    """The content of a JSON file of at most ``most`` bytes.

    Raises:
        OSError: it cannot be opened, or is no regular file.
        ValueError: it is not JSON in UTF-8.
        InputError: it is longer.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise InputError(
            f"{path} is longer than {most // 2**20} MiB, which no such file of el4ner is; look at what it is"
        )
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def bounded_lines(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """The lines of a stream with their ends.

    Raises:
        InputError: one is longer than ``MAX_LINE_BYTES``; names ``where`` and the line.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{where}, line {number}: longer than {MAX_LINE_BYTES // 2**20} MiB; that is no record")
        yield line


def check_size(data: bytes, where: str) -> bytes:
    """The bytes themselves, if they are no more than ``MAX_BYTES``.

    Raises:
        InputError: they are more; names ``where``.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{where}: a document of more than {MAX_BYTES // 2**20} MiB; split it into several")
    return data


def holds_one_line(name: str) -> bool:
    """Whether a name or an id holds no line break, no other control character and no half of a surrogate pair."""
    return not any(unicodedata.category(character) in _CONTROLS for character in name)


def decode(data: bytes, where: str, *, first: bool = True) -> str:
    """UTF-8 bytes as text; ``first``: they may begin with a byte-order mark, which is taken off.

    Raises:
        InputError: they are not UTF-8; names ``where`` and the byte, and how to convert.
    """
    if first and data.startswith(_UTF16_BOMS):
        raise InputError(f"{where}: this is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8 IN > OUT")
    try:
        return data.removeprefix(_BOM).decode() if first else data.decode()
    except UnicodeDecodeError as error:
        byte = error.start + (len(_BOM) if first and data.startswith(_BOM) else 0)
    raise InputError(
        f"{where}, byte {byte + 1}: not UTF-8; convert it first, for instance Chinese with "
        "iconv -f GB18030 -t UTF-8 IN > OUT, Western languages with -f WINDOWS-1252"
    )


def check_text(text: str, where: str) -> str:
    """The text itself, if it can be stored and sent as UTF-8.

    Raises:
        InputError: it holds a NUL or half of a surrogate pair; names ``where`` and the offset.
    """
    if "\0" in text:
        offset = text.index("\0")
        raise InputError(f"{where}: a NUL character at offset {offset}; is it a binary file? Take it out first")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        offset = error.start
    else:
        return text
    raise InputError(
        f"{where}: half of a surrogate pair at offset {offset}; write the whole character, "
        "for instance by dumping the JSON again with a tool that does not cut text at UTF-16 units"
    )


def _skip_line(stream: BinaryIO) -> None:
    """Read on to the end of the line."""
    while (more := stream.readline(MAX_BYTES)) and not more.endswith(b"\n"):
        pass


def _in_folder(folder: Path, report: bool) -> Iterator[Source]:
    found = False
    skipped: list[str] = []
    refused: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=refused.append):
        yield from _closed(folder, refused)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(here, name)
            if path.suffix.lower() not in SUFFIXES:
                name = path.relative_to(folder).as_posix()
                skipped.append(name if holds_one_line(name) else ascii(name))
                continue
            found = True
            yield Source(path, path.relative_to(folder).with_suffix("").as_posix())
    yield from _closed(folder, refused)
    if skipped and report:
        names_shown = ", ".join(skipped[:_NAMES_LOGGED]) + (", ..." if len(skipped) > _NAMES_LOGGED else "")
        _log.warning("%s: skipped %d file(s) of unknown suffix: %s", folder, len(skipped), names_shown)
    if not found:
        raise InputError(f"input folder {folder} holds no file that can be read ({', '.join(sorted(SUFFIXES))})")


def _closed(folder: Path, refused: list[OSError]) -> Iterator[Source]:
    """Folders inside that cannot be listed; takes them from the list.

    Raises:
        InputError: the input folder itself is one.
    """
    while refused:
        error = refused.pop(0)
        path = Path(error.filename)
        if path == folder:
            raise InputError(f"cannot read folder {path}: {error.strerror}; fix its permissions") from error
        problem = f"cannot read folder {path}: {error.strerror}; fix its permissions"
        yield Source(path, f"{path.relative_to(folder).as_posix()}/", problem)
