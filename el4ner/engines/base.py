"""The contract between recognisers and engines: Request, Answer, Choice, Engine."""

import hashlib
import json
from dataclasses import astuple, dataclass, field
from typing import Protocol, TypeAlias

from el4ner.prompts.grammar import ListForm
from el4ner.prompts.messages import Message

TokenLogProb: TypeAlias = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that can change an answer, apart from the engine itself.

    Attributes:
        stage: ``pre-extract``, ``extract``, ``classify``, ``verify``, ``mrc``, ``mark`` or ``weigh``; for accounting, not part of
            the key.
        messages: the conversation; the last message is the user's.
        max_tokens: the longest answer, in tokens; a longer one is cut and reported as ``finish_reason == "length"``.
        choices: for closed choices, the allowed answers; empty for free text.
        copy_of: for inline answers, the text that the answer must copy with marks; lets an engine constrain the answer.
        template: version and hash of the prompt templates that the messages were rendered from.
        list_of: for lists, what their items must be taken from; lets an engine constrain the answer.
        copy_types: for copies whose marks state types, what these are called.
        answer_prefix: for closed choices, what the answer begins with: the choices go on from there, and do not end it.
    """

    stage: str
    messages: tuple[Message, ...]
    max_tokens: int
    choices: tuple[str, ...] = ()
    copy_of: str | None = None
    template: str = ""
    list_of: ListForm | None = None
    copy_types: tuple[str, ...] = ()
    answer_prefix: str | None = None

    @property
    def wants_log_probs(self) -> bool:
        """Whether the answer's tokens are to have log-probabilities: in a typed copy they are those of its marks."""
        return bool(self.copy_types)

    def key(self, fingerprint: str) -> str:
        """The sha256 (hex) of this request asked of the member with that fingerprint."""
        turns = [[message.role, message.content] for message in self.messages]
        more = [] if self.list_of is None else [list(astuple(self.list_of))]
        more += [list(self.copy_types)] if self.copy_types else []
        more += [["begun", self.answer_prefix]] if self.answer_prefix is not None else []
        payload = json.dumps([fingerprint, turns, self.max_tokens, self.choices, self.copy_of, self.template, *more])
        return hashlib.sha256(payload.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request cost: tokens in and out, seconds of waiting, and whether the cache answered it."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    latency_s: float = 0.0
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated text.

    Attributes:
        text: what was written.
        finish_reason: ``stop`` or ``length`` (the answer was cut: treat it as a failure to parse).
        usage: what it cost.
        token_log_probs: of each token from the first on, how many bytes of the text's UTF-8 it is, and its log-probability
            among all tokens; empty where it was not asked for, or the engine does not tell.
    """

    text: str
    finish_reason: str
    usage: Usage = field(default=Usage(), compare=False)
    token_log_probs: tuple[TokenLogProb, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A closed choice.

    Attributes:
        label: the chosen string, always one of the request's choices.
        log_probs: log-probability of each choice, normalised over the choices; None where the engine gives none.
    """

    label: str
    log_probs: dict[str, float] | None
    usage: Usage = field(default=Usage(), compare=False)


class Engine(Protocol):
    """What answers requests: a language model, wherever it runs. Greedy; safe to call concurrently.

    Both calls raise ``MemberError`` where it cannot answer and ``ContextOverflowError`` where the prompt and
    its answer do not fit into its context.
    """

    @property
    def name(self) -> str:
        """Its name in votes and reports."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that changes its answers: engine, model, revision, adapter, chat template, precision."""
        ...

    async def generate(self, request: Request) -> Answer:
        """Answer in free text."""
        ...

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


__all__ = ["Answer", "Choice", "Engine", "Message", "Request", "TokenLogProb", "Usage"]
