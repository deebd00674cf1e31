"""The annotator: texts in, annotated documents out, in order and in bounded memory, on an event loop in a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self

from el4ner.api.documents import AnnotatedDocument, AnnotatedEntity
from el4ner.api.inputs import Text, document_of
from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Finder, Runner
from el4ner.config import Config
from el4ner.errors import El4nerError, InputError
from el4ner.text.documents import Document
from el4ner.vote.entities import VotedEntity


class Ensemble(Finder, Protocol):
    """What finds the entities of a window, and can be closed."""

    async def close(self) -> None:
        """Give back its memory."""
        ...


class Annotator:
    """Finds entities in texts. Safe to use from several threads, and where an event loop runs already (notebooks).

    Close it, or use it in a ``with`` statement, to give back the models' memory.

    Args:
        config: the ensemble's configuration.
        ensemble: what finds the entities of a window; see :func:`load`.
    """

    def __init__(self, config: Config, ensemble: Ensemble) -> None:
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
            yield document_of(text, number, "texts")

    def _commit(self, document: Document, outcome: Outcome) -> None:
        prediction = outcome.prediction
        entities = tuple(_annotated(entity, document.text) for entity in prediction.entities)
        status, reason, unread, kind = prediction.status, prediction.reason, prediction.unread, prediction.score_kind
        self._done.put(AnnotatedDocument(document.id, document.text, status, reason, entities, unread, kind))


def _annotated(entity: VotedEntity, text: str) -> AnnotatedEntity:
    start, end = entity.start, entity.end
    votes, verdicts = dict(entity.votes), dict(entity.verdicts)
    return AnnotatedEntity(text[start:end], start, end, entity.type, entity.score, votes, verdicts, entity.source)
