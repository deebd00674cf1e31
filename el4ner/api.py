"""The Python API: load an ensemble, annotate texts, score predictions. ``import el4ner`` offers all of it."""

import asyncio
import itertools
import json
import queue
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from el4ner.batch.merge import Outcome
from el4ner.batch.prediction import Status
from el4ner.batch.runner import Finder, Runner
from el4ner.config import Config, load_config, validate
from el4ner.environment import go_offline
from el4ner.errors import ConfigError, El4nerError, InputError
from el4ner.scoring.counts import Counts, micro, strict_counts
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.text.documents import Document
from el4ner.text.jsonl import parse_document
from el4ner.text.spans import Entity
from el4ner.vote.entities import ScoreKind, VotedEntity

Text: TypeAlias = str | tuple[str, str] | Mapping[str, Any]
"""A text; or an id and a text; or ``{"text": ..., "id": ...}``."""
Labels: TypeAlias = Mapping[str, str] | Sequence[Mapping[str, Any]]
"""Definitions by type name; or label sections as in a configuration."""


@dataclass(frozen=True, slots=True)
class AnnotatedEntity:
    """An entity of an annotated document.

    Attributes:
        text: its surface.
        start: first code point of the document's text.
        end: code point after the last.
        type: type name.
        score: estimated probability that span and type are right, 0 to 1; the document's ``score_kind`` says which estimate.
            Of kind ``votes`` it is too high where all members agree; calibrate it with a combiner before you rely on it.
        votes: per member that was asked, the type it gave, or None for no entity.
        verdicts: per judge that was asked about it and answered, whether it called span and type right; empty where nobody
            judged it. A verdict is one model's opinion, not a proof.
        source: ``document`` where nobody named this place, and the same surface elsewhere in the document speaks for it; it
            has no votes then. None where the members' votes do.
    """

    text: str
    start: int
    end: int
    type: str
    score: float | None = None
    votes: Mapping[str, str | None] = field(default_factory=dict)
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    source: Literal["document"] | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedDocument:
    """A document with what was found in it.

    Attributes:
        id: as given, or its number in the call, from 0.
        text: as given.
        status: ``ok``; ``partial``: a member is missing somewhere; ``failed``: there is no result.
        reason: what is missing, without text; None where the status is ``ok``.
        unread: stretches ``(start, end)`` of the text that have no result.
        score_kind: where the scores come from. ``votes``: the mean probability that the members give the type, an estimate
            that nothing was fitted to; ``calibrated``: a combiner learned from labelled documents. None: nothing was read.
    """

    id: str
    text: str
    status: Status
    reason: str | None
    _entities: tuple[AnnotatedEntity, ...] = ()
    unread: tuple[tuple[int, int], ...] = ()
    score_kind: ScoreKind | None = None

    @property
    def entities(self) -> tuple[AnnotatedEntity, ...]:
        """The entities, sorted by place.

        Raises:
            El4nerError: the document failed; an empty list would say that it has none.
        """
        if self.status == "failed":
            raise El4nerError(f"document {self.id!r} has no result: {self.reason}; look at status before entities")
        return self._entities


@dataclass(frozen=True, slots=True)
class Score:
    """Strict scores (exact span and type), each from 0 to 1, over all types (micro-averaged).

    Attributes:
        counts: true positives, false positives and false negatives.
        by_type: the same by type; each has ``precision``, ``recall`` and ``f1``.
        missing: ids of gold documents without a prediction; their entities count as missed.
        failed: ids of documents that failed; theirs do as well.
    """

    counts: Counts
    by_type: Mapping[str, Counts]
    missing: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def precision(self) -> float:
        """Share of what was predicted that is right."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """Share of gold that was found."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.counts.f1


class _Ensemble(Finder, Protocol):
    async def close(self) -> None: ...


def load(
    config: str | Path | Config = "default",
    *,
    labels: Labels | None = None,
    pool: Iterable[Mapping[str, Any]] | None = None,
) -> "Annotator":
    """An ensemble that is ready to annotate; the models' weights are loaded with the first text.

    Args:
        config: the name of a configuration that ships (``default``, ``small``, ...), the path of a YAML file, or a configuration.
        labels: other labels than the configuration's: definitions by type name, ``{"DRUG": "a medicine by name"}``, or label
            sections. The models call a type as it is named, in lower case.
        pool: labelled sentences to learn from in place of the configuration's, as dictionaries with ``text`` and ``entities``
            (``start``, ``end``, ``type``). With other labels and no pool, none is used.

    Raises:
        ConfigError: there is no such configuration, or it is wrong.
        ModelError: a model is not installed, or cannot be used.
        InputError: the pool is wrong.
    """
    from el4ner.engines.meter import Meter
    from el4ner.pipeline import build_pipeline

    go_offline()
    resolved = _resolved(config, labels)
    documents = None if pool is None else _documents(pool, "pool")
    if documents is None and labels is not None:
        resolved = resolved.model_copy(update={"pool": resolved.pool.model_copy(update={"path": None})})
    return Annotator(resolved, build_pipeline(resolved, Meter(), pool=documents))


class Annotator:
    """Finds entities in texts. Safe to use from several threads, and where an event loop runs already (notebooks).

    Close it, or use it in a ``with`` statement, to give back the models' memory.

    Args:
        config: the ensemble's configuration.
        ensemble: what finds the entities of a window; see :func:`load`.
    """

    def __init__(self, config: Config, ensemble: _Ensemble) -> None:
        self.config = config
        self._ensemble = ensemble
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="el4ner", daemon=True)
        self._thread.start()
        self._runs: set[_Run] = set()
        self._closed = False

    def annotate(self, texts: Iterable[Text]) -> Iterator[AnnotatedDocument]:
        """The documents with their entities, in the order of the texts; texts are read as they are needed.

        Args:
            texts: texts; pairs of an id and a text; or dictionaries. One string alone is an error, since it is an iterable too.

        Raises:
            InputError: one of them is no text.
            El4nerError: the annotator is closed.
        """
        run = self._start(texts)
        try:
            yield from iter(run.next, None)
        finally:
            self._end(run)

    async def aannotate(self, texts: Iterable[Text]) -> AsyncIterator[AnnotatedDocument]:
        """The same for a program with an event loop of its own."""
        run = self._start(texts)
        try:
            while (document := await asyncio.to_thread(run.next)) is not None:
                yield document
        finally:
            self._end(run)

    def close(self) -> None:
        """Give back the models' memory; calls that are under way end with an error."""
        if self._closed:
            return
        self._closed = True
        for run in list(self._runs):
            run.cancel()
        asyncio.run_coroutine_threadsafe(self._give_back(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _start(self, texts: Iterable[Text]) -> "_Run":
        if self._closed:
            raise El4nerError("this annotator is closed; load another one")
        if isinstance(texts, str | bytes):
            raise InputError("annotate takes an iterable of texts; put a single text into a list: annotate([text])")
        run = _Run(self._ensemble, self.config, texts, self._loop)
        self._runs.add(run)
        return run

    def _end(self, run: "_Run") -> None:
        run.cancel()
        self._runs.discard(run)

    async def _give_back(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._ensemble.close()


class _Run:
    """One call of ``annotate``: texts are taken and documents given at the caller's pace, the work is done on the loop."""

    def __init__(
        self, ensemble: Finder, config: Config, texts: Iterable[Text], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._done: queue.SimpleQueue[AnnotatedDocument | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(2 * config.batch.windows_in_flight)
        self._cancelled = False
        self._runner = Runner(ensemble, config, grace_s=0.0)
        self._future: Future[Any] = asyncio.run_coroutine_threadsafe(self._work(texts), loop)
        self._future.add_done_callback(lambda _: self._done.put(None))

    def next(self) -> AnnotatedDocument | None:
        """The next document; None after the last.

        Raises:
            El4nerError: the texts cannot be read on, or the annotator was closed meanwhile.
        """
        document = self._done.get()
        self._room.release()
        if document is None:
            self._done.put(None)
            if self._future.cancelled():
                raise El4nerError("this annotator was closed while it worked")
            self._future.result()
        return document

    def cancel(self) -> None:
        """End the work; nothing more is given."""
        self._cancelled = True
        self._room.release()
        self._future.cancel()

    async def _work(self, texts: Iterable[Text]) -> None:
        await self._runner.run(self._read(texts), self._commit)

    def _read(self, texts: Iterable[Text]) -> Iterator[Document]:
        for number, text in enumerate(texts):
            while not self._room.acquire(timeout=1.0):  # so that a program can end in the middle of a call
                if not threading.main_thread().is_alive():
                    return
            if self._cancelled:
                return
            yield _document(text, number, "texts")

    def _commit(self, document: Document, outcome: Outcome) -> None:
        prediction = outcome.prediction
        entities = tuple(_annotated(entity, document.text) for entity in prediction.entities)
        status, reason, unread, kind = prediction.status, prediction.reason, prediction.unread, prediction.score_kind
        self._done.put(AnnotatedDocument(document.id, document.text, status, reason, entities, unread, kind))


def score(
    gold: str | Path | Iterable[Mapping[str, Any]],
    predictions: str | Path | Iterable[AnnotatedDocument | Mapping[str, Any]],
) -> Score:
    """Strict scores of predictions against gold; documents are brought together by id.

    Args:
        gold: a labelled file; or dictionaries with ``text``, ``entities`` and, unless they are numbered from 0 alike, ``id``.
        predictions: a file of predictions; or annotated documents; or dictionaries like gold's.

    Raises:
        InputError: one of them cannot be read, is for a document that gold does not have, or stands twice.
    """
    documents = read_gold(Path(gold)) if isinstance(gold, str | Path) else _documents(gold, "gold")
    wanted = [frozenset(document.entities or ()) for document in documents]
    if isinstance(predictions, str | Path):
        read = read_predictions(Path(predictions), documents)
        by_type = strict_counts(wanted, read.entities)
        return Score(micro(by_type), by_type, read.missing, read.failed)
    found, failed = _found(predictions)
    unknown = sorted(set(found) - {document.id for document in documents})
    if unknown:
        raise InputError(
            f"predictions hold document {unknown[0]!r}, which gold does not have; score the same documents"
        )
    by_type = strict_counts(wanted, [found.get(document.id, frozenset()) for document in documents])
    missing = tuple(document.id for document in documents if document.id not in found)
    return Score(micro(by_type), by_type, missing, tuple(failed))


def _annotated(entity: VotedEntity, text: str) -> AnnotatedEntity:
    start, end = entity.start, entity.end
    votes, verdicts = dict(entity.votes), dict(entity.verdicts)
    return AnnotatedEntity(text[start:end], start, end, entity.type, entity.score, votes, verdicts, entity.source)


def _found(
    predictions: Iterable[AnnotatedDocument | Mapping[str, Any]],
) -> tuple[dict[str, frozenset[Entity]], list[str]]:
    found: dict[str, frozenset[Entity]] = {}
    failed: list[str] = []
    for number, item in enumerate(predictions):
        if isinstance(item, AnnotatedDocument):
            name = item.id
            failed += [name] if item.status == "failed" else []
            entities = () if item.status == "failed" else item.entities
            labelled = frozenset(Entity(entity.start, entity.end, entity.type) for entity in entities)
        else:
            document = _labelled(item, number, "predictions")
            name, labelled = document.id, frozenset(document.entities or ())
        if name in found:
            raise InputError(f"predictions hold document {name!r} twice; give each document once")
        found[name] = labelled
    return found, failed


def _resolved(config: str | Path | Config, labels: Labels | None) -> Config:
    resolved = config if isinstance(config, Config) else load_config(Path(config))
    if labels is None:
        return resolved
    sections = [_label(name, text) for name, text in labels.items()] if isinstance(labels, Mapping) else list(labels)
    sections_of = {name: getattr(resolved, name) for name in Config.model_fields}
    return validate(Config, sections_of | {"labels": sections}, "load: labels")


def _label(name: str, definition: object) -> dict[str, Any]:
    if not isinstance(definition, str):
        raise ConfigError(
            f"load: the definition of label {name!r} must be a string; for more give label sections in a list"
        )
    words = {language: name.lower() for language in ("en", "zh")}
    return {"name": name, "words": words, "definitions": {"en": definition, "zh": definition}}


def _documents(items: Iterable[Mapping[str, Any]], what: str) -> list[Document]:
    documents = [_labelled(item, number, what) for number, item in enumerate(items)]
    names = sorted(document.id for document in documents)
    twice = next((one for one, other in itertools.pairwise(names) if one == other), None)
    if twice is not None:
        raise InputError(f"{what}: the id {twice!r} stands twice; give each document an id of its own")
    return documents


def _labelled(item: Mapping[str, Any], number: int, what: str) -> Document:
    document = _document(item, number, what)
    if document.entities is None:
        raise InputError(f'{what}, item {number}: "entities" is missing; an empty list says that there are none')
    return document


def _document(item: Text, number: int, what: str) -> Document:
    """A document out of what a caller gives; where it has no id, its number is one."""
    if isinstance(item, str):
        record: Mapping[str, Any] = {"text": item}
    elif isinstance(item, tuple) and len(item) == 2:
        record = {"id": item[0], "text": item[1]}
    elif isinstance(item, Mapping):
        record = item
    else:
        raise InputError(
            f"{what}, item {number}: a text, a pair (id, text) or a dictionary is expected, not {type(item).__name__}"
        )
    try:
        line = json.dumps({"id": str(number), **record})
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}, item {number}: it holds what JSON cannot; give strings and numbers") from error
    return parse_document(line, str(number), f"{what}, line {number}")


__all__ = ["AnnotatedDocument", "AnnotatedEntity", "Annotator", "Score", "load", "score"]
