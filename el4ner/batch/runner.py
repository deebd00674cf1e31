"""Many documents through the pipeline: a bounded number under way, their records given in input order."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from el4ner.batch.merge import Failure, Found, MergeRules, Outcome, failed, merge
from el4ner.config import Config
from el4ner.ensemble.entities import WindowResult
from el4ner.errors import El4nerError
from el4ner.text.documents import Document, Window
from el4ner.text.windows import cut_windows

Ending = Literal["finished", "max-failures", "interrupted"]
Commit = Callable[[Document, Outcome], None]


class Finder(Protocol):
    """What finds the entities of one window: the pipeline."""

    async def find(self, window: Window) -> WindowResult:
        """The entities of the window; raises El4nerError where it cannot be worked on at all."""
        ...


class Runner:
    """Runs documents through a finder.

    At most ``batch.windows_in_flight`` windows and ``batch.documents_in_flight`` documents are in memory: a document
    counts until its record is committed, and records are committed in input order, so that the documents that wait
    for a slower one before them are bounded too.

    Args:
        finder: finds the entities of a window.
        config: the configuration.
        with_text: whether predictions carry surfaces.
        grace_s: after ``stop``, seconds in which documents under way may still finish.
    """

    def __init__(self, finder: Finder, config: Config, *, with_text: bool = True, grace_s: float = 10.0) -> None:
        self._finder = finder
        self._config = config
        self._rules = MergeRules.of(config, with_text=with_text)
        self._grace_s = grace_s
        self._slots = asyncio.Semaphore(config.batch.windows_in_flight)
        self._pending: deque[tuple[Document, asyncio.Task[Outcome]]] = deque()
        self._stopping = False

    def stop(self) -> None:
        """Begin no further document; called again, or after the time of grace, give up those under way."""
        if self._stopping:
            self._give_up()
        else:
            self._stopping = True
            asyncio.get_running_loop().call_later(self._grace_s, self._give_up)

    async def run(self, documents: Iterator[Document], commit: Commit, *, max_failures: int | None = None) -> Ending:
        """Work through the documents, which are read as they are needed.

        Args:
            documents: read in a thread, one at a time.
            commit: called with each document and its outcome, in input order.
            max_failures: stop once more documents than this have failed; None: never.

        Returns:
            Why it ended. Unless ``finished``, there may be documents that were not committed.

        Raises:
            El4nerError: the documents cannot be read on; all before have been committed.
        """
        failures = 0
        reader = _Reader(documents)
        try:
            while await self._fill(reader):
                outcome = await self._first()
                if outcome is None:
                    return "interrupted"
                document, _ = self._pending.popleft()
                commit(document, outcome)
                failures += outcome.prediction.status == "failed"
                if max_failures is not None and failures > max_failures:
                    return "max-failures"
            reader.check()
            return "finished" if reader.exhausted else "interrupted"
        finally:
            self._give_up()
            await asyncio.gather(*(task for _, task in self._pending), return_exceptions=True)

    async def _fill(self, reader: "_Reader") -> bool:
        """Begin documents up to the bound; whether any is pending."""
        while not self._stopping and len(self._pending) < self._config.batch.documents_in_flight:
            document = await reader.next()
            if document is None:
                break
            self._pending.append((document, asyncio.create_task(self._work(document))))
        return bool(self._pending)

    async def _first(self) -> Outcome | None:
        """The outcome of the first pending document; None if it was given up."""
        task = self._pending[0][1]
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    def _give_up(self) -> None:
        for _, task in self._pending:
            task.cancel()

    async def _work(self, document: Document) -> Outcome:
        widths = self._config.windows
        try:
            windows = cut_windows(
                document, widths.max_columns, widths.overlap_columns, self._config.language, widths.overlap_at
            )
            return merge(document, await self._find_all(windows), self._rules)
        except Exception as error:
            return failed(document, _describe(error))

    async def _find_all(self, windows: list[Window]) -> Found:
        tasks: list[asyncio.Task[WindowResult | Failure]] = []
        async with asyncio.TaskGroup() as group:
            for window in windows:
                await self._slots.acquire()
                task = group.create_task(self._find(window))
                task.add_done_callback(lambda _: self._slots.release())
                tasks.append(task)
        return [(window, task.result()) for window, task in zip(windows, tasks, strict=True)]

    async def _find(self, window: Window) -> WindowResult | Failure:
        try:
            return await self._finder.find(window)
        except Exception as error:
            return Failure(_describe(error))


class _Reader:
    """Takes documents from an iterator that may block; keeps its error until what was read before is done."""

    def __init__(self, documents: Iterator[Document]) -> None:
        self._documents = documents
        self._error: El4nerError | OSError | None = None
        self.exhausted = False

    async def next(self) -> Document | None:
        """The next document; None after the last, or after an error."""
        if self.exhausted:
            return None
        try:
            document = await asyncio.to_thread(next, self._documents, None)
        except (El4nerError, OSError) as error:
            self._error = error
            document = None
        self.exhausted = document is None
        return document

    def check(self) -> None:
        """Raise the error that ended the reading, if one did."""
        if self._error is not None:
            raise self._error


def _describe(error: Exception) -> str:
    """What went wrong, in words that hold no text of the document."""
    if isinstance(error, El4nerError):
        return str(error)
    return f"unexpected {type(error).__name__} at {_place(error)}; please report it"


def _place(error: Exception) -> str:
    """The innermost line of code that an error passed through; its message may quote text, its place cannot."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return sys.argv[0]
    return f"{traceback.tb_frame.f_globals.get('__name__', '?')}:{traceback.tb_lineno}"
