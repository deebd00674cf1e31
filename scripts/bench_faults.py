"""What becomes of documents whose member answers with faults: a record or a reason for each, and how fast the others are.

    python scripts/bench_faults.py [--documents 10000]

A server on this machine answers every request about a document with the fault that the document names, each kind for as many
documents; every other document, and the last tenth, names none. The table counts, by kind, the faults that were sent and what
came out, once with a second member that is well (quorum 1), once without. Then: documents without any outcome, the most
memory that the process ever held, and documents per second of the last tenth against as many before the faults.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from typing import Any

from el4ner import AnnotatedDocument, Config, load
from el4ner.config import validate
from el4ner.environment import go_offline

MEGABYTE = b" " * 10**6
KIND = re.compile(r"Document (\d+) of kind ([\w-]+): Ada Moss lives in Bexley\.")
Send = Callable[[asyncio.StreamWriter], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 1 where a document has no outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000, metavar="N")
    options = parser.parse_args(arguments)
    go_offline()
    missing = 0
    for names in (("faulty", "well"), ("faulty",)):
        missing += report(names, *measured(names, options.documents))
    return 1 if missing else 0


def measured(names: Sequence[str], size: int) -> tuple[Counter[tuple[str, str]], Counter[str], tuple[float, float]]:
    """Documents by kind and status, faults that were sent by kind, and documents per second without and after faults."""
    tenth = max(1, size // 10)
    kinds = ["none" if n % 2 else list(FAULTS)[n // 2 % len(FAULTS)] for n in range(size - tenth)]
    outcomes: Counter[tuple[str, str]] = Counter()
    with serving() as (port, sent), load(config(names, port)) as annotator:
        before = timed(annotator.annotate(texts(["none"] * tenth)), Counter())
        for document in annotator.annotate(texts(kinds)):
            outcomes[kinds[int(document.id)], outcome(document)] += 1
        after = timed(annotator.annotate(texts(["none"] * tenth)), outcomes)
    return outcomes, sent, (tenth / before, tenth / after)


def outcome(document: AnnotatedDocument) -> str:
    """Its status; ``nothing`` where it has neither a record nor a reason."""
    return "nothing" if document.status == "failed" and not document.reason else document.status


def timed(documents: Iterator[AnnotatedDocument], outcomes: Counter[tuple[str, str]]) -> float:
    """Seconds until all are there; counts them as documents without a fault."""
    began = time.perf_counter()
    outcomes.update(("none", outcome(document)) for document in documents)
    return time.perf_counter() - began


def texts(kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Documents that name a kind of fault."""
    for number, kind in enumerate(kinds):
        yield str(number), f"Document {number} of kind {kind}: Ada Moss lives in Bexley."


def config(names: Sequence[str], port: int) -> Config:
    """An ensemble of the faulty member, or of that and one that is well."""
    member = {"engine": "http", "role": "single-pass", "model": "m", "retries": 1, "timeout_s": 3.0}
    members = [member | {"name": name, "endpoint": f"http://127.0.0.1:{port}/{name}/v1"} for name in names]
    members[1:] = [
        well | {"timeout_s": 60.0} for well in members[1:]
    ]  # a busy machine is no fault of the one that is well
    labels = [{"name": "PER", "words": {"en": "person"}}, {"name": "LOC", "words": {"en": "location"}}]
    sections = {"labels": labels, "members": members, "demonstrations": {"method": "none"}, "verify": {"mode": "off"}}
    return validate(Config, sections | {"batch": {"quorum": 1}}, "faults")


def report(
    names: Sequence[str], outcomes: Counter[tuple[str, str]], sent: Counter[str], speeds: tuple[float, float]
) -> int:
    """Print the table; returns how many documents have no outcome."""
    statuses = ("ok", "partial", "failed", "nothing")
    print(f"members: {', '.join(names)}\n{'':16}{'faults':>8}" + "".join(f"{status:>9}" for status in statuses))
    for kind in (*FAULTS, "none"):
        print(f"{kind:16}{sent[kind]:8,}" + "".join(f"{outcomes[kind, status]:9,}" for status in statuses))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"most memory {peak:,.0f} MB; documents per second {speeds[0]:.1f} before and {speeds[1]:.1f} after\n",
        flush=True,
    )
    return sum(number for (_, status), number in outcomes.items() if status == "nothing")


@contextmanager
def serving() -> Iterator[tuple[int, Counter[str]]]:
    """A server in a thread of its own: its port, and the faults that it sent."""
    loop, sent, ready = asyncio.new_event_loop(), Counter[str](), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with await asyncio.start_server(lambda r, w: _talk(r, w, sent), "127.0.0.1", 0, limit=2**20) as server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await asyncio.Event().wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(_until_cancelled(serve())), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield ports[0], sent
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join(5)


async def _until_cancelled(work: Any) -> None:
    with suppress(asyncio.CancelledError):
        await work


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Counter[str]) -> None:
    """Answer the requests of a connection until it ends."""
    async with _closing(writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            await _answer(head.split()[1].decode(), body.decode(), writer, sent)


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


async def _answer(path: str, body: str, writer: asyncio.StreamWriter, sent: Counter[str]) -> None:
    asked = KIND.search(body)
    if path.endswith("/models"):
        reply = json.dumps({"data": [{"id": "m", "owned_by": "somebody"}]}).encode()
        await _send(writer, reply)
    elif not path.endswith("/chat/completions"):
        await _send(writer, b"{}", "404 Not Found")
    elif asked is None or asked[2] == "none" or path.startswith("/well/"):
        await _send(writer, completion(asked[0] if asked else "fine"))
    else:
        sent[asked[2]] += 1
        await FAULTS[asked[2]](writer)


def completion(text: str) -> bytes:
    """The answer about a text, as chat completion servers give it."""
    marked = text.replace("Ada Moss", "[[Ada Moss|person]]").replace("Bexley", "[[Bexley|location]]")
    return _choice({"content": marked})


def _choice(message: dict[str, Any]) -> bytes:
    usage = {"prompt_tokens": 4000, "completion_tokens": 20}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"} | message}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


async def _send(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _slow(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.2)


async def _truncated(writer: asyncio.StreamWriter) -> None:
    await _send(writer, completion("x")[:30])


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"f4240\r\n" + MEGABYTE + b"\r\n")
        await writer.drain()


async def _long(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
    for _ in range(50):
        writer.write(MEGABYTE)
        await writer.drain()


@cache
def _bomb() -> bytes:
    """300 MB of blanks, compressed."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([*(packer.compress(MEGABYTE) for _ in range(300)), packer.flush()])


FAULTS: dict[str, Send] = {
    "429": lambda writer: _send(writer, b"{}", "429 Too Many Requests", "Retry-After: 0.1"),
    "500": lambda writer: _send(writer, b"{}", "500 Internal Server Error"),
    "401": lambda writer: _send(writer, b"{}", "401 Unauthorized"),
    "reset": _reset,
    "slow": _slow,
    "hang": lambda writer: asyncio.sleep(3600),
    "truncated": _truncated,
    "wrong-schema": lambda writer: _send(writer, b'{"choices": {"0": [1, 2]}}'),
    "empty-choices": lambda writer: _send(writer, b'{"choices": []}'),
    "thinking-only": lambda writer: _send(writer, _choice({"content": "<think>I wonder. "})),
    "white-space": _endless,
    "50-MB": _long,
    "redirect": lambda writer: _send(writer, b"", "307 Temporary Redirect", "Location: http://192.0.2.1/"),
    "gzip-bomb": lambda writer: _send(writer, _bomb(), "200 OK", "Content-Encoding: gzip"),
}


if __name__ == "__main__":
    sys.exit(main())
