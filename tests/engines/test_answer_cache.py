"""The request cache: asked once, kept on disk, never confused, never poisoned by errors or torn lines."""

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    return tmp_path / "out" / "answers.jsonl"


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


def test_the_file_is_private_also_where_it_was_not(path: Path):
    AnswerStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    AnswerStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(torn=st.integers(1, 200))
def test_a_torn_last_line_is_cut_and_the_rest_is_found(tmp_path_factory: pytest.TempPathFactory, torn: int):
    path = tmp_path_factory.mktemp("torn") / "answers.jsonl"
    store = AnswerStore(path)
    for number in range(3):
        store.put(key_of(number), Answer(f"answer {number} 北京", "stop"))
    store.close()
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    path.write_bytes(content[: max(last, len(content) - torn)])

    store = AnswerStore(path)
    assert [store.get(key_of(number)) for number in range(3)] == [*map(answer, range(2)), None]
    store.put(key_of(2), Answer("answer 2 北京", "stop"))
    store.close()
    reopened = AnswerStore(path)
    assert [reopened.get(key_of(number)) for number in range(3)] == [*map(answer, range(3))]


def answer(number: int) -> Answer:
    return Answer(f"answer {number} 北京", "stop")


def test_lines_that_cannot_be_read_count_as_not_there(path: Path):
    store = AnswerStore(path)
    store.put(key_of(0), answer(0))
    store.close()
    broken = b'{"key": "' + key_of(1).encode() + b'", "text": \n'
    path.write_bytes(b"\0\0\n" + b'{"key": "zz"}\n' + b"[]\n" + broken + path.read_bytes())
    store = AnswerStore(path)
    assert store.get(key_of(0)) == answer(0)
    assert store.get(key_of(1)) is None


@pytest.mark.parametrize(
    "content",
    [
        '"text": 1, "finish_reason": "stop"',
        '"text": "x", "finish_reason": ["stop"]',
        '"text": "x", "prompt_tokens": "many"',
        '"text": "x", "prompt_tokens": Infinity',
        '"label": 1, "log_probs": null',
        '"label": "x", "log_probs": {"x": "0"}, "answer_tokens": []',
        '"label": "x", "log_probs": [1]',
        '"label": "x", "log_probs": ' + "[" * 5000,
    ],
)
def test_answers_of_another_type_count_as_not_there(path: Path, content: str):
    path.parent.mkdir()
    path.write_text(f'{{"key": "{key_of(0)}", {content}}}\n')
    assert AnswerStore(path).get(key_of(0)) is None


def test_another_key_with_the_same_beginning_is_not_mistaken(path: Path):
    store = AnswerStore(path)
    key = key_of(0)
    store.put(key, answer(0))
    assert store.get(key[:-1] + ("0" if key[-1] != "0" else "1")) is None


def test_the_index_is_bounded_and_keeps_the_newest(path: Path):
    store = AnswerStore(path, max_entries=10)
    for number in range(100):
        store.put(key_of(number), answer(number))
    assert store.entries <= 10
    assert store.get(key_of(99)) == answer(99)
    assert store.get(key_of(0)) is None
    store.close()
    assert 0 < AnswerStore(path, max_entries=10).entries <= 10


def test_an_answer_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot open"):
        AnswerStore(tmp_path)
