"""What a predictions file holds, counted in bounded memory, and ``report.txt``, the run in words at 80 columns."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from el4ner.batch.prediction import STATUSES, Prediction
from el4ner.commands import visible

MAX_SURFACES = 20_000
"""Surfaces counted at once; beyond it the rarest are forgotten, so that counts of rare ones are lower bounds."""
TOP_SURFACES = 10
TOP_PROBLEMS = 15
WIDTH = 80


@dataclass(slots=True)
class Tally:
    """What all predictions of a run hold together.

    Attributes:
        documents: their number.
        statuses: documents per status.
        types: entities per type.
        reasons: how often documents failed or are partial for each reason; bounded.
        surfaces: how often each ``(type, surface)`` stands; the rarest may be missing.
        forgot: whether surfaces were forgotten.
        unread: documents of which a part has no result.
        unreadable: documents that could not be read; they failed.
    """

    documents: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    surfaces: Counter[tuple[str, str]] = field(default_factory=Counter)
    forgot: bool = False
    unread: int = 0
    unreadable: int = 0

    @classmethod
    def of(cls, predictions: Iterable[Prediction]) -> "Tally":
        """Count predictions, one at a time."""
        tally = cls()
        for prediction in predictions:
            tally.add(prediction)
        return tally

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.documents += 1
        self.statuses[prediction.status] += 1
        self.unread += bool(prediction.unread)
        self.unreadable += prediction.input_hash is not None
        self.types.update(entity.type for entity in prediction.entities)
        if prediction.surfaces is not None:
            types = (entity.type for entity in prediction.entities)
            self.surfaces.update(zip(types, prediction.surfaces, strict=True))
        if len(self.surfaces) > MAX_SURFACES:
            self.surfaces = Counter(dict(self.surfaces.most_common(MAX_SURFACES // 2)))
            self.forgot = True

    def as_dict(self) -> dict[str, Any]:
        """Documents, documents by status, with unread parts and unreadable, entities, entities by type; no surfaces."""
        return {
            "documents": self.documents,
            "by_status": {status: self.statuses[status] for status in STATUSES},
            "with_unread_parts": self.unread,
            "unreadable": self.unreadable,
            "entities": self.types.total(),
            "by_type": dict(self.types.most_common()),
        }

    def top_surfaces(self, kind: str) -> list[tuple[str, int]]:
        """The most frequent surfaces of a type; equally frequent ones in alphabetical order."""
        counts = [(surface, count) for (other, surface), count in self.surfaces.items() if other == kind]
        return sorted(counts, key=lambda item: (-item[1], item[0]))[:TOP_SURFACES]


def calls_and_tokens(members: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
    """Requests, cached requests, tokens read and written, over all members and stages."""
    costs = [cost for stages in members.values() for cost in stages.values()]
    return {key: sum(cost[key] for cost in costs) for key in ("requests", "cached", "prompt_tokens", "answer_tokens")}


def write_report(run: Mapping[str, Any], tally: Tally) -> str:
    """The text of ``report.txt``; surfaces stand in it only if the predictions hold them."""
    lines = [f"el4ner run: {run['state']}", ""]
    for warning in run.get("warnings", ()):
        lines += [*wrap(f"Warning: {warning}", WIDTH), ""]
    lines += _section("Documents", [("all", tally.documents), *((name, tally.statuses[name]) for name in STATUSES)])
    if tally.unreadable:
        what = f"Of {tally.statuses['failed']} failed document(s) {tally.unreadable} could not be read: see reason in the records"
        lines += [*wrap(what, WIDTH), ""]
    if tally.unread:
        lines += [
            *wrap(f"Of {tally.unread} partial document(s) a part has no result: see unread in the records", WIDTH),
            "",
        ]
    lines += _section("Entities", [("all", tally.types.total()), *tally.types.most_common()])
    lines += _surfaces(tally)
    lines += _costs(run["totals"])
    lines += _section("Met on the way", sorted(run["totals"]["counts"].items()))
    lines += _problems(run["totals"]["problems"])
    return "\n".join(lines).rstrip("\n") + "\n"


def outcome(run: Mapping[str, Any], predictions: Path) -> list[str]:
    """What people should know at the end of a run: what was done again, what failed and where that is explained."""
    results, lines = run["results"], []
    redone = run["attempts"][-1].get("redone", {})
    if redone:
        by_status = ", ".join(f"{redone[status]:,} {status}" for status in STATUSES if status in redone)
        lines.append(f"{sum(redone.values()):,} document(s) done again: {by_status}")
    parts = [f"{results['by_status']['failed']:,} failed"] if results["by_status"]["failed"] else []
    if results.get("unreadable"):
        parts[0] += f" ({results['unreadable']:,} could not be read)"
    parts += [f"{results['with_unread_parts']:,} have parts without result"] if results.get("with_unread_parts") else []
    if parts:
        lines.append(
            f"of {results['documents']:,} document(s) {' and '.join(parts)}: each record says why, under "
            f'"reason" in {predictions}; once the cause is mended, --retry-failed does them again'
        )
    if run["state"] in ("interrupted", "max-failures"):
        lines.append(f"stopped after {results['documents']:,} document(s); the same command goes on where the run was")
    return lines


def _section(title: str, rows: list[tuple[str, int]]) -> list[str]:
    if not rows:
        return []
    lines = [f"  {count:>9,}  {_fit(name, WIDTH - 13)}" for name, count in rows]
    return [title, *lines, ""]


def _surfaces(tally: Tally) -> list[str]:
    lines: list[str] = []
    for kind, _ in tally.types.most_common():
        rows = tally.top_surfaces(kind)
        lines += _section(f"Most frequent: {kind}", [(visible(surface), count) for surface, count in rows])
    if tally.forgot:
        lines += ["(Too many different surfaces to count them all: these counts are lower bounds.)", ""]
    return lines


def _problems(problems: Mapping[str, int]) -> list[str]:
    lines = _section("Problems", list(problems.items())[:TOP_PROBLEMS])
    more = len(problems) - TOP_PROBLEMS
    return [*lines, f"(and {more} more kinds: see run.json)", ""] if more > 0 else lines


def _costs(totals: Mapping[str, Any]) -> list[str]:
    lines = [
        "Calls and tokens",
        f"  {'member':<20.20} {'stage':<12.12} {'calls':>9} {'cached':>9} {'read':>11} {'written':>9}",
    ]
    for member, stages in totals["members"].items():
        for stage, cost in stages.items():
            lines.append(
                f"  {member:<20.20} {stage:<12.12} {cost['requests']:>9,} {cost['cached']:>9,}"
                f" {cost['prompt_tokens']:>11,} {cost['answer_tokens']:>9,}"
            )
    return [*lines, f"  {totals['windows']:,} windows in {totals['wall_s']:,.1f} seconds", ""]


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
