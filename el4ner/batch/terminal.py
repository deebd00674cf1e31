"""Predictions in the terminal: entities marked in their text, and a table of the whole run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from el4ner.batch.prediction import STATUSES, Prediction
from el4ner.batch.report import calls_and_tokens
from el4ner.commands import visible
from el4ner.text.language import detect
from el4ner.vote.entities import VotedEntity

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")
MAX_CHARS = 2000
"""Longer texts are shown up to here."""


def highlight(text: str, entities: Sequence[VotedEntity], types: Sequence[str], *, colour: bool) -> Text:
    """The text with its entities marked: coloured by type where that is wanted, else as ``[text](TYPE)``.

    Control characters are replaced and markup is not read, so that a document cannot steer the terminal.
    """
    opens: dict[int, int] = {}
    closes: dict[int, list[VotedEntity]] = {}
    for entity in sorted(entities, key=lambda entity: (-entity.start, entity.end)):
        opens[entity.start] = opens.get(entity.start, 0) + 1
        closes.setdefault(entity.end, []).append(entity)
    marked = Text()
    previous = 0
    for place in sorted({*opens, *closes, len(text)}):
        marked.append(_clean(text[previous:place]), _style(previous, entities, types) if colour else "")
        for entity in closes.get(place, ()):
            marked.append(f" {entity.type} ", f"reverse {_colour(entity.type, types)}") if colour else marked.append(
                f"]({entity.type})"
            )
        if not colour:
            marked.append("[" * opens.get(place, 0))
        previous = place
    return marked


class ExamplePrinter:
    """Keeps the first documents of a run, and the first of each further language, and prints them in the end.

    Args:
        size: how many.
        types: all type names; decides the colours.
    """

    def __init__(self, size: int, types: Sequence[str]) -> None:
        self._size = size
        self._types = types
        self._kept: list[tuple[str, Prediction]] = []
        self._languages: set[str] = set()

    def offer(self, text: str, prediction: Prediction) -> None:
        """Keep a document if it is among the first, or the first of its language."""
        language = detect(text)
        new, self._languages = language not in self._languages, self._languages | {language}
        if len(self._kept) < self._size or (new and self._size):
            self._kept.append((text[: MAX_CHARS + 1], prediction))

    def print(self, console: Console) -> None:
        """Print what was kept."""
        colour = console.is_terminal and not console.no_color
        for text, prediction in self._kept:
            console.rule(Text(visible(prediction.id)), align="left")
            if prediction.reason is not None:
                console.print(Text(visible(f"{prediction.status}: {prediction.reason}")), soft_wrap=True)
            shown = text[:MAX_CHARS]
            inside = [entity for entity in prediction.entities if entity.end <= len(shown)]
            console.print(highlight(shown, inside, self._types, colour=colour), soft_wrap=True)
            if len(text) > len(shown):
                console.print(f"(the first {MAX_CHARS:,} characters are shown)")
        if self._kept:
            console.print()


def summary(run: Mapping[str, Any]) -> Table:
    """The run in one table: documents, entities by type, calls, tokens, seconds."""
    results, costs = run["results"], calls_and_tokens(run["totals"]["members"])
    table = Table(title=f"Run {run['state']}", title_justify="left", show_header=False, min_width=40)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("documents", f"{results['documents']:,}")
    for status in STATUSES:
        if results["by_status"][status]:
            table.add_row(f"  {status}", f"{results['by_status'][status]:,}")
    table.add_row("windows", f"{run['totals']['windows']:,}")
    table.add_row("entities", f"{results['entities']:,}")
    for kind, count in results["by_type"].items():
        table.add_row(Text(f"  {kind}"), f"{count:,}")
    table.add_row("model calls", f"{costs['requests']:,}")
    table.add_row("  from the cache", f"{costs['cached']:,}")
    table.add_row("tokens read", f"{costs['prompt_tokens']:,}")
    table.add_row("tokens written", f"{costs['answer_tokens']:,}")
    table.add_row("seconds", f"{run['totals']['wall_s']:,.1f}")
    return table


def print_end(console: Console, run: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Print the table, and the files that were written."""
    console.print(summary(run))
    for path in paths:
        console.print(Text(str(path)), soft_wrap=True)


def _clean(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\t", " ").split("\n")
    return "\n".join(map(visible, lines))


def _style(place: int, entities: Sequence[VotedEntity], types: Sequence[str]) -> str:
    around = [entity for entity in entities if entity.start <= place < entity.end]
    return f"bold {_colour(min(around, key=lambda e: e.end - e.start).type, types)}" if around else ""


def _colour(kind: str, types: Sequence[str]) -> str:
    return COLOURS[types.index(kind) % len(COLOURS)] if kind in types else COLOURS[0]
