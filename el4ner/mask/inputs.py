"""What is masked: plain texts, JSON lines, column files, and named columns of CSV tables; and how it is written again."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from el4ner.errors import InputError
from el4ner.text.documents import Document, Unreadable
from el4ner.text.files import MAX_BYTES, TEXT_SUFFIXES, check_text, find_sources
from el4ner.text.formats import STDIN, read_items

TABLES = {".csv": ",", ".tsv": "\t"}
"""Suffixes of tables, with what parts their cells."""
LINES = PurePosixPath("masked.jsonl")
"""Where documents that have no file of their own are written."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is written, or withheld, at once: a text, a JSON line, or a row of a table.

    Attributes:
        home: file below the output folder.
        documents: its texts; what is found in one counts in all of them.
        kept: of a row, cells that are copied.
        problem: why it cannot be read.
    """

    home: PurePosixPath
    documents: tuple[Document, ...] = ()
    kept: tuple[str, ...] = ()
    problem: str | None = None

    def written(self, texts: Sequence[str]) -> str:
        """Its output, from the masked texts of its documents."""
        if self.home.suffix in TABLES:
            return _row([*texts, *self.kept], self.home)
        if self.home != LINES:
            return texts[0]
        return json.dumps({"id": self.documents[0].id, "text": texts[0]}, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be masked; it can be read several times.

    Attributes:
        paths: files and folders; tables must be named themselves.
        columns: of tables, those to mask.
        keep: of tables, further ones to copy as they are; all others are left out.
    """

    paths: Sequence[str]
    columns: Sequence[str] = ()
    keep: Sequence[str] = ()

    def units(self) -> Iterator[Unit]:
        """What there is, in order.

        Raises:
            InputError: an input is missing, a table lacks a column or is no table, or two would be written to one file.
        """
        tables = [Path(path) for path in self.paths if Path(path).suffix.lower() in TABLES]
        others = [path for path in self.paths if Path(path) not in tables]
        if STDIN in others:
            raise InputError("the input is read more than once, so it cannot be -; name files or folders")
        if tables and (not self.columns or len({path.stem for path in tables}) < len(tables)):
            raise InputError(
                "say with --columns which columns of a table are masked; tables must differ in their names"
            )
        plain = {source.stem for source in find_sources(others, report=False) if source.suffix in TEXT_SUFFIXES}
        for item in read_items(others):
            if isinstance(item, Unreadable):
                yield Unit(LINES, problem=item.reason)
            else:
                yield Unit(PurePosixPath(f"{item.id}.txt") if item.id in plain else LINES, (item,))
        for path in tables:
            yield from self._rows(path)

    def header(self, home: PurePosixPath) -> str:
        """The first row of a table that is written; nothing for other files."""
        return _row([*self.columns, *self.keep], home) if home.suffix in TABLES else ""

    def _rows(self, path: Path) -> Iterator[Unit]:
        csv.field_size_limit(MAX_BYTES)
        home = PurePosixPath(path.stem + path.suffix.lower())
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                rows = csv.DictReader(stream, delimiter=TABLES[home.suffix], strict=True)
                if missing := {*self.columns, *self.keep}.difference(rows.fieldnames or ()):
                    raise InputError(f"table {path} has no column {min(missing)!r}; it has {rows.fieldnames}")
                for number, row in enumerate(rows, 1):
                    yield self._unit(row, home, number)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8, or its quotation marks do not pair"
            raise InputError(f"cannot read table {path}: {reason}; mend it, or save it anew as CSV in UTF-8") from error

    def _unit(self, row: dict[str, str], home: PurePosixPath, number: int) -> Unit:
        where = f"{home}, row {number}"
        if None in row or None in row.values():
            return Unit(home, problem=f"{where}: it has more or fewer cells than the table has columns")
        try:
            texts = [(f"{home.stem}:{number}:{name}", check_text(row[name], where)) for name in self.columns]
        except InputError as error:
            return Unit(home, problem=str(error))
        return Unit(home, tuple(Document(*text) for text in texts), tuple(row[name] for name in self.keep))


def _row(cells: Iterable[str], home: PurePosixPath) -> str:
    stream = StringIO()
    csv.writer(stream, delimiter=TABLES[home.suffix], lineterminator="\n").writerow(cells)
    return stream.getvalue()
