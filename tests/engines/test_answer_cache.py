"""The request cache: asked once, kept on disk, never confused, never poisoned by errors, whole after a kill."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Message, Request, Usage
from el4ner.engines.cache import CachedEngine
from el4ner.errors import ConfigError, MemberError


class Slow:
    """Echoes the question once it is released, and counts how often it was asked."""

    def __init__(self, fingerprint: str = "f", failures: int = 0):
        self.name, self.fingerprint = "slow", fingerprint
        self.asked = self.finished = 0
        self.started, self.released = asyncio.Event(), asyncio.Event()
        self.released.set()
        self._failures = failures

    async def generate(self, request):
        await self._work()
        return Answer(f"{self.fingerprint}:{request.messages[-1].content}", "stop", Usage(5, 2, 0.1))

    async def choose(self, request):
        await self._work()
        return Choice(request.choices[0], {choice: -1.0 for choice in request.choices}, Usage(5, 1, 0.1))

    async def close(self):
        pass

    async def _work(self):
        self.asked += 1
        asked = self.asked
        self.started.set()
        await asyncio.sleep(0)
        await self.released.wait()
        if asked <= self._failures:
            raise MemberError(self.name, "not now", retryable=True)
        self.finished += 1


def question(text: str = "q", **values) -> Request:
    return Request("extract", (Message("user", text),), 8, **values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "answers.sqlite"


def key_of(number: int) -> str:
    return question(str(number)).key("f")


def test_identical_requests_under_way_are_asked_once_without_a_store():
    slow = Slow()
    member = CachedEngine(slow)

    async def ask():
        return await asyncio.gather(
            *(member.generate(question()) for _ in range(5)), member.generate(question("other"))
        )

    answers = asyncio.run(ask())
    assert slow.asked == 2
    assert [answer.text for answer in answers] == ["f:q"] * 5 + ["f:other"]
    assert [answer.usage.cached for answer in answers] == [False, True, True, True, True, False]


def test_without_a_store_nothing_is_kept_after_the_answer():
    slow = Slow()
    member = CachedEngine(slow)

    async def ask_twice():
        await member.generate(question())
        await member.generate(question())

    asyncio.run(ask_twice())
    assert slow.asked == 2


def test_a_stored_answer_survives_reopening_and_costs_nothing(path: Path):
    slow = Slow()
    choice = question(choices=("人名", "none"))

    async def ask(member):
        return await member.generate(question("😀 北京")), await member.choose(choice)

    store = AnswerStore(path)
    first = asyncio.run(ask(CachedEngine(slow, store)))
    store.close()
    again = asyncio.run(ask(CachedEngine(slow, AnswerStore(path))))
    assert again == first
    assert slow.asked == 2
    assert again[0].usage == Usage(5, 2, 0.0, cached=True)


def test_token_log_probabilities_are_kept_with_the_answer(path: Path):
    store = AnswerStore(path)
    store.put(key_of(1), Answer("[[北京|place]]", "stop", token_log_probs=((2, -0.25), (6, 0.0))))
    kept = store.get(key_of(1))
    assert isinstance(kept, Answer) and kept.token_log_probs == ((2, -0.25), (6, 0.0))


def test_members_with_other_fingerprints_do_not_share_answers(path: Path):
    store = AnswerStore(path)

    async def ask():
        return [await CachedEngine(Slow(fingerprint), store).generate(question()) for fingerprint in "ab"]

    assert [answer.text for answer in asyncio.run(ask())] == ["a:q", "b:q"]


def test_errors_are_shared_but_not_cached(path: Path):
    slow = Slow(failures=1)
    member = CachedEngine(slow, AnswerStore(path))

    async def ask():
        failed = await asyncio.gather(*(member.generate(question()) for _ in range(3)), return_exceptions=True)
        return failed, await member.generate(question())

    failed, answer = asyncio.run(ask())
    assert all(isinstance(failure, MemberError) for failure in failed)
    assert answer.text == "f:q"
    assert slow.asked == 2


def test_one_who_stops_waiting_does_not_take_the_answer_from_the_others():
    slow = Slow()
    slow.released.clear()
    member = CachedEngine(slow)

    async def ask():
        first = asyncio.create_task(member.generate(question()))
        second = asyncio.create_task(member.generate(question()))
        await slow.started.wait()
        first.cancel()
        await asyncio.wait([first])
        slow.released.set()
        return await second

    assert asyncio.run(ask()).text == "f:q"
    assert (slow.asked, slow.finished) == (1, 1)


def test_the_last_one_who_stops_waiting_stops_the_request_and_the_next_asks_anew():
    slow = Slow()
    slow.released.clear()
    member = CachedEngine(slow)

    async def ask():
        only = asyncio.create_task(member.generate(question()))
        await slow.started.wait()
        only.cancel()
        await asyncio.wait([only])
        slow.released.set()
        return await member.generate(question())

    assert asyncio.run(ask()).text == "f:q"
    assert (slow.asked, slow.finished) == (2, 1)


def answer(number: int) -> Answer:
    return Answer(f"answer {number} 北京", "stop")


def test_the_files_are_private_also_where_they_were_not(path: Path):
    store = AnswerStore(path)
    store.put(key_of(0), answer(0))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {file.name for file in path.parent.iterdir()} > {path.name}  # the log of what is not in the file yet
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    store.close()
    path.chmod(0o644)
    AnswerStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_later_answer_replaces_an_earlier_one_and_no_key_is_forgotten(path: Path):
    store = AnswerStore(path)
    for number in range(3000):
        store.put(key_of(number), answer(number))
    store.put(key_of(7), answer(70))
    store.close()
    store = AnswerStore(path)
    assert [store.get(key_of(number)) for number in (0, 7, 2999, 3000)] == [answer(0), answer(70), answer(2999), None]


WRITER = """
import sys
from pathlib import Path
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer
store = AnswerStore(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    store.put(f"{number:064x}", Answer(f"answer {number} 北京", "stop"))
    print(number, flush=True)
"""


def writer(path: Path, first: int, last: int) -> "subprocess.Popen[str]":
    """A process that puts these answers and says each number once it is put."""
    words = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})


def test_what_was_put_is_found_after_a_kill(path: Path):
    process = writer(path, 0, 10**9)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read().splitlines(keepends=True)
    process.wait()
    last = int(next(line for line in reversed(said) if line.endswith("\n")))
    store = AnswerStore(path)
    assert all(store.get(f"{number:064x}") == answer(number) for number in range(last + 1))
    store.put(f"{0:064x}", answer(1))
    assert store.get(f"{0:064x}") == answer(1)


def test_two_processes_write_at_once(path: Path):
    writers = [writer(path, first, first + 300) for first in (0, 1000)]
    assert [process.communicate(timeout=120)[0].count("\n") for process in writers] == [301, 301]
    assert [process.returncode for process in writers] == [0, 0]
    store = AnswerStore(path)
    assert all(
        store.get(f"{number:064x}") == answer(number) for first in (0, 1000) for number in range(first, first + 300)
    )


def test_many_threads_share_a_store(path: Path):
    store = AnswerStore(path)

    def work(number: int) -> object:
        store.put(key_of(number), answer(number))
        return store.get(key_of(number))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(400))) == [answer(number) for number in range(400)]


@pytest.mark.parametrize("content", [b'{"key": "0f", "text": "x"}\n' * 50, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_of_another_kind_is_refused_with_a_word(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="delete it if it is damaged or of an earlier version"):
        AnswerStore(path)
    assert path.read_bytes() == content


def test_a_file_that_is_damaged_later_is_said_once_and_asked_no_more(path: Path, caplog: pytest.LogCaptureFixture):
    store = AnswerStore(path)
    for number in range(500):
        store.put(key_of(number), answer(number))
    store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    store = AnswerStore(path)
    found = [store.get(key_of(number)) for number in range(500)]
    assert all(one in (None, answer(number)) for number, one in enumerate(found)) and None in found
    assert len([record for record in caplog.records if "answers are no longer kept" in record.message]) == 1


def test_a_full_disk_is_said_once_and_ends_no_request(path: Path, caplog: pytest.LogCaptureFixture):
    store = AnswerStore(path)
    store.put(key_of(0), answer(0))
    store._database.execute(
        "PRAGMA max_page_count = 2"
    )  # the file has two pages: SQLite says "database or disk is full"
    member = CachedEngine(Slow(), store)

    async def ask():
        return [await member.generate(question("x" * 9000)), await member.generate(question("y" * 9000))]

    assert [one.text[:3] for one in asyncio.run(ask())] == ["f:x", "f:y"]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"cannot write the cache of answers {path} (database or disk is full)")
    assert store.get(key_of(0)) == answer(0)


@pytest.mark.parametrize(
    "content",
    [
        '{"usage": [1, 2], "text": 1, "finish_reason": "stop", "tokens": []}',
        '{"usage": [1, 2], "text": "x", "finish_reason": ["stop"], "tokens": []}',
        '{"usage": ["many", 2], "text": "x", "finish_reason": "stop", "tokens": []}',
        '{"usage": [Infinity, 2], "text": "x", "finish_reason": "stop", "tokens": []}',
        '{"usage": [1, 2], "label": 1, "log_probs": null}',
        '{"usage": [1, 2], "label": "x", "log_probs": [1]}',
        '{"usage": [1, 2], "label": "x", "log_probs": ' + "[" * 5000,
        "",
    ],
)
def test_answers_of_another_type_count_as_not_there(path: Path, content: str):
    store = AnswerStore(path)
    store._database.execute("INSERT INTO answers VALUES (?, ?)", (bytes.fromhex(key_of(0)), content))
    assert store.get(key_of(0)) is None
    store.put(key_of(0), answer(0))
    assert store.get(key_of(0)) == answer(0)


def test_an_answer_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot use"):
        AnswerStore(tmp_path)
