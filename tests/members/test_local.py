"""The member in process: requests are batched, and each gets the answer it would have got alone."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.config import MemberConfig  # noqa: E402
from el4ner.errors import ContextOverflowError, MemberError, ModelError  # noqa: E402
from el4ner.members.base import Answer, Choice, Message, Request  # noqa: E402
from el4ner.members.batches import HELD, cut_batches  # noqa: E402
from el4ner.members.local import LocalMember, cpu_threads, normalised  # noqa: E402
from el4ner.prompts.chat import ChatTemplate  # noqa: E402
from el4ner.prompts.copying import read_copy  # noqa: E402

TEXTS = ["It snowed .", "Mira Solberg opened a bakery in Tromso last May .", "林晓梅在青岛的海风公司工作。", "Bexley"]
MakeMember = Callable[..., LocalMember]


def extract(text: str, max_tokens: int = 200, copy: bool = True) -> Request:
    return Request("extract", (Message("user", f"find : {text}"),), max_tokens, copy_of=text if copy else None)


def classify(text: str, *choices: str) -> Request:
    return Request("classify", (Message("user", f"type : {text}"),), 8, choices=choices)


def run(member: LocalMember, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run ``ask`` in a loop of its own and close the member."""

    async def whole() -> Any:
        try:
            return await ask()
        finally:
            await member.close()

    return asyncio.run(asyncio.wait_for(whole(), 60))


def answers(member: LocalMember, requests: list[Request], *, together: bool) -> list[Any]:
    """What a member answers, all at once or one after the other."""

    def ask(request: Request) -> Awaitable[Any]:
        return member.choose(request) if request.choices else member.generate(request)

    async def all_of_them() -> list[Any]:
        if together:
            return await asyncio.gather(*map(ask, requests), return_exceptions=True)
        return [await ask(request) for request in requests]

    return run(member, all_of_them)


def counted(monkeypatch: pytest.MonkeyPatch, member: LocalMember, method: str) -> list[int]:
    """Sizes of the batches that one method of the member's engine is called with."""
    sizes: list[int] = []
    original = getattr(member.engine, method)

    def call(prompts: Any, *rest: Any) -> Any:
        sizes.append(len(prompts))
        return original(prompts, *rest)

    monkeypatch.setattr(member.engine, method, call)
    return sizes


@pytest.mark.parametrize("name", ["opt", "bloom", "qwen3"])
def test_together_is_the_same_as_one_by_one(member_of: MakeMember, name: str):
    requests = [extract(text) for text in TEXTS] + [extract(text, 9, copy=False) for text in TEXTS]
    together = answers(member_of(name), requests, together=True)
    assert together == answers(member_of(name), requests, together=False)
    for answer, text in zip(together, TEXTS, strict=False):
        assert answer.finish_reason == "stop"
        assert all(span is not None for _, span in read_copy(answer.text, text))
    assert all(answer.usage.answer_tokens <= 9 for answer in together[4:])


def test_requests_at_once_are_answered_in_one_batch(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("qwen3", batch_tokens=50_000)
    generated, chosen = counted(monkeypatch, member, "generate"), counted(monkeypatch, member, "next_token")
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.5)
    requests = [extract(TEXTS[i % 4], 5 + i, copy=False) for i in range(12)]
    results = answers(member, requests + [classify(text, ":", "=") for text in TEXTS], together=True)
    assert generated == [12] and chosen == [4]
    assert [result.usage.answer_tokens for result in results[:12]] == [5 + i for i in range(12)]
    assert all(isinstance(result, Choice) for result in results[12:])


def test_batches_keep_to_batch_tokens(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("qwen3", batch_tokens=64)
    sizes = counted(monkeypatch, member, "generate")
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.5)
    answers(member, [extract("Bexley", 16, copy=False)] * 7, together=True)
    assert sum(sizes) == 7 and max(sizes) < 4


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 900)), max_size=40), st.integers(64, 500), st.booleans())
def test_cut_batches_loses_nothing_and_bounds_what_is_computed_and_held(
    jobs: list[tuple[int, int]], batch_tokens: int, padded: bool
):
    batches = cut_batches(jobs, lambda job: (job[0], job[0] + job[1]), batch_tokens, padded=padded)
    assert sorted(job for batch in batches for job in batch) == sorted(jobs)
    for batch in batches:
        if len(batch) > 1:
            computed = [compute for compute, _ in batch]
            assert (len(batch) * max(computed) if padded else sum(computed)) <= batch_tokens
            assert len(batch) * max(compute + known for compute, known in batch) <= HELD * batch_tokens


def test_batches_are_as_large_as_may_be_and_like_lengths_stand_together():
    jobs = [10, 100, 10, 100, 10, 100]
    assert cut_batches(jobs, lambda job: (job, job), 230) == [[100, 100], [100, 10, 10, 10]]
    assert cut_batches(jobs, lambda job: (job, job), 230, padded=True) == [[100, 100], [100, 10], [10, 10]]


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8))
def test_normalised_is_a_distribution_and_keeps_differences(scores: list[float]):
    log_probs = normalised(scores)
    assert sum(map(math.exp, log_probs)) == pytest.approx(1.0)
    assert log_probs[0] - log_probs[-1] == pytest.approx(scores[0] - scores[-1], abs=1e-6)


@pytest.mark.parametrize("name", ["opt", "bloom", "qwen3"])
def test_a_choice_among_single_tokens(member_of: MakeMember, name: str):
    member = member_of(name)
    engine, words = member.engine, ("location", ":", "=") if name == "bloom" else ("[", ":", "=")
    words = tuple(word for word in words if len(engine.answer_ids(word)) == 2)
    assert len(words) >= 2
    (choice,) = answers(member, [classify("Bexley", *words)], together=False)
    assert sum(map(math.exp, choice.log_probs.values())) == pytest.approx(1.0)
    assert choice.label == max(words, key=choice.log_probs.__getitem__)
    prompt = engine.prompt(classify("Bexley").messages)
    full = engine.score([prompt] * len(words), [engine.answer_ids(word)[:1] for word in words])
    assert [choice.log_probs[word] for word in words] == pytest.approx(normalised(full), abs=1e-4)


@pytest.mark.parametrize("name", ["opt", "bloom", "qwen3"])
def test_a_choice_among_answers_of_several_tokens_counts_their_end(member_of: MakeMember, name: str):
    member = member_of(name)
    words = ("Old", "Old Harrow", "Old Harrow Bank", "海风公司")
    (choice,) = answers(member, [classify("Bexley", *words)], together=False)
    prompt = member.engine.prompt(classify("Bexley").messages)
    full = [member.engine.score([prompt], [member.engine.answer_ids(word)])[0] for word in words]
    assert [choice.log_probs[word] for word in words] == pytest.approx(normalised(full), abs=1e-3)
    assert choice.label in words


def test_a_choice_does_not_depend_on_what_is_asked_beside_it(member_of: MakeMember):
    requests = [
        classify(TEXTS[1], ":", "="),
        classify(TEXTS[0], "Old Harrow", "Bexley", "none"),
        classify("x", "=", ":"),
    ]
    together = answers(member_of("qwen3"), requests, together=True)
    for request, choice in zip(requests, together, strict=True):
        (alone,) = answers(member_of("qwen3"), [request], together=False)
        assert alone.label == choice.label
        assert list(alone.log_probs.values()) == pytest.approx(list(choice.log_probs.values()), abs=1e-4)


def test_choose_needs_choices(member_of: MakeMember):
    member = member_of("qwen3")
    with pytest.raises(MemberError, match="without choices"):
        run(member, lambda: member.choose(extract("Bexley")))


def test_too_long_is_an_error_and_never_cut(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("opt")
    sizes = counted(monkeypatch, member, "generate")
    long = "it " * 300
    results = answers(member, [extract(long, copy=False), extract("Bexley", 4, copy=False)], together=True)
    assert isinstance(results[0], ContextOverflowError)
    assert "300" not in str(results[0]).replace("tokens", "") or "it it" not in str(results[0])
    assert isinstance(results[1], Answer) and sizes == [1]


def test_a_text_whose_copy_would_not_fit_is_too_long(member_of: MakeMember):
    member, text = member_of("opt"), "it " * 120
    assert len(member.engine.prompt(extract(text).messages)) + 16 < member.engine.context
    (result,) = answers(member, [extract(text)], together=True)
    assert isinstance(result, ContextOverflowError)
    (free,) = answers(member_of("opt", constrain=False), [extract(text, 4)], together=True)
    assert free.finish_reason == "length"


def test_a_long_neighbour_takes_no_room_from_a_short_prompt(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.5)
    member = member_of("qwen3", batch_tokens=4096)
    short, long = extract("it", 60, copy=False), extract("Mira " * 100, 60, copy=False)
    room = member.engine.context - len(member.engine.prompt(long.messages))
    assert 16 <= room < 60
    together = answers(member, [short, long], together=True)
    assert together == answers(member_of("qwen3"), [short, long], together=False)
    assert together[0].usage.answer_tokens == 60 and together[1].usage.answer_tokens <= room


def test_a_failure_fails_its_batch_and_nothing_else(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("qwen3")
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.3)
    generate, calls = member.engine.generate, []

    def fail_once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError(f"no memory left for {TEXTS[0]}")
        return generate(*arguments)

    monkeypatch.setattr(member.engine, "generate", fail_once)

    async def twice() -> Any:
        first = [member.generate(extract(text, 5, copy=False)) for text in TEXTS]
        return await asyncio.gather(*first, return_exceptions=True), await member.generate(extract("Bexley", 5))

    failed, answer = run(member, twice)
    assert [type(error) for error in failed] == [MemberError] * 4
    assert str(failed[0]) == "member qwen3: inference failed (RuntimeError)"
    assert isinstance(answer, Answer)


def test_a_conversation_that_the_template_refuses_is_a_member_error(member_of: MakeMember, monkeypatch: Any):
    member = member_of("qwen3")
    monkeypatch.setattr(member.engine, "_template", ChatTemplate("{{ raise_exception('no system turn, please') }}"))
    (error,) = answers(member, [extract("Bexley")], together=True)
    assert isinstance(error, MemberError) and "chat template refuses" in str(error)


def test_two_loops_one_after_the_other(member_of: MakeMember):
    member = member_of("opt")
    first = asyncio.run(member.generate(extract("Bexley")))
    second = asyncio.run(member.generate(extract("Bexley")))
    assert first == second
    asyncio.run(member.close())


def test_a_loop_that_went_away_does_not_stop_the_worker(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("opt")
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.2)

    async def leave() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(member.generate(extract("Bexley"))), 0.05)

    asyncio.run(leave())
    (answer,) = answers(member, [extract("Bexley")], together=True)
    assert isinstance(answer, Answer)


def test_close_ends_the_worker_and_a_later_request_starts_another(member_of: MakeMember):
    member = member_of("opt")

    async def use() -> Any:
        await member.generate(extract("Bexley"))
        worker = member._worker
        await member.close()
        await member.close()
        return worker

    worker = asyncio.run(use())
    assert worker is not None and not worker.is_alive()
    (answer,) = answers(member, [extract("Bexley")], together=True)
    assert isinstance(answer, Answer)


def test_close_before_the_first_request_loads_nothing(tiny_model: Callable[..., Path]):
    member = LocalMember(MemberConfig(name="m", engine="local", model=str(tiny_model("opt"))))
    asyncio.run(member.close())
    assert "engine" not in member.__dict__


def test_the_fingerprint_follows_all_that_changes_answers(tiny_model: Callable[..., Path], tmp_path: Path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    (adapter / "adapter_config.json").write_text("{}")
    base = MemberConfig(name="m", engine="local", model=str(tiny_model("opt")))
    changes: list[dict[str, Any]] = [
        {},
        {"model": str(tiny_model("opt", 2))},
        {"adapter": str(adapter)},
        {"dtype": "bfloat16"},
        {"constrain": False},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ]
    prints = [LocalMember(base.model_copy(update=change)).fingerprint for change in changes]
    assert len(set(prints)) == len(changes)
    assert LocalMember(base.model_copy(update={"name": "other", "batch_tokens": 64})).fingerprint == prints[0]
    (adapter / "adapter_model.safetensors").write_bytes(b"y")
    assert LocalMember(base.model_copy(update=changes[2])).fingerprint != prints[2]


def test_a_missing_adapter_is_refused_at_once(tiny_model: Callable[..., Path], tmp_path: Path):
    config = MemberConfig(name="m", engine="local", model=str(tiny_model("opt")), adapter=str(tmp_path / "none"))
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        LocalMember(config)


def test_a_cancelled_request_is_not_computed(member_of: MakeMember, monkeypatch: pytest.MonkeyPatch):
    member = member_of("opt")
    monkeypatch.setattr("el4ner.members.local.GATHER_S", 0.3)
    sizes = counted(monkeypatch, member, "generate")

    async def ask() -> Any:
        given_up = asyncio.create_task(member.generate(extract("Bexley", 5, copy=False)))
        kept = asyncio.create_task(member.generate(replace(extract("Tromso", 5, copy=False), stage="pre-extract")))
        await asyncio.sleep(0.1)
        given_up.cancel()
        return await kept

    assert isinstance(run(member, ask), Answer)
    assert sizes == [1]


def test_threads_are_shared_among_members():
    assert cpu_threads(1) >= cpu_threads(2) >= cpu_threads(10_000) == 1
    assert cpu_threads(0) == cpu_threads(1)
