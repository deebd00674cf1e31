"""Who answered, who abstained and why."""

import asyncio

import pytest

from el4ner.errors import ConfigError, ContextOverflowError, MemberError, ParseError
from el4ner.recognisers.base import WindowContext


async def says(value: object) -> object:
    if isinstance(value, BaseException):
        raise value
    return value


def ask(**values: object) -> tuple[dict[str, object], WindowContext]:
    """What of these questions is answered, each by a member of its own."""
    context = WindowContext.of("", "en")

    async def all_at_once() -> list[object]:
        asked = [context.attempt(name, "classify", says(value)) for name, value in values.items()]
        return await asyncio.gather(*asked)

    given = zip(values, asyncio.run(all_at_once()), strict=True)
    return {name: answer for name, answer in given if answer is not None}, context


def test_failures_are_abstentions_with_member_stage_and_reason():
    answers, context = ask(
        a=1,
        b=MemberError("b", "timed out after 3 s"),
        c=ParseError("the answer is empty"),
        d=ContextOverflowError("d", "too long"),
        e=[],
    )
    assert answers == {"a": 1, "e": []}
    assert context.problems == [
        "b, classify: timed out after 3 s",
        "c, classify: the answer is empty",
        "d, classify: too long",
    ]
    assert context.counts == {"no-answer": 2, "unreadable-answer": 1}


@pytest.mark.parametrize("error", [KeyError("bug"), ConfigError("wrong"), asyncio.CancelledError()])
def test_what_is_no_failure_to_answer_is_raised(error: BaseException):
    with pytest.raises(type(error)):
        ask(a=1, b=error)
