"""Members that answer from recordings, and count and guess what is not recorded."""

import math
import zlib
from dataclasses import dataclass, field

from el4ner.config import Language
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Request, Usage
from el4ner.prompts.copying import escape_marks
from el4ner.prompts.formats import answer_format
from el4ner.text.candidates import words
from el4ner.text.documents import Document, Window
from el4ner.text.spans import Span

CHARACTERS: dict[Language, float] = {"en": 4.0, "zh": 1.6}
"""Characters in a token, where nothing is recorded that tells."""
PER_MESSAGE = 5
"""Tokens that a chat template writes around a message."""


@dataclass(slots=True)
class Need:
    """What is still to be asked of a member: requests and tokens, estimated."""

    requests: float = 0.0
    prompt_tokens: float = 0.0
    answer_tokens: float = 0.0

    def add(self, other: "Need", times: float = 1.0) -> None:
        """Add another one, so many times."""
        self.requests += times * other.requests
        self.prompt_tokens += times * other.prompt_tokens
        self.answer_tokens += times * other.answer_tokens


@dataclass(slots=True)
class Scene:
    """The window that all members are asked about: what a guess can go by."""

    text: str = ""
    spans: tuple[Span, ...] = ()
    words: tuple[Span, ...] = ()

    def show(self, document: Document, window: Window) -> None:
        """Go on to a window of a document."""
        inside = [e.span for e in document.entities or () if window.start <= e.start and e.end <= window.end]
        self.spans = tuple(Span(span.start - window.start, span.end - window.start) for span in inside)
        self.text = escape_marks(window.text)
        self.words = tuple(words(self.text))

    def guess(self, member: str) -> list[Span]:
        """The gold mentions, and a word, another one for each member."""
        place = zlib.crc32(member.encode()) % max(1, len(self.words))
        return sorted({*self.spans, *self.words[place : place + 1]})


@dataclass(slots=True)
class Density:
    """How many characters a member's tokens have, as far as it is known."""

    language: Language
    characters: int = 0
    tokens: int = 0

    def note(self, request: Request, answer: Answer | Choice) -> None:
        """Learn from a recorded answer."""
        self.characters += length(request)
        self.tokens += max(0, answer.usage.prompt_tokens - PER_MESSAGE * len(request.messages))

    def count(self, characters: int) -> float:
        """About how many tokens so many characters are."""
        known = self.tokens > 1000 and self.characters > 0
        return characters * (self.tokens / self.characters if known else 1 / CHARACTERS[self.language])


@dataclass(slots=True)
class Foreseen:
    """A member that answers from the recordings, and else counts what it would be asked, and guesses.

    Attributes:
        name: the member's.
        fingerprint: the member's.
        written: its answer format.
        scene: what is being asked about.
        known: the recordings, if there are any.
        density: of its tokens.
        seen: keys of requests that were counted before, by any row.
        need: what is counted.
    """

    name: str
    fingerprint: str
    written: str
    scene: Scene
    known: AnswerStore | None
    density: Density
    seen: set[str]
    need: Need = field(default_factory=Need)

    async def generate(self, request: Request) -> Answer:
        """The recorded answer, or a guess."""
        recorded = self._recorded(request)
        if isinstance(recorded, Answer):
            return recorded
        text = answer_format(self.written).write(self.scene.text, self.scene.guess(self.name))
        self._count(request, text)
        return Answer(text, "stop", Usage(cached=True))

    async def choose(self, request: Request) -> Choice:
        """The recorded choice, or the first."""
        recorded = self._recorded(request)
        if isinstance(recorded, Choice):
            return recorded
        self._count(request, request.choices[0])
        return Choice(request.choices[0], None, Usage(cached=True))

    async def close(self) -> None:
        """Nothing."""

    def _recorded(self, request: Request) -> Answer | Choice | None:
        found = None if self.known is None else self.known.get(request.key(self.fingerprint))
        if found is not None:
            self.density.note(request, found)
        return found

    def _count(self, request: Request, answer: str) -> None:
        key = request.key(self.fingerprint)
        if key in self.seen:
            return
        self.seen.add(key)
        read = self.density.count(length(request)) + PER_MESSAGE * len(request.messages)
        self.need.add(Need(1, read, math.ceil(self.density.count(len(answer))) + 1))


def length(request: Request) -> int:
    """Characters of a request's messages."""
    return sum(len(message.content) for message in request.messages)
