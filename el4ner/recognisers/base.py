"""The protocol of recognisers: whoever finds entities in a window, and what the pipeline tells it of the window.

A recogniser is one class in a file of its own, and one line in ``build.py``. Two methods carry it: ``propose`` and ``vote``; one
that types spans as it finds them needs ``propose`` alone. :class:`Judge` and :class:`Rescorer` are what some can do besides.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias, TypeVar, cast

from el4ner.config import Config, Language, MemberConfig
from el4ner.demos.retrieve import Retriever
from el4ner.engines.base import Engine
from el4ner.errors import MemberError, ParseError
from el4ner.prompts.copying import escape_marks
from el4ner.recognisers.proposal import Proposal
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from el4ner.vote.votes import Vote

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class WindowContext:
    """A window as all recognisers read it, and what happened to it on the way.

    Attributes:
        text: the window's text without marks of the inline format (see :func:`escape_marks`); offsets are the window's.
        language: of the text.
        original: the window's text as given, by which demonstrations are chosen.
        problems: one line for each abstention: member, stage, reason; never text.
        counts: what was dropped or met.
    """

    text: str
    language: Language
    original: str
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, text: str, language: str) -> Self:
        """The context of a text that nobody has read yet."""
        return cls(escape_marks(text), cast(Language, language), text)

    def note(self, member: str, stage: str, error: Exception, times: int = 1) -> None:
        """Record an abstention, or as many of the same reason."""
        kind = "unreadable-answer" if isinstance(error, ParseError) else "no-answer"
        self.counts[kind] += times
        reason = str(error).removeprefix(f"member {member}: ")
        self.problems.append(f"{member}, {stage}: {reason}" + (f" ({times} times)" if times > 1 else ""))

    async def attempt(self, member: str, stage: str, question: Awaitable[ResultT]) -> ResultT | None:
        """What a member answers; None where it cannot, or its answer cannot be read: an abstention, which is noted."""
        try:
            return await question
        except (MemberError, ParseError) as error:
            self.note(member, stage, error)
            return None


Chooser: TypeAlias = Callable[[Retriever, Config, WindowContext, Sequence[Span]], Sequence[Document]]
"""How demonstrations are chosen: by the pool, the configuration, the window, and the spans that were found in it so far."""


class Recogniser(ABC):
    """Finds entities in windows: a member of the ensemble. Safe to use for many windows at once.

    Args:
        settings: the member's section of the configuration.

    Attributes:
        name: its name in votes and reports.
        pre_extracts: whether it is asked before demonstrations are chosen. One that is not (it costs a call for each type) is
            asked with them, and before only where no other recogniser gives the spans to choose them by.
        choose_demonstrations: how its demonstrations are chosen; None: it takes none. Members with the same function share them.
        lookup: mentions of so many of the most similar pool sentences count as its own.
        templates: version and hash of the templates of its prompts; None: it has none.
    """

    pre_extracts = True
    choose_demonstrations: Chooser | None = None
    lookup = 0
    templates: str | None = None

    def __init__(self, settings: MemberConfig) -> None:
        self.name = settings.name
        self._settings = settings

    @classmethod
    def of(cls, settings: MemberConfig, config: Config, engines: Mapping[str, Engine]) -> Self:
        """The recogniser of a member.

        Args:
            settings: the member's section.
            config: the ensemble's configuration.
            engines: what answers requests, by member; for recognisers that ask some.
        """
        return cls(settings)

    def supports(self, language: Language) -> bool:
        """Whether windows of that language are given to it."""
        return language in self._settings.languages

    def weight(self, language: Language) -> float:
        """How much its vote counts for windows of that language."""
        return self._settings.weight.get(language, 1.0)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all that changes its answers, but for the prompts."""

    @abstractmethod
    async def propose(self, context: WindowContext, demonstrations: Sequence[Document]) -> Proposal | None:
        """The spans that it finds, with their types where it types; None where it abstains, which the context notes.

        Args:
            context: the window.
            demonstrations: labelled sentences in prompt order; none: zero-shot.
        """

    async def vote(
        self,
        context: WindowContext,
        candidates: Sequence[Span],
        proposal: Proposal | None,
        demonstrations: Sequence[Document],
    ) -> Mapping[Span, Vote]:
        """Its votes on the candidates of all recognisers, with probabilities where it gives them; by default what it proposed.

        Args:
            context: the window.
            candidates: what the recognisers found together.
            proposal: its own; None where it abstained.
            demonstrations: in prompt order.

        Returns:
            The votes; candidates that it abstains from are missing.
        """
        if proposal is None:
            return {}
        weight = self.weight(context.language)
        return {span: vote for span in candidates if (vote := proposal.vote(span, weight))}

    def preview(self, context: WindowContext, demonstrations: Sequence[Document]) -> list[tuple[str, str]]:
        """One prompt a stage, to be looked at before anything is computed: (stage, prompt)."""
        return []

    async def close(self) -> None:
        """Give back what it holds."""
        return


class Judge(Recogniser):
    """A recogniser that can say whether a typed candidate is right."""

    @abstractmethod
    async def verify(self, context: WindowContext, span: Span, type_name: str) -> float | None:
        """The probability that it is, from 0 to 1; None where it abstains."""


class Rescorer(Recogniser):
    """A recogniser that can say how probable it finds readings other than its own."""

    @abstractmethod
    async def rescore(self, context: WindowContext, disputed: Sequence[Sequence[Span]], proposal: Proposal) -> Proposal:
        """Its proposal with probabilities for what is disputed; as it was where it cannot tell.

        Args:
            context: the window.
            disputed: groups of overlapping candidates that the rescorers do not read alike.
            proposal: its own.
        """
