"""Work that may block, in threads that never keep the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


def in_thread(work: Callable[[], ResultT]) -> "asyncio.Future[ResultT]":
    """Do some work in a thread of its own; whoever waits for it may stop waiting.

    ``asyncio.to_thread`` would not do: its threads are waited for when the loop ends, and one that reads from a silent sender
    never ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ResultT] = loop.create_future()

    def tell(how: Callable[[Any], None], what: object) -> None:
        if not future.done():
            how(what)

    def run() -> None:
        try:
            how, what = future.set_result, work()
        except Exception as error:
            how, what = future.set_exception, error  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, how, what)

    threading.Thread(target=run, name="el4ner-input", daemon=True).start()
    return future
