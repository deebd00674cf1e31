"""Answers from a file instead of a model: a recorded run can be replayed anywhere, for tests and for comparison."""

import hashlib
from pathlib import Path
from typing import TypeVar

from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Engine, Request
from el4ner.errors import MemberError

AnswerT = TypeVar("AnswerT", Answer, Choice)
KEY_FINGERPRINT = "recorded"
"""Recorded answers are found by what was asked, whoever answered: in their keys it replaces a member's fingerprint."""


class RecordedEngine:
    """Answers requests from a JSONL file that a ``Recorder`` wrote.

    A line holds ``key`` (sha256 of the request), then ``text`` and ``finish_reason``, or ``label`` and ``log_probs``.

    Args:
        name: the member's name in votes.
        path: the file.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._answers = AnswerStore(path, max_entries=None, read_only=True)
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        self.fingerprint = f"recorded:{digest}"

    async def generate(self, request: Request) -> Answer:
        """The recorded answer.

        Raises:
            MemberError: none was recorded.
        """
        return self._find(Answer, request)

    async def choose(self, request: Request) -> Choice:
        """The recorded choice.

        Raises:
            MemberError: none was recorded, or it is none of the request's choices.
        """
        choice = self._find(Choice, request)
        if choice.label not in request.choices:
            raise MemberError(
                self.name, f"stage {request.stage}: the recorded label is none of the choices; record again"
            )
        return choice

    async def close(self) -> None:
        """Close the file."""
        self._answers.close()

    def _find(self, kind: type[AnswerT], request: Request) -> AnswerT:
        key = request.key(KEY_FINGERPRINT)
        found = self._answers.get(key)
        if not isinstance(found, kind):
            where = f"stage {request.stage}, request {key[:12]}"
            raise MemberError(
                self.name, f"{where}: no recorded answer; record again, the input or the prompts have changed"
            )
        return found


class Recorder:
    """An engine whose answers are written to a file (mode 0600: it holds text) for a ``RecordedEngine`` to replay.

    Args:
        engine: what answers.
        path: the file; answers are added to what it holds.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self.name = engine.name
        self.fingerprint = engine.fingerprint
        self._engine = engine
        self._answers = AnswerStore(path)

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, recorded."""
        answer = await self._engine.generate(request)
        self._answers.put(request.key(KEY_FINGERPRINT), answer)
        return answer

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, recorded."""
        choice = await self._engine.choose(request)
        self._answers.put(request.key(KEY_FINGERPRINT), choice)
        return choice

    async def close(self) -> None:
        """Close the engine and the file."""
        self._answers.close()
        await self._engine.close()
