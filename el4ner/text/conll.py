"""Column files (IOB2, IOB1, BMES, BIOES): a token and its tag a line, a blank line after each sentence."""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from el4ner.errors import InputError
from el4ner.text.documents import Document, Item, Unreadable
from el4ner.text.files import Line, check_text, holds_one_line
from el4ner.text.spans import Entity, Span
from el4ner.text.tokens import join_tokens, tokenize

_TAG = re.compile(r"O|[BIMESLU]-.+")
_ID_COMMENT = re.compile(r"#\s*(?:sent_)?id\s*=\s*(\S.*)")
_DOCUMENT_START = "-DOCSTART-"
_log = logging.getLogger(__name__)


class Typed(Protocol):
    """Anything with a span and a type: a gold entity or a predicted one."""

    @property
    def start(self) -> int:
        """First code point."""

    @property
    def end(self) -> int:
        """Code point after the last."""

    @property
    def type(self) -> str:
        """Type name."""


def parse_conll(lines: Iterable[Line], where: str, stem: str, *, report: bool = True) -> Iterator[tuple[str, Item]]:
    """The sentences of lines as documents, each with its place for messages.

    The first column is the token, the last one the tag; columns are parted by tabs where a line has any, else by
    spaces. ``-DOCSTART-`` lines and comments (``#``) are passed over, but ``# id = X`` or ``# sent_id = X`` names the
    sentence that follows; others are ``stem:N``, N counted from 1. An id without tokens is an empty document. A line that
    begins with ``#`` is a token where it has as many columns as the others, and a tag at its end.
    All tag schemes are read by one rule: ``B`` and a one-token tag (``S``, ``U``) begin an entity; ``I``, ``M``, ``E``
    and ``L`` go on with an entity of the same type, and begin one where there is none (IOB1). ``report``: log how many
    did so.

    A sentence is unreadable where a line of it cannot be decoded, has one column only, or no tag in its last column.
    """
    reader = _SentenceReader(where, stem)
    for line in lines:
        yield from reader.feed(line)
    yield from reader.finish()
    if report and reader.n_strays:
        _log.warning("%s: %d tag(s) go on with no entity (IOB1?); each begins one", where, reader.n_strays)


def to_conll(
    text: str, tokens: Sequence[Span] | None, entities: Iterable[Typed], document_id: str | None = None
) -> tuple[str, int]:
    """One document as an IOB2 block that ends with a blank line, and how many entities the format cannot hold.

    Dropped are entities that do not begin and end with a token, and those that overlap one that was kept: longer ones
    are kept first, then earlier ones. ``tokens`` None: the text is cut by ``tokenize``. ``document_id`` is written as
    ``# id = X``, which the reader understands.
    """
    spans = tokenize(text) if tokens is None else tokens
    first = {span.start: index for index, span in enumerate(spans)}
    last = {span.end: index for index, span in enumerate(spans)}
    tags = ["O"] * len(spans)
    dropped = 0
    for entity in sorted(entities, key=lambda entity: (entity.start - entity.end, entity.start, entity.type)):
        begin, end = first.get(entity.start), last.get(entity.end)
        if begin is None or end is None or begin > end or any(tag != "O" for tag in tags[begin : end + 1]):
            dropped += 1
            continue
        tags[begin : end + 1] = [f"B-{entity.type}"] + [f"I-{entity.type}"] * (end - begin)
    lines = [] if document_id is None else [f"# id = {document_id}"]
    lines += [f"{span.surface(text)}\t{tag}" for span, tag in zip(spans, tags, strict=True)]
    return "".join(f"{line}\n" for line in lines) + "\n", dropped


class _SentenceReader:
    """Gathers token lines until a sentence ends."""

    def __init__(self, where: str, stem: str) -> None:
        self._where = where
        self._stem = stem
        self._n_columns: int | None = None
        self._n_sentences = 0
        self.n_strays = 0
        self._begin()

    def feed(self, line: Line) -> Iterator[tuple[str, Item]]:
        """Take one line; gives the sentence that it ends, if it ends one."""
        self._bytes.update(line.data + b"\n")
        try:
            text = line.text()
        except InputError as error:
            self._fail(line.number, error)
            return
        text = text.strip(" \r") if "\t" not in text else text
        columns = _columns(text)
        if not text.strip() or columns[0] == _DOCUMENT_START:
            yield from self._flush()
        elif named := _ID_COMMENT.match(text):
            self._name(line.number, named[1].strip())
        elif text.startswith("#") and "\t" not in text and self._n_columns is None:
            self._held.append((line.number, text))
        else:
            self._settle_held(len(columns))
            self._take(line.number, text, columns)

    def finish(self) -> Iterator[tuple[str, Item]]:
        """Gives the last sentence, if the file does not end with a blank line."""
        yield from self._flush()

    def _begin(self) -> None:
        self._rows: list[tuple[str, str]] = []
        self._held: list[tuple[int, str]] = []
        """Lines that begin with ``#`` before the number of columns is known: comments or tokens."""
        self._id: str | None = None
        self._line = 0
        self._problem: str | None = None
        self._bytes = hashlib.blake2b(digest_size=8)

    def _name(self, number: int, identity: str) -> None:
        if self._rows:
            return
        self._id, self._line = identity, number
        if not holds_one_line(identity):
            self._id = None
            place = f"{self._where}, line {number}"
            self._fail(number, InputError(f"{place}: the id holds a control character; write another one"))

    def _settle_held(self, n_columns: int) -> None:
        """Tell comments from tokens, now that a line says how many columns there are."""
        held, self._held = self._held, []
        for number, text in held:
            columns = _columns(text)
            if len(columns) == (self._n_columns or n_columns):
                self._take(number, text, columns)

    def _take(self, number: int, text: str, columns: list[str]) -> None:
        try:
            if not self._is_comment(text, columns):
                self._add(number, columns)
        except InputError as error:
            self._fail(number, error)

    def _fail(self, number: int, error: InputError) -> None:
        self._line = self._line or number
        self._problem = self._problem or str(error)

    def _is_comment(self, line: str, columns: list[str]) -> bool:
        if not line.startswith("#"):
            return False
        usual = self._n_columns or len(columns)
        return len(columns) != usual or _TAG.fullmatch(columns[-1].strip()) is None

    def _add(self, number: int, columns: list[str]) -> None:
        token, tag = columns[0], columns[-1].strip()
        place = f"{self._where}, line {number}"
        if len(columns) < 2 or not token:
            raise InputError(f"{place}: expected a token and a tag, parted by a tab or a space")
        if _TAG.fullmatch(tag) is None:
            raise InputError(f"{place}: the last column is not a tag; expected O, or B-, I-, M-, E-, S- and a type")
        self._n_columns = self._n_columns or len(columns)
        self._line = self._line or number
        self._rows.append((check_text(token, place), tag))

    def _flush(self) -> Iterator[tuple[str, Item]]:
        self._settle_held(2)
        if self._rows or self._id is not None or self._problem is not None:
            self._n_sentences += 1
            yield f"{self._where}, line {self._line}", self._item()
        self._begin()

    def _item(self) -> Item:
        identity = self._id or f"{self._stem}:{self._n_sentences}"
        if self._problem is not None:
            return Unreadable(identity, f"{self._where}, line {self._line}", self._problem, self._bytes.hexdigest())
        text, spans = join_tokens([token for token, _ in self._rows])
        entities, strays = _decode([tag for _, tag in self._rows], spans)
        self.n_strays += strays
        return Document(identity, text, entities, spans)


def _columns(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else re.split(" +", line)


def _decode(tags: Sequence[str], spans: Sequence[Span]) -> tuple[tuple[Entity, ...], int]:
    entities: list[Entity] = []
    n_strays = 0
    open_type: str | None = None
    for tag, span in zip(tags, spans, strict=True):
        prefix, _, kind = tag.partition("-")
        if prefix == "O":
            open_type = None
            continue
        if prefix in "BSU" or kind != open_type:
            n_strays += prefix not in "BSU"
            entities.append(Entity(span.start, span.end, kind))
        else:
            entities[-1] = Entity(entities[-1].start, span.end, kind)
        open_type = None if prefix in "ESLU" else kind
    return tuple(entities), n_strays
