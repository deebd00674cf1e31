"""Many documents through the pipeline: a bounded number under way, their records given in input order."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, Literal, Protocol, TypeVar

from el4ner.batch.merge import Failure, Found, MergeRules, Outcome, failed, merge, unreadable
from el4ner.batch.threads import in_thread
from el4ner.config import Config
from el4ner.errors import El4nerError
from el4ner.text.documents import Item, Unreadable, Window
from el4ner.text.windows import cut_windows
from el4ner.vote.entities import WindowResult

Ending = Literal["finished", "max-failures", "interrupted"]
ItemT = TypeVar("ItemT", bound=Item)


class Finder(Protocol):
    """What finds the entities of one window: the pipeline."""

    async def find(self, window: Window) -> WindowResult:
        """The entities of the window; raises El4nerError where it cannot be worked on at all."""
        ...


class Runner:
    """Runs documents through a finder.

    At most ``batch.windows_in_flight`` windows and as many documents are in memory: a document
    counts until its record is committed, and records are committed in input order, so that the documents that wait
    for a slower one before them are bounded too.

    Args:
        finder: finds the entities of a window.
        config: the configuration.
        with_text: whether predictions carry surfaces.
        grace_s: after ``stop``, seconds in which documents under way may still finish.
        leave_reader: whether a document that is still being read when the run ends is not waited for, even at the end of the
            process; its source may be silent for ever.
    """

    def __init__(
        self,
        finder: Finder,
        config: Config,
        *,
        with_text: bool = True,
        grace_s: float = 10.0,
        leave_reader: bool = False,
    ) -> None:
        self._finder = finder
        self._config = config
        self._rules = MergeRules.of(config, with_text=with_text)
        self._grace_s = grace_s
        self._in_thread = in_thread if leave_reader else _in_pool
        self._slots = asyncio.Semaphore(config.batch.windows_in_flight)
        self._pending: deque[tuple[Any, asyncio.Task[Outcome]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self.stopping = False

    def stop(self) -> None:
        """Begin no further document; called again, or after the time of grace, give up those under way."""
        if self.stopping:
            self._give_up()
            return
        self.stopping = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        asyncio.get_running_loop().call_later(self._grace_s, self._give_up)

    async def until_stopped(self, *awaited: asyncio.Future[Any]) -> None:
        """Wait until one of some futures is done, or ``stop`` is called; if it was before, until one is done."""
        self._wake = self._wake or asyncio.get_running_loop().create_future()
        waiting = {*awaited} if self.stopping else {*awaited, self._wake}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def run(
        self, items: Iterator[ItemT], commit: Callable[[ItemT, Outcome], None], *, max_failures: int | None = None
    ) -> Ending:
        """Work through the documents, which are read as they are needed.

        Args:
            items: read in a thread, one at a time, while those before are worked on and committed.
            commit: called with each item and its outcome, in input order.
            max_failures: stop once more documents than this have failed; None: never.

        Returns:
            Why it ended. Unless ``finished``, there may be documents that were not committed.

        Raises:
            El4nerError: the documents cannot be read on; all before have been committed.
        """
        failures = 0
        reader = _Reader(items, self._in_thread)
        try:
            while awaited := self._awaited(reader):
                await self.until_stopped(*awaited)
                if (item := reader.take()) is not None and not self.stopping:
                    self._pending.append((item, asyncio.create_task(self._work(item))))
                while self._pending and self._pending[0][1].done():
                    item, task = self._pending.popleft()
                    if task.cancelled():
                        return "interrupted"
                    commit(item, task.result())
                    failures += task.result().prediction.status == "failed"
                    if max_failures is not None and failures > max_failures:
                        return "max-failures"
            reader.check()
            return "finished" if reader.exhausted else "interrupted"
        finally:
            self._give_up()
            reader.close()
            await asyncio.gather(*(task for _, task in self._pending), return_exceptions=True)
            self._pending.clear()

    def _awaited(self, reader: "_Reader[ItemT]") -> list[asyncio.Future[Any]]:
        """The next document, where there is room for it, and the outcome that is committed next."""
        awaited: list[asyncio.Future[Any]] = [task for _, task in list(self._pending)[:1]]
        room = not self.stopping and len(self._pending) < self._config.batch.windows_in_flight
        if room and not reader.exhausted:
            awaited.append(reader.next())
        return awaited

    def _give_up(self) -> None:
        for _, task in self._pending:
            task.cancel()

    async def _work(self, document: Item) -> Outcome:
        if isinstance(document, Unreadable):
            return unreadable(document)
        widths = self._config.windows
        try:
            windows = cut_windows(
                document, widths.max_columns, widths.overlap_columns, self._config.language, self._config.overlap_at
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


class _Reader(Generic[ItemT]):
    """Takes documents from an iterator that may block; keeps its error until what was read before is done."""

    def __init__(
        self, items: Iterator[ItemT], in_thread: Callable[[Callable[[], ItemT | None]], "asyncio.Future[ItemT | None]"]
    ) -> None:
        self._items = items
        self._in_thread = in_thread
        self._next: asyncio.Future[ItemT | None] | None = None
        self._error: El4nerError | OSError | None = None
        self.exhausted = False

    def next(self) -> "asyncio.Future[ItemT | None]":
        """The document that is being read; begins to read one if none is."""
        if self._next is None:
            self._next = self._in_thread(lambda: next(self._items, None))
        return self._next

    def take(self) -> ItemT | None:
        """The document that was read; None if it is not there yet, after the last, and after an error."""
        if self._next is None or not self._next.done():
            return None
        done, self._next = self._next, None
        try:
            item = done.result()
        except (El4nerError, OSError) as error:
            self._error = error
            item = None
        self.exhausted = item is None
        return item

    def close(self) -> None:
        """Wait no longer for what is being read."""
        if self._next is not None:
            self._next.cancel()

    def check(self) -> None:
        """Raise the error that ended the reading, if one did."""
        if self._error is not None:
            raise self._error


def _in_pool(work: Callable[[], Any]) -> "asyncio.Future[Any]":
    """Do some work in a thread that is waited for at the end of the process."""
    return asyncio.ensure_future(asyncio.to_thread(work))


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
