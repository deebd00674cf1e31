"""Asking members: what they answered, who abstained and why, and what was dropped on the way."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from el4ner.config import Config, Language, MemberConfig
from el4ner.engines.base import Engine
from el4ner.errors import MemberError, ParseError
from el4ner.prompts.formats import AnswerFormat, answer_format
from el4ner.prompts.marking import Marking
from el4ner.prompts.questions import Questions
from el4ner.prompts.render import Prompts

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class PromptedMember:
    """A member with its prompts: the engine that answers, the templates of its questions, and the format of its answers."""

    engine: Engine
    config: MemberConfig
    prompts: Prompts
    answer_format: AnswerFormat
    questions: Questions | None = None
    marking: Marking | None = None

    @classmethod
    def of(cls, engine: Engine, settings: MemberConfig, config: Config) -> "PromptedMember":
        """A member as a configuration wants it asked.

        Raises:
            ConfigError: there are no prompts of its style.
        """
        questions = Questions.of(settings.prompt_style, config) if settings.role == "mrc" else None
        marking = Marking.of(settings.prompt_style, config) if settings.role == "single-pass" else None
        prompts = Prompts.of(settings.prompt_style, config)
        return cls(engine, settings, prompts, answer_format(settings.answer_format), questions, marking)

    @property
    def name(self) -> str:
        """The member's name."""
        return self.config.name

    def weight(self, language: Language) -> float:
        """How much its vote counts for windows of that language."""
        return self.config.weight.get(language, 1.0)

    def supports(self, language: Language) -> bool:
        """Whether windows of that language are sent to it."""
        return language in self.config.languages


def by_role(
    members: Sequence[PromptedMember],
) -> tuple[list[PromptedMember], list[PromptedMember], list[PromptedMember]]:
    """Members that go through the paper's steps, those that mark and type in one pass, and those that answer questions."""
    roles = ("el4ner", "single-pass", "mrc")
    extractors, single_pass_members, mrc_members = (
        [member for member in members if member.config.role == role] for role in roles
    )
    return extractors, single_pass_members, mrc_members


@dataclass(slots=True)
class Diagnostics:
    """What happened in one window: problems (member, stage, reason; never text) and counts of what was dropped."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, member: str, stage: str, error: Exception, times: int = 1) -> None:
        """Record an abstention, or as many of the same reason."""
        kind = "unreadable-answer" if isinstance(error, ParseError) else "no-answer"
        self.counts[kind] += times
        reason = str(error).removeprefix(f"member {member}: ")
        self.problems.append(f"{member}, {stage}: {reason}" + (f" ({times} times)" if times > 1 else ""))


async def ask_all(
    questions: Mapping[str, Awaitable[ResultT]], stage: str, diagnostics: Diagnostics
) -> dict[str, ResultT]:
    """The answers by member; a member that failed or whose answer cannot be read abstains, and the diagnostics say why."""
    results = await asyncio.gather(*questions.values(), return_exceptions=True)
    answers: dict[str, ResultT] = {}
    for name, result in zip(questions, results, strict=True):
        if isinstance(result, MemberError | ParseError):
            diagnostics.note(name, stage, result)
        elif isinstance(result, BaseException):
            raise result
        else:
            answers[name] = result
    return answers
