"""Answers kept on disk: one SQLite file, in which an answer is found again by the key of its request.

The file holds model answers, which repeat document text: it is created with mode 0600 and belongs in the output folder.
"""

import json
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from el4ner.engines.base import Answer, Choice, Usage
from el4ner.errors import ConfigError

BUSY_S = 60.0
"""Longest wait for another process that writes to the file."""
SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID"
PUT = "INSERT INTO answers VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET content = excluded.content"
logger = logging.getLogger(__name__)


class AnswerStore:
    """Answers by the key of the request. Safe for several threads and several processes, and when a process is killed.

    What was put is found after a kill of the process; a power failure may lose the last answers. Where the file cannot be
    written any more (a full disk), that is logged once, further answers are not kept, and those that are there are found.

    Args:
        path: the file; created, with its folder.

    Raises:
        ConfigError: the file cannot be opened, or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._keeps = True
        try:
            self._database = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"cannot use {path} as the cache of answers ({error}); delete it if it is damaged or of an earlier version"
            ) from error

    def get(self, key: str) -> Answer | Choice | None:
        """The answer to the request with that key (sha256, hex), or None."""
        with self._lock:
            try:
                row = self._database.execute("SELECT content FROM answers WHERE key = ?", (_short(key),)).fetchone()
            except sqlite3.DatabaseError as error:
                self._stop_keeping("read", error)
                return None
        return None if row is None else _decode(row[0])

    def put(self, key: str, answer: Answer | Choice) -> None:
        """Keep an answer; a later one with the same key replaces an earlier one."""
        with self._lock:
            if not self._keeps:
                return
            try:
                self._database.execute(PUT, (_short(key), _encode(answer)))
            except sqlite3.DatabaseError as error:
                self._stop_keeping("write", error)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            self._database.close()

    def _stop_keeping(self, what: str, error: sqlite3.Error) -> None:
        if self._keeps:
            logger.warning("cannot %s the cache of answers %s (%s); answers are no longer kept", what, self.path, error)
        self._keeps = False


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # SQLite gives its further files (-wal, -shm) the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        # With a write-ahead log, each answer is one sequential write, and no kill of a process leaves half of one.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _short(key: str) -> bytes:
    """The key as bytes, half as long as in hex."""
    return bytes.fromhex(key)


def _encode(answer: Answer | Choice) -> str:
    content: dict[str, Any] = {"usage": [answer.usage.prompt_tokens, answer.usage.answer_tokens]}
    if isinstance(answer, Answer):
        content |= {"text": answer.text, "finish_reason": answer.finish_reason, "tokens": answer.token_log_probs}
    else:
        content |= {"label": answer.label, "log_probs": answer.log_probs}
    return json.dumps(content)


def _decode(line: str) -> Answer | Choice | None:
    """The answer; None where the line holds none."""
    try:
        content = json.loads(line)
        prompt_tokens, answer_tokens = map(int, content["usage"])
        usage = Usage(prompt_tokens, answer_tokens, cached=True)
        if "label" in content:
            scores = content["log_probs"]
            scores = None if scores is None else {str(label): float(score) for label, score in scores.items()}
            return Choice(_string(content["label"]), scores, usage)
        if content["finish_reason"] not in ("stop", "length"):
            return None
        log_probs = tuple((int(size), float(value)) for size, value in content["tokens"])
        return Answer(_string(content["text"]), content["finish_reason"], usage, log_probs)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
