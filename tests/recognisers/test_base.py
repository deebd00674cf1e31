"""Who answered, who abstained and why."""

import asyncio

import pytest

from el4ner.errors import ConfigError, ContextOverflowError, MemberError, ParseError
from el4ner.recognisers.base import Diagnostics, ask_all


async def says(value: object) -> object:
    if isinstance(value, BaseException):
        raise value
    return value


def ask(**values: object) -> tuple[dict[str, object], Diagnostics]:
    diagnostics = Diagnostics()
    answers = asyncio.run(_ask({name: says(value) for name, value in values.items()}, diagnostics))
    return answers, diagnostics


async def _ask(questions, diagnostics):
    return await ask_all(questions, "classify", diagnostics)


def test_failures_are_abstentions_with_member_stage_and_reason():
    answers, diagnostics = ask(
        a=1,
        b=MemberError("b", "timed out after 3 s"),
        c=ParseError("the answer is empty"),
        d=ContextOverflowError("d", "too long"),
        e=[],
    )
    assert answers == {"a": 1, "e": []}
    assert diagnostics.problems == [
        "b, classify: timed out after 3 s",
        "c, classify: the answer is empty",
        "d, classify: too long",
    ]
    assert diagnostics.counts == {"no-answer": 2, "unreadable-answer": 1}


def test_nobody_asked_is_nobody_answered():
    assert ask() == ({}, Diagnostics())


@pytest.mark.parametrize("error", [KeyError("bug"), ConfigError("wrong"), asyncio.CancelledError()])
def test_what_is_no_failure_to_answer_is_raised(error: BaseException):
    with pytest.raises(type(error)):
        ask(a=1, b=error)


def test_members_are_asked_at_once():
    async def together() -> dict[str, bool]:
        met = asyncio.Barrier(3)

        async def meet() -> bool:
            async with asyncio.timeout(2):
                await met.wait()
            return True

        return await ask_all({name: meet() for name in "abc"}, "extract", Diagnostics())

    assert asyncio.run(together()) == {"a": True, "b": True, "c": True}
