"""Answers kept on disk: one JSON line each, found again by the key of the request.

The file holds model answers, which repeat document text: it is created with mode 0600 and belongs in the output folder.
Only keys and file offsets stay in memory.
"""

import json
import os
from pathlib import Path
from typing import Any

from el4ner.engines.base import Answer, Choice, Usage
from el4ner.errors import ConfigError

_KEY_PREFIX = b'{"key": "'
_KEY_LENGTH = 64


class AnswerStore:
    """An append-only JSONL file of answers.

    A line that a crash tore is cut off when the file is opened again; a line that cannot be read counts as not there.

    Args:
        path: the file; created, with its folder, unless ``read_only``.
        max_entries: most keys held in memory (about 150 bytes each); beyond it the oldest are forgotten, and their
            requests asked again. None: no bound.
        read_only: never create, cut or write.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, max_entries: int | None = 1_000_000, read_only: bool = False) -> None:
        self.path = path
        self._max_entries = max_entries
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._file = _open(path, read_only)
        self._end = 0
        self._load()
        if not read_only:
            os.ftruncate(self._file, self._end)

    @property
    def entries(self) -> int:
        """Number of keys that can be found."""
        return len(self._recent.keys() | self._older.keys())

    def get(self, key: str) -> Answer | Choice | None:
        """The answer to the request with that key (sha256, hex), or None."""
        short = _short(key)
        offset = self._recent.get(short, self._older.get(short))
        if offset is None:
            return None
        with os.fdopen(os.dup(self._file), "rb", buffering=1 << 14) as lines:
            lines.seek(offset)
            return _decode(lines.readline(), key)

    def put(self, key: str, answer: Answer | Choice) -> None:
        """Keep an answer; a later one with the same key replaces an earlier one."""
        line = _encode(key, answer)
        self._remember(key, os.lseek(self._file, 0, os.SEEK_END))
        written = 0
        while written < len(line):
            written += os.write(self._file, line[written:])

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _load(self) -> None:
        with os.fdopen(os.dup(self._file), "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                if line.startswith(_KEY_PREFIX):
                    self._remember_raw(line[len(_KEY_PREFIX) :][:_KEY_LENGTH], self._end)
                self._end += len(line)

    def _remember_raw(self, raw: bytes, offset: int) -> None:
        try:
            self._remember(raw.decode("ascii"), offset)
        except ValueError:
            return

    def _remember(self, key: str, offset: int) -> None:
        self._recent[_short(key)] = offset
        if self._max_entries is not None and 2 * len(self._recent) >= self._max_entries:
            self._recent, self._older = {}, self._recent


def _open(path: Path, read_only: bool) -> int:
    try:
        if read_only:
            return os.open(path, os.O_RDONLY)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(file, 0o600)
        return file
    except OSError as error:
        raise ConfigError(
            f"cannot open the answer file {path}: {error.strerror}; give the path of a JSONL file"
        ) from error


def _short(key: str) -> int:
    """64 bits of the key: enough to find a line, whose full key is then compared."""
    return int(key[:16], 16)


def _encode(key: str, answer: Answer | Choice) -> bytes:
    content: dict[str, Any] = {"key": key}
    if isinstance(answer, Answer):
        content |= {"text": answer.text, "finish_reason": answer.finish_reason}
        if answer.token_log_probs:
            content["token_log_probs"] = answer.token_log_probs
    else:
        content |= {"label": answer.label, "log_probs": answer.log_probs}
    content |= {"prompt_tokens": answer.usage.prompt_tokens, "answer_tokens": answer.usage.answer_tokens}
    return json.dumps(content).encode("ascii") + b"\n"


def _decode(line: bytes, key: str) -> Answer | Choice | None:
    try:
        content = json.loads(line)
        if content["key"] != key:
            return None
        usage = Usage(int(content.get("prompt_tokens", 0)), int(content.get("answer_tokens", 0)), cached=True)
        if "label" in content:
            scores = content.get("log_probs")
            scores = None if scores is None else {str(label): float(score) for label, score in scores.items()}
            return Choice(_string(content["label"]), scores, usage)
        if (finish_reason := content.get("finish_reason", "stop")) not in ("stop", "length"):
            return None
        log_probs = tuple((int(size), float(value)) for size, value in content.get("token_log_probs", ()))
        return Answer(_string(content["text"]), finish_reason, usage, log_probs)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
