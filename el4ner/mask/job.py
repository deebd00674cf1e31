"""The work: entities for every document, then the masked documents, what was replaced where, and what a person should look at."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

from el4ner.api import Annotator
from el4ner.batch.prediction import Prediction, hash_text, parse_line
from el4ner.errors import AlignmentError, InputError
from el4ner.mask.audit import Audit
from el4ner.mask.inputs import Inputs, Unit
from el4ner.mask.places import Place, Surfaces, joined, parts
from el4ner.text.documents import Document
from el4ner.text.files import TEXT_SUFFIXES, decode
from el4ner.text.new_files import open_anew
from el4ner.vote.entities import VotedEntity

PRIVATE = "private"
"""Folder of the output that must not leave."""
Replacer: TypeAlias = Callable[[str, str], str]
"""From a surface and its type to what takes its place."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is masked, and what a person should look at.

    Attributes:
        types: of the entities that are masked; None: all.
        name_types: types whose entities are names of persons, of which each part is masked too.
        everywhere: whether a surface that was found in one document is masked in all.
        review_below: masked entities with a lower score are put on the review list.
    """

    types: frozenset[str] | None = None
    name_types: frozenset[str] = frozenset({"PER", "PERSON"})
    everywhere: bool = False
    review_below: float = 0.8


class Entities:
    """The records of a file of predictions, by document; memory grows by an id and a number for each.

    Args:
        path: as ``el4ner.run`` writes them.

    Raises:
        InputError: it cannot be read, or holds what is no such record.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offsets = path, dict[str, int]()
        self._stream = path.open("rb")
        while line := self._stream.readline():
            offset = self._stream.tell() - len(line)
            where = f"{path}, byte {offset + 1}"
            identity = parse_line(decode(line, where).encode(), where).id
            if self._offsets.setdefault(identity, offset) != offset:
                raise InputError(f"{path}: document {identity!r} has two records; keep one")

    def of(self, document: Document, types: frozenset[str] | None) -> list[Place]:
        """The entities of a document.

        Raises:
            InputError: there is no result for it, or for a part of it, or it is for another text.
            AlignmentError: an entity does not lie in the text.
        """
        if document.id not in self._offsets:
            raise InputError(f"document {document.id!r} has no record among the entities")
        self._stream.seek(self._offsets[document.id])
        prediction = parse_line(self._stream.readline(), str(self._path))
        prediction.check(document)
        if prediction.status == "failed" or prediction.unread:
            raise InputError(f"document {document.id!r} was not read, or not all of it: {prediction.reason}")
        found = [entity for entity in prediction.entities if types is None or entity.type in types]
        return [Place(entity.start, entity.end, entity.type, "found", entity.score) for entity in found]


def write_entities(inputs: Inputs, annotator: Annotator, path: Path) -> None:
    """Find the entities of all documents and write them as a file of predictions, without text."""
    texts = ((document.id, document.text) for unit in inputs.units() for document in unit.documents)
    with os.fdopen(open_anew(path), "wb") as stream:
        for given in annotator.annotate(texts):
            entities = () if given.status == "failed" else given.entities
            found = tuple(VotedEntity(entity.start, entity.end, entity.type, entity.score) for entity in entities)
            hashed = hash_text(given.text)
            record = Prediction(
                given.id, given.status, found, reason=given.reason, unread=given.unread, text_hash=hashed
            )
            stream.write(record.to_line())


def corpus_surfaces(inputs: Inputs, entities: Entities, rules: Rules) -> dict[str, str]:
    """The type of each surface that was found anywhere, and of each part of a person's name."""
    types: dict[str, str] = {}
    for unit in inputs.units():
        for document in unit.documents:
            try:
                found = entities.of(document, rules.types)
            except (InputError, AlignmentError):
                continue  # it will be withheld
            for surface, kind in _types(document.text, found).items():
                types.setdefault(surface, kind)
    return _name_parts(types, rules) | types


def _name_parts(types: Mapping[str, str], rules: Rules) -> dict[str, str]:
    """The type of each part of the names among typed surfaces."""
    return {part: kind for name, kind in types.items() if kind in rules.name_types for part in parts(name)}


class Masker:
    """Masks documents, each with what a person should look at.

    Args:
        entities: of the documents.
        rules: what is masked.
        replacer: what stands in its place.
        corpus: the type of each surface of the whole corpus.
        audit: compares with gold, if there is any.

    Attributes:
        counts: units written and withheld, places by source, entries of the review list by reason.
    """

    def __init__(
        self, entities: Entities, rules: Rules, replacer: Replacer, corpus: dict[str, str], audit: Audit | None = None
    ) -> None:
        self._entities, self._rules, self._replacer, self._audit = entities, rules, replacer, audit
        self._corpus = Surfaces(corpus)
        self.counts: Counter[str] = Counter()

    def run(self, inputs: Inputs, writer: "Writer") -> None:
        """Write everything; a unit of which a part has no result is withheld.

        Raises:
            InputError: an input cannot be read, or gold has another text.
        """
        for unit in inputs.units():
            try:
                if unit.problem is not None:
                    raise InputError(unit.problem)
                found = [self._entities.of(document, self._rules.types) for document in unit.documents]
            except (InputError, AlignmentError) as error:
                self.counts["withheld"] += 1
                ids = [document.id for document in unit.documents]
                writer.private("withheld", {"ids": ids, "reason": str(error)})
            else:
                self.counts["written"] += 1
                writer.masked(unit, self._masked(unit, found, writer), inputs.header(unit.home))

    def _masked(self, unit: Unit, found: list[list[Place]], writer: "Writer") -> list[str]:
        types: dict[str, str] = {}
        for document, places in zip(unit.documents, found, strict=True):
            types |= _types(document.text, places)
        sought = Surfaces(types), Surfaces(_name_parts(types, self._rules))
        return [
            self._document(document, places, sought, writer)
            for document, places in zip(unit.documents, found, strict=True)
        ]

    def _document(
        self, document: Document, found: list[Place], sought: tuple[Surfaces, Surfaces], writer: "Writer"
    ) -> str:
        """The masked text; everything else that is said of the document is written."""
        text, others = document.text, list(self._corpus.places(document.text))
        own = [*found, *sought[0].places(text), *sought[1].places(text, "part")]
        places = joined([*own, *others] if self._rules.everywhere else own)
        self.counts.update(f"masked, {place.source}" for place in places)
        for place, why in self._doubtful(found, others, places):
            self.counts[f"to review, {why}"] += 1
            writer.private("review", {"id": document.id, "why": why} | _stated(place, text) | {"score": place.score})
        for leak in self._audit.leaks(document, places) if self._audit else ():
            writer.private("leaks", {"id": document.id} | _stated(leak, text))
        masked, replacements = replace_places(text, places, self._replacer)
        writer.private("replacements", {"id": document.id, "replacements": replacements})
        return masked

    def _doubtful(self, found: list[Place], others: list[Place], places: list[Place]) -> Iterator[tuple[Place, str]]:
        for place in found:
            if place.score is not None and place.score < self._rules.review_below:
                yield place, "low score"
            if place.end - place.start == 1:
                yield place, "one character, not sought elsewhere"
        for other in others:
            if not any(place.covers(other) for place in places):
                yield other, "not masked, found in another document"


def replace_places(text: str, places: Iterable[Place], replacer: Replacer) -> tuple[str, list[dict[str, Any]]]:
    """The masked text, and each replacement with its offsets in both texts, in code points."""
    pieces: list[str] = []
    replacements: list[dict[str, Any]] = []
    before = length = 0
    for place in places:
        new = replacer(text[place.start : place.end], place.type)
        at = length + place.start - before
        pieces += [text[before : place.start], new]
        before, length = place.end, at + len(new)
        offsets = {"start": place.start, "end": place.end, "new_start": at, "new_end": length}
        replacements.append(offsets | {"type": place.type, "source": place.source, "score": place.score})
    return "".join([*pieces, text[before:]]), replacements


def restore(inputs: Inputs, surfaces: dict[str, str], output: Path) -> int:
    """Put surfaces back in the place of their pseudonyms; returns how many, and writes to ``output/restored``."""
    wanted = re.compile("|".join(map(re.escape, surfaces)) or "(?!)")
    restored = 0
    with Writer(output, "restored") as writer:
        for unit in inputs.units():
            if unit.problem is not None:
                raise InputError(unit.problem)
            done = [wanted.subn(lambda match: surfaces[match[0]], document.text) for document in unit.documents]
            restored += sum(number for _, number in done)
            writer.masked(unit, [text for text, _ in done], inputs.header(unit.home))
        writer.finish()
    return restored


class Writer:
    """The output: masked documents in one folder, and what must not leave in ``private``, all for their owner alone.

    Args:
        output: the folder of both.
        name: of the first one; it appears at the end, when everything is in it.

    Raises:
        InputError: that folder is there already.
    """

    def __init__(self, output: Path, name: str = "masked") -> None:
        self._output, self._final, self._part = output, output / name, output / f"{name}.part"
        if self._final.exists():
            raise InputError(f"{self._final} is there already; name another --output, or remove it")
        shutil.rmtree(self._part, ignore_errors=True)
        make_folder(self._part)
        self._streams: dict[Path, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def masked(self, unit: Unit, texts: list[str], header: str) -> None:
        """Write a unit."""
        path = self._part / unit.home
        content = unit.written(texts).encode()
        if path.suffix in TEXT_SUFFIXES:
            make_folder(path.parent)
            with os.fdopen(open_anew(path), "wb") as stream:
                stream.write(content)
        else:
            self._stream(path, header).write(content)

    def private(self, name: str, entry: dict[str, Any]) -> None:
        """Write a line that must not leave."""
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        self._stream(self._output / PRIVATE / f"{name}.jsonl").write(line.encode())

    def finish(self) -> None:
        """Everything was written: let the folder appear."""
        for stream in self._streams.values():
            stream.flush()
        self._part.rename(self._final)

    def _stream(self, path: Path, header: str = "") -> BinaryIO:
        if path not in self._streams:
            make_folder(path.parent)
            self._streams[path] = os.fdopen(open_anew(path), "wb")
            self._streams[path].write(header.encode())
        return self._streams[path]


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are not there, for their owner alone."""
    for folder in reversed([path, *path.parents]):
        folder.mkdir(mode=0o700, exist_ok=True)


def _types(text: str, places: Iterable[Place]) -> dict[str, str]:
    """The type of each surface."""
    return {text[place.start : place.end]: place.type for place in places}


def _stated(place: Any, text: str) -> dict[str, Any]:
    surface = text[place.start : place.end]
    return {"start": place.start, "end": place.end, "type": place.type, "text": surface}
