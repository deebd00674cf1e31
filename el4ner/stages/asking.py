"""Asking members: what they answered, who abstained and why, and what was dropped on the way."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from el4ner.config import Language, MemberConfig
from el4ner.errors import MemberError, ParseError
from el4ner.members.base import Member
from el4ner.prompts.formats import AnswerFormat
from el4ner.prompts.render import Prompts

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Voice:
    """A member as the stages see it: whom to ask, how to put the question, how to read the answer."""

    member: Member
    config: MemberConfig
    prompts: Prompts
    answer_format: AnswerFormat

    @property
    def name(self) -> str:
        """The member's name."""
        return self.config.name

    def weight(self, language: Language) -> float:
        """How much its vote counts for windows of that language."""
        return self.config.weight.get(language, 1.0)

    def speaks(self, language: Language) -> bool:
        """Whether windows of that language are sent to it."""
        return language in self.config.languages


@dataclass(slots=True)
class Minutes:
    """What happened in one window: problems (member, stage, reason; never text) and counts of what was dropped."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, member: str, stage: str, error: Exception) -> None:
        """Record an abstention."""
        kind = "unreadable-answer" if isinstance(error, ParseError) else "no-answer"
        self.counts[kind] += 1
        reason = str(error).removeprefix(f"member {member}: ")
        self.problems.append(f"{member}, {stage}: {reason}")


async def ask_all(questions: Mapping[str, Awaitable[ResultT]], stage: str, minutes: Minutes) -> dict[str, ResultT]:
    """The answers by member; a member that failed or whose answer cannot be read abstains, and the minutes say why."""
    results = await asyncio.gather(*questions.values(), return_exceptions=True)
    answers: dict[str, ResultT] = {}
    for name, result in zip(questions, results, strict=True):
        if isinstance(result, MemberError | ParseError):
            minutes.note(name, stage, result)
        elif isinstance(result, BaseException):
            raise result
        else:
            answers[name] = result
    return answers
