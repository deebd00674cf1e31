"""Bytes to text: strict UTF-8 with messages that name the place, and the files that an input stands for."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from el4ner.errors import InputError

JSONL_SUFFIXES = frozenset({".jsonl"})
CONLL_SUFFIXES = frozenset({".conll", ".bio", ".iob2", ".bmes"})
TEXT_SUFFIXES = frozenset({".txt"})
SUFFIXES = JSONL_SUFFIXES | CONLL_SUFFIXES | TEXT_SUFFIXES

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_NAMES_LOGGED = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One input file.

    Attributes:
        path: where it lies.
        stem: its name without suffix, relative to the input folder with ``/``; the base of ids that it does not state.
    """

    path: Path
    stem: str

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


def numbered_lines(stream: Iterable[bytes], where: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 stream from number 1, without line ends; a byte-order mark is taken off.

    Raises:
        InputError: a line is not UTF-8; names ``where``, the line and the byte.
    """
    for number, line in enumerate(stream, 1):
        yield number, decode(line, f"{where}, line {number}", first=number == 1).rstrip("\r\n")


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


def _in_folder(folder: Path, report: bool) -> Iterator[Source]:
    found = False
    skipped: list[str] = []
    for here, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(here, name)
            if path.suffix.lower() not in SUFFIXES:
                skipped.append(path.relative_to(folder).as_posix())
                continue
            found = True
            yield Source(path, path.relative_to(folder).with_suffix("").as_posix())
    if skipped and report:
        names_shown = ", ".join(skipped[:_NAMES_LOGGED]) + (", ..." if len(skipped) > _NAMES_LOGGED else "")
        _log.warning("%s: skipped %d file(s) of unknown suffix: %s", folder, len(skipped), names_shown)
    if not found:
        raise InputError(f"input folder {folder} holds no file that can be read ({', '.join(sorted(SUFFIXES))})")


def _refuse(error: OSError) -> None:
    raise InputError(f"cannot read folder {error.filename}: {error.strerror}; fix its permissions") from error
