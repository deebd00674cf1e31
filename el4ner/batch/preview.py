"""``--dry-run``: all checks, what a run would cost, and the prompts it would send; nothing is written."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from el4ner.batch.inputs import check_readable, read_input
from el4ner.batch.job import Build, Say, compare
from el4ner.batch.journal import PREDICTIONS, count_records
from el4ner.batch.resume import JobOptions, check_previous
from el4ner.commands import visible
from el4ner.config import Config, MemberConfig
from el4ner.engines.build import check_engines
from el4ner.engines.meter import Meter
from el4ner.text.documents import Item, Unreadable, Window
from el4ner.text.windows import cut_windows

REASONS_SHOWN = 10
METHOD = ("language", "demonstrations", "extract", "classify", "mrc", "verify", "windows", "entities", "batch")


@dataclass(slots=True)
class Extent:
    """What a corpus holds.

    Attributes:
        documents: their number.
        windows: windows by language.
        first: the first window, whose prompts are shown.
        unreadable: documents among them that cannot be read.
        reasons: why not, of the first of them.
    """

    documents: int = 0
    unreadable: int = 0
    reasons: list[str] = field(default_factory=list)
    windows: Counter[str] = field(default_factory=Counter)
    first: Window | None = None


def measure(items: Iterable[Item], config: Config) -> Extent:
    """Count documents and windows, reading one document at a time."""
    extent = Extent()
    widths = config.windows
    for document in items:
        if isinstance(document, Unreadable):
            extent.documents += 1
            extent.unreadable += 1
            extent.reasons += [document.reason] if len(extent.reasons) < REASONS_SHOWN else []
            continue
        windows = cut_windows(document, widths.max_columns, widths.overlap_columns, config.language, config.overlap_at)
        extent.documents += 1
        extent.windows.update(window.language for window in windows)
        extent.first = extent.first or next(iter(windows), None)
    return extent


def estimate(config: Config, windows: Mapping[str, int]) -> dict[str, str]:
    """Requests by stage, before the cache: numbers where the text decides them, else the rule (paper: 3m + |E|)."""
    extractors = [member for member in config.members if member.role == "el4ner"]
    single_pass = [member for member in config.members if member.role == "single-pass"]
    mrc = [member for member in config.members if member.role == "mrc"]
    demonstrations = config.demonstrations
    shown = demonstrations.method != "none" and demonstrations.k > 0 and config.pool.path is not None
    few_shot = config.extract.few_shot and (shown or not config.extract.pre_extract)
    mark = "place of a candidate" if config.classify.ask_per == "occurrence" else "different candidate"
    judges = {"off": 0, "one": 1, "doubtful": 1, "all": len(extractors)}[config.verify.mode] if extractors else 0
    pairs = "doubtful typed entity" if config.verify.mode == "doubtful" else "typed entity"
    asked = _asked(extractors, windows)
    rows = {
        "pre-extract": f"{asked if config.extract.pre_extract else 0:,}",
        "extract": f"{'up to ' if config.extract.few_shot == 'doubtful' else ''}{asked if few_shot else 0:,}",
        "classify": f"up to {len(extractors)} for each {mark}",
        "verify": f"{judges} for each {pairs}" if judges else "0",
    }
    if single_pass:
        first, second = (_asked(single_pass, windows) if asks else 0 for asks in (config.extract.pre_extract, few_shot))
        rows["mark"] = (
            f"{first:,} to {first + second:,}" if config.extract.few_shot == "doubtful" else f"{first + second:,}"
        )
    if mrc:
        questions = -(-len(config.labels) // config.mrc.types_per_call)
        passes = 2 if not (extractors or single_pass) and shown and demonstrations.method == "span" else 1
        rows["mrc"] = f"{passes * questions * _asked(mrc, windows):,}"
    return rows


def _asked(members: Sequence[MemberConfig], windows: Mapping[str, int]) -> int:
    """Windows that members take, each member's counted."""
    return sum(count for language, count in windows.items() for member in members if language in member.languages)


def dry_run(
    config: Config, options: JobOptions, build: Build, console: Console, say: Say, *, with_output: bool
) -> Extent:
    """Check the configuration, models, pool, endpoints, input and earlier records; print method, cost and prompts.

    Args:
        config: the configuration.
        options: what the run would be asked to do.
        build: makes the pipeline.
        console: where to print.
        say: told what cannot be read, and what of an earlier run would be done.
        with_output: whether an output folder was named, so that the input is compared with its records.

    Returns:
        What the input holds.

    Raises:
        El4nerError: something of it cannot be used.
    """
    if with_output and check_previous(config, options) is not None:
        _say_what_is_left(options, say)
    check_readable(options)
    pipeline = build(config, Meter(), None)
    try:
        asyncio.run(check_engines(config))
        pipeline.provenance()
        extent = measure(read_input(options, report=True), config)
        console.print(_method(config))
        console.print(_cost(config, extent))
        if extent.first is not None and options.with_text:
            for stage, prompt in pipeline.preview(extent.first):
                console.rule(Text(f"prompt: {stage}"), align="left", characters="-")
                console.print(Text("\n".join(map(visible, prompt.split("\n")))), soft_wrap=True)
    finally:
        asyncio.run(pipeline.close())
    console.print("Dry run: all checks passed, nothing was written.")
    _say_what_fails(extent, say)
    return extent


def _say_what_is_left(options: JobOptions, say: Say) -> None:
    path = options.output / PREDICTIONS
    kept = count_records(path)
    plan = compare(options, path, kept)
    again = f"; {plan.documents:,} document(s) would be done again" if plan.patches else ""
    say(f"{path} holds the records of {kept:,} document(s), which the run would keep{again}")


def _say_what_fails(extent: Extent, say: Say) -> None:
    for reason in extent.reasons:
        say(reason)
    if extent.unreadable:
        say(
            f"of {extent.documents:,} document(s) {extent.unreadable:,} cannot be read: the run would do the others, give "
            "these a record with the status failed, and end with exit code 1"
        )


def _method(config: Config) -> Table:
    data = config.model_dump(mode="json")
    table = Table(title="Method", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("members", Text("\n".join(map(_member, config.members))))
    table.add_row("types", Text(", ".join(config.type_names)))
    with_questions = any(member.role == "mrc" for member in config.members)
    for key in METHOD if with_questions else [key for key in METHOD if key != "mrc"]:
        for name, value in _rows(key, data[key]):
            table.add_row(name, Text(value))
    return table


def _member(member: MemberConfig) -> str:
    return f"{member.name}: {member.engine}, {member.answer_format if member.role == 'el4ner' else member.role}"


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
    if extent.unreadable:
        table.add_row("  unreadable", f"{extent.unreadable:,}")
    for language, count in sorted(extent.windows.items()):
        table.add_row(f"windows ({language})", f"{count:,}")
    for stage, requests in estimate(config, extent.windows).items():
        table.add_row(f"requests: {stage}", requests)
    return table
