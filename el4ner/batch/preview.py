"""``--dry-run``: all checks, what a run would cost, and the prompts it would send; nothing is written."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from el4ner.batch.job import Build
from el4ner.batch.report import visible
from el4ner.config import Config
from el4ner.members.build import check_members
from el4ner.members.meter import Meter
from el4ner.text.documents import Document, Window
from el4ner.text.windows import cut_windows

METHOD = ("language", "demonstrations", "extract", "classify", "verify", "windows", "entities", "batch")


@dataclass(slots=True)
class Extent:
    """What a corpus holds.

    Attributes:
        documents: their number.
        windows: windows by language.
        first: the first window, whose prompts are shown.
    """

    documents: int = 0
    windows: Counter[str] = field(default_factory=Counter)
    first: Window | None = None


def measure(documents: Iterable[Document], config: Config) -> Extent:
    """Count documents and windows, reading one document at a time."""
    extent = Extent()
    widths = config.windows
    for document in documents:
        windows = cut_windows(
            document, widths.max_columns, widths.overlap_columns, config.language, widths.overlap_at
        )
        extent.documents += 1
        extent.windows.update(window.language for window in windows)
        extent.first = extent.first or next(iter(windows), None)
    return extent


def estimate(config: Config, windows: Mapping[str, int]) -> dict[str, str]:
    """Requests by stage, before the cache: numbers where the text decides them, else the rule (paper: 3m + |E|)."""
    asked = sum(
        count for language, count in windows.items() for member in config.members if language in member.languages
    )
    demonstrations = config.demonstrations
    shown = demonstrations.method != "none" and demonstrations.k > 0 and config.pool.path is not None
    few_shot = config.extract.few_shot and (shown or not config.extract.pre_extract)
    mark = "place of a candidate" if config.classify.mark == "occurrence" else "different candidate"
    judges = {"off": 0, "one": 1, "doubtful": 1, "all": len(config.members)}[config.verify.mode]
    pairs = "doubtful typed entity" if config.verify.mode == "doubtful" else "typed entity"
    return {
        "pre-extract": f"{asked if config.extract.pre_extract else 0:,}",
        "extract": f"{asked if few_shot else 0:,}",
        "classify": f"up to {len(config.members)} for each {mark}",
        "verify": f"{judges} for each {pairs}" if judges else "0",
    }


def dry_run(config: Config, documents: Iterable[Document], build: Build, console: Console, *, with_text: bool) -> None:
    """Check the configuration, models, pool, endpoints and input; print method, cost and prompts.

    Raises:
        El4nerError: something of it cannot be used.
    """
    asyncio.run(check_members(config))
    pipeline = build(config, Meter(), None)
    try:
        pipeline.provenance()
        extent = measure(documents, config)
        console.print(_method(config))
        console.print(_cost(config, extent))
        if extent.first is not None and with_text:
            for stage, prompt in pipeline.preview(extent.first):
                console.rule(Text(f"prompt: {stage}"), align="left", characters="-")
                console.print(Text("\n".join(map(visible, prompt.split("\n")))), soft_wrap=True)
    finally:
        asyncio.run(pipeline.close())
    console.print("Dry run: all checks passed, nothing was written.")


def _method(config: Config) -> Table:
    data = config.model_dump(mode="json")
    table = Table(title="Method", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("members", Text("\n".join(f"{m.name}: {m.engine}, {m.answer_format}" for m in config.members)))
    table.add_row("types", Text(", ".join(config.type_names)))
    for key in METHOD:
        for name, value in _rows(key, data[key]):
            table.add_row(name, Text(value))
    return table


def _rows(key: str, section: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(section, dict):
        yield key, str(section)
        return
    for name, value in section.items():
        yield f"{key}.{name}", "-" if value is None else str(value)


def _cost(config: Config, extent: Extent) -> Table:
    table = Table(title="Work", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("documents", f"{extent.documents:,}")
    for language, count in sorted(extent.windows.items()):
        table.add_row(f"windows ({language})", f"{count:,}")
    for stage, requests in estimate(config, extent.windows).items():
        table.add_row(f"requests: {stage}", requests)
    return table
