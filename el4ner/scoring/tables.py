"""The report as text tables that read well in 80 columns."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from el4ner.scoring.bootstrap import Interval
from el4ner.scoring.counts import macro
from el4ner.scoring.mismatches import Outcome
from el4ner.scoring.reliability import Reliability
from el4ner.scoring.report import Report, SystemScores

_OVERVIEW = ("", "P", "R", "F1", "95 % interval", "Macro F1", "Span F1", "Type acc.")
_SYSTEMS_ACROSS = 5
_CONFUSIONS_SHOWN = 5


def print_report(report: Report, console: Console) -> None:
    """Print the tables of a report; scores are percentages."""
    for part in _parts(report):
        if isinstance(part, Table):
            console.print()
        console.print(part)


def _parts(report: Report) -> Iterator[RenderableType]:
    yield _heading(report)
    if report.notes:
        yield _notes(report.notes)
    yield from _overview(report)
    yield from _types(report)
    yield from _outcomes(report.systems)
    for system in report.systems:
        if system.breakdown.confusions:
            yield _confusions(system)
    for system in report.systems:
        if system.reliability is not None:
            yield from _calibration(system.name, system.reliability)
    if report.comparisons:
        yield from _comparisons(report)


def _heading(report: Report) -> Text:
    n_entities = sum(report.gold_types.values())
    gold = ", ".join(map(str, report.gold_paths))
    return _clean(
        f"Gold {gold}: {report.n_documents:,} documents ({report.n_empty:,} without entities), "
        f"{n_entities:,} entities, {len(report.gold_types):,} types"
    )


def _notes(notes: Sequence[str]) -> Table:
    grid = Table.grid(padding=(0, 1))
    for note in notes:
        grid.add_row(Text("note", style="yellow"), _clean(note))
    return grid


def _overview(report: Report) -> Iterator[RenderableType]:
    table = _table("Strict scores: span and type exact (%)", *_OVERVIEW)
    best = max(system.strict.f1 for system in report.systems)
    for system in report.systems:
        strict, accuracy = system.strict, system.breakdown.type_accuracy
        table.add_row(
            _clean(system.name),
            _percent(strict.precision),
            _percent(strict.recall),
            _emphasised(_percent(strict.f1), len(report.systems) > 1 and strict.f1 == best),
            _range(system.micro_f1),
            _percent(macro(system.by_type).f1),
            _percent(system.span_only.f1),
            "-" if accuracy is None else _percent(accuracy),
        )
    yield table
    yield _legend(
        f"Interval: {report.samples:,} bootstrap samples of documents, seed {report.seed}. Macro: mean over the types "
        "of gold or the predictions. Span F1: types ignored. Type acc.: right types among spans found exactly."
    )


def _types(report: Report) -> Iterator[Table]:
    if len(report.systems) == 1:
        yield _types_of_one(report)
        return
    for first in range(0, len(report.systems), _SYSTEMS_ACROSS):
        yield _types_of_many(report, report.systems[first : first + _SYSTEMS_ACROSS])


def _types_of_one(report: Report) -> Table:
    by_type = report.systems[0].by_type
    table = _table("By type (%)", "", "Gold", "Predicted", "Right", "P", "R", "F1")
    for name, counts in by_type.items():
        ratios = (counts.precision, counts.recall, counts.f1)
        table.add_row(
            _clean(name), f"{counts.gold:,}", f"{counts.predicted:,}", f"{counts.tp:,}", *map(_percent, ratios)
        )
    return table


def _types_of_many(report: Report, systems: Sequence[SystemScores]) -> Table:
    table = _table("F1 by type (%)", "", "Gold", *(system.name for system in systems), fold=True)
    for name in sorted({name for system in report.systems for name in system.by_type}):
        scores = [system.by_type[name].f1 if name in system.by_type else None for system in systems]
        best = max((score for score in scores if score), default=None)
        cells = [_emphasised("-" if score is None else _percent(score), score == best) for score in scores]
        table.add_row(_clean(name), f"{report.gold_types.get(name, 0):,}", *cells)
    return table


def _outcomes(systems: Sequence[SystemScores]) -> Iterator[RenderableType]:
    table = _table("What happened to each entity", "", "Correct", "Type", "Boundary", "Both", "Missed", "Spurious")
    for system in systems:
        total = system.breakdown.total
        table.add_row(_clean(system.name), *(f"{total[outcome]:,}" for outcome in Outcome))
    yield table
    yield _legend(
        "Type: span right, type wrong. Boundary: overlaps, type right. Both: overlaps, type wrong. "
        "Each entity is paired once at most; Missed has no partner in the predictions, Spurious none in gold."
    )


def _confusions(system: SystemScores) -> Text:
    common = sorted(system.breakdown.confusions.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{gold} as {predicted} {count:,}" for (gold, predicted), count in common[:_CONFUSIONS_SHOWN])
    more = f", {len(common) - _CONFUSIONS_SHOWN} other pairs" if len(common) > _CONFUSIONS_SHOWN else ""
    return _clean(f"Types confused by {system.name}: {shown}{more}")


def _calibration(name: str, reliability: Reliability) -> Iterator[RenderableType]:
    title = f"Scores of {name}: expected calibration error {reliability.error:.3f}"
    table = _table(title, "Score", "Predicted", "Right", "Mean score", "P (%)")
    for band in reliability.bands:
        counts = band.counts
        table.add_row(
            f"{band.low:.1f} to {band.high:.1f}",
            f"{counts.predicted:,}",
            f"{counts.tp:,}",
            f"{band.mean:.2f}",
            _percent(counts.precision),
        )
    yield table
    yield _legend("Error: mean distance of score and precision over ten bands of equal width, by their predictions.")


def _comparisons(report: Report) -> Iterator[RenderableType]:
    table = _table("Differences of F1 (percentage points)", "", "Diff.", "95 % interval", "p boot.", "p rand.")
    for comparison in report.comparisons:
        first, second = report.systems[comparison.first].name, report.systems[comparison.second].name
        table.add_row(
            _clean(f"{first} - {second}"),
            f"{100 * comparison.difference.estimate:+.1f}",
            _range(comparison.difference, signed=True),
            _p_value(comparison.p_bootstrap),
            _p_value(comparison.p_randomisation),
        )
    several = "; not corrected for the number of pairs" if len(report.comparisons) > 1 else ""
    yield table
    yield _legend(
        f"Two-sided p-values, {report.samples:,} samples: paired bootstrap, approximate randomisation{several}."
    )


def _table(title: str, *headers: str, fold: bool = False) -> Table:
    """A table of numbers; the first column gives way where the width is short, or all do where ``fold``."""
    table = Table(
        title=title,
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        show_edge=False,
        pad_edge=False,
        title_justify="left",
        title_style="bold",
    )
    table.add_column(_clean(headers[0]), overflow="fold", min_width=8)
    for header in headers[1:]:
        table.add_column(_clean(header), justify="right", overflow="fold", no_wrap=not fold)
    return table


def _legend(text: str) -> Text:
    return Text(text, style="dim")


def _clean(text: str) -> Text:
    """Text as it stands: neither markup nor control characters in names have an effect."""
    return Text("".join(character if character.isprintable() else "\ufffd" for character in text))


def _emphasised(cell: str, emphasis: bool) -> Text:
    return Text(cell, style="bold" if emphasis else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _range(interval: Interval, *, signed: bool = False) -> str:
    pattern = "{:+.1f} to {:+.1f}" if signed else "{:.1f} to {:.1f}"
    return pattern.format(100 * interval.low, 100 * interval.high)


def _p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
