"""``run.json``: what a run was, with what, and what it did; written atomically, holds no text of documents."""

import errno
import json
import platform
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from el4ner import __version__
from el4ner.batch.merge import Outcome
from el4ner.engines.meter import ALL
from el4ner.errors import ConfigError
from el4ner.text.files import load_json
from el4ner.text.new_files import write_atomically

RUN = "run.json"
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors that say that a disk, or one's share of it, is full."""
MAX_KINDS = 50
"""Most different problems that are counted one by one; further ones are counted together."""
_VARYING = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|(?<![\w.-])(?<!HTTP )(?<!status )\d+(?![\w-])")
_SUMMED = ("requests", "cached", "cut", "errors", "prompt_tokens", "answer_tokens")
_USER_INFO = re.compile(r"(?<=//)[^/@\s]*@")

Costs = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``{member: {stage: costs}}``, as ``Meter.as_dict`` gives them; the stage ``all`` sums up the others."""


@dataclass(slots=True)
class Attempt:
    """One process's share of a run; a run that was interrupted has several.

    Attributes:
        command: the command line.
        resumed_at: documents that earlier attempts had finished.
        documents: documents finished by this one.
        windows: their windows.
        counts: what was dropped or met in them.
        problems: how often each kind of problem was met.
        redone: documents by status that had a record before; not among ``documents``.
    """

    command: Sequence[str]
    resumed_at: int = 0
    redone: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    windows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    started: str = field(default_factory=lambda: utc_now())
    _clock: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count a finished document."""
        self.documents += 1
        self._count(outcome)

    def add_redone(self, outcome: Outcome) -> None:
        """Count a document that was done again."""
        self.redone[outcome.prediction.status] += 1
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self.windows += outcome.windows
        self.counts.update(outcome.counts)
        for problem in map(kind_of, outcome.problems):
            known = problem in self.problems or len(self.problems) < MAX_KINDS
            self.problems[problem if known else "other problems"] += 1

    def as_dict(self, state: str, costs: Costs) -> dict[str, Any]:
        """Ready for JSON; ``finished`` is null while the attempt runs."""
        return {
            "state": state,
            "command": [_USER_INFO.sub("", word) for word in self.command],
            "started": self.started,
            "finished": None if state == "running" else utc_now(),
            "wall_s": round(time.monotonic() - self._clock, 3),
            "resumed_at": self.resumed_at,
            "documents": self.documents,
            "redone": dict(self.redone),
            "windows": self.windows,
            "counts": dict(sorted(self.counts.items())),
            "problems": dict(self.problems.most_common()),
            "members": costs,
        }


def kind_of(problem: str) -> str:
    """A problem without what differs from one occurrence to the next: hashes and amounts (but not HTTP status codes)."""
    return _VARYING.sub("*", problem)


def totals(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Windows, seconds, counts, problems and costs of all attempts together; of a killed one, up to its last checkpoint."""
    members: dict[str, dict[str, dict[str, int]]] = {}
    for attempt in attempts:
        for member, stages in attempt["members"].items():
            for stage, cost in stages.items():
                if stage == ALL:
                    continue
                total = members.setdefault(member, {}).setdefault(stage, dict.fromkeys(_SUMMED, 0))
                for key in _SUMMED:
                    total[key] += cost.get(key, 0)
    return {
        "windows": sum(attempt["windows"] for attempt in attempts),
        "wall_s": round(sum(attempt["wall_s"] for attempt in attempts), 3),
        "counts": dict(sum((Counter(attempt["counts"]) for attempt in attempts), Counter())),
        "problems": dict(sum((Counter(attempt["problems"]) for attempt in attempts), Counter()).most_common()),
        "members": members,
    }


def versions() -> dict[str, str | None]:
    """Versions of what the results depend on; None for what is not installed."""
    found: dict[str, str | None] = {"el4ner": __version__, "python": platform.python_version()}
    for name, package in {"torch": "torch", "transformers": "transformers", "faiss": "faiss-cpu"}.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            found[name] = None
    return {**found, "platform": platform.platform()}


def read_run(folder: Path) -> dict[str, Any] | None:
    """The run record of an output folder, or None if it has none.

    Raises:
        ConfigError: there is one, but it cannot be read.
    """
    path = folder / RUN
    try:
        run = load_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read; use --fresh to start anew, or another --output") from error
    if not isinstance(run, dict) or not isinstance(run.get("state"), str):
        raise ConfigError(f"{path} is no run record of el4ner; choose another --output")
    if not _is_whole(run):
        raise ConfigError(f"{path} is damaged; use --fresh to start anew, or another --output")
    return run


def _is_whole(run: Mapping[str, Any]) -> bool:
    """Whether what is read of a record later on is there."""
    sections = (run.get("configuration"), run.get("provenance"))
    attempts = run.get("attempts")
    try:
        totals(attempts or ())
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
        return False
    return all(isinstance(part, dict) for part in sections) and isinstance(attempts, list) and "with_text" in run


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    write_atomically(folder / RUN, json.dumps(run, ensure_ascii=False, indent=2) + "\n")


def utc_now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
