"""Answers from a file instead of a model: a recorded run can be replayed anywhere, for tests and for comparison."""

import hashlib
from pathlib import Path
from typing import TypeVar

from el4ner.errors import MemberError
from el4ner.members.base import Answer, Choice, Member, Request
from el4ner.members.store import AnswerStore

AnswerT = TypeVar("AnswerT", Answer, Choice)
KEY_FINGERPRINT = "recorded"
"""Recorded answers are found by what was asked, whoever answered: in their keys it replaces a member's fingerprint."""


class RecordedMember:
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
    """A member whose answers are written to a file (mode 0600: it holds text) for a ``RecordedMember`` to replay.

    Args:
        member: who answers.
        path: the file; answers are added to what it holds.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, member: Member, path: Path) -> None:
        self.name = member.name
        self.fingerprint = member.fingerprint
        self._member = member
        self._answers = AnswerStore(path)

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, recorded."""
        answer = await self._member.generate(request)
        self._answers.put(request.key(KEY_FINGERPRINT), answer)
        return answer

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, recorded."""
        choice = await self._member.choose(request)
        self._answers.put(request.key(KEY_FINGERPRINT), choice)
        return choice

    async def close(self) -> None:
        """Close the member and the file."""
        self._answers.close()
        await self._member.close()
