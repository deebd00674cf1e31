"""The method on several labelled sets: rows are asked once, recorded, and compared from the recordings."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ablation.derived import derive
from ablation.design import load_design
from ablation.folder import (
    ANSWERS,
    derived_key,
    locked,
    read_mark,
    remove_mark,
    write_manifest,
    write_mark,
    write_sets,
)
from ablation.forecast import Forecast, forecast_lines, rates_of
from ablation.foreseen import Need
from ablation.recording import Build, Cast, Pools, key_of, record
from ablation.report import as_dict, report_lines
from ablation.results import read_results
from ablation.rows import Row, check_names, rows_of
from ablation.sets import LabelledSet, read_sets
from el4ner.config import Config, load_config
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.build import check_engines
from el4ner.errors import InputError


@dataclass(frozen=True, slots=True)
class Work:
    """All rows of all sets, and those among them that were chosen, in the order they are computed in."""

    config: Config
    sets: tuple[LabelledSet, ...]
    rows: Mapping[str, Sequence[Row]]
    chosen: tuple[tuple[LabelledSet, Row], ...]


def run_experiment(options: argparse.Namespace, build: Build) -> None:
    """Do what the command line asks for.

    Raises:
        El4nerError: something cannot be read or written, or no row was chosen.
    """
    output: Path = options.output
    if options.report:
        if options.experiment is not None:
            write_sets(read_sets(load_design(options.experiment), options.data_root), output)
        print_report(output, options.samples, options.json)
        return
    work = choose(options)
    if options.plan:
        print("\n".join(asyncio.run(plan(work, output, build))))
        return
    with locked(output):
        write_sets(work.sets, output)
        asyncio.run(ask(work, output, options.again, build))
    print_report(output, options.samples, options.json)


def choose(options: argparse.Namespace) -> Work:
    """The rows that the command line names.

    Raises:
        El4nerError: the configuration, the design or a set cannot be read, or nothing was chosen.
    """
    config, design = load_config(options.config), load_design(options.experiment)
    if options.limit is not None:
        design = design.model_copy(update={"limit": options.limit})
    check_names(config, design)
    rows: dict[str, list[Row]] = {}
    sets = []
    for labelled in read_sets(design, options.data_root):
        if of_set := rows_of(config, labelled, design):
            rows[labelled.name] = of_set
            sets.append(labelled)
        else:
            print(f"{labelled.name}: skipped, no member is asked about it in {labelled.language}", file=sys.stderr)
    chosen = [
        (labelled, row)
        for labelled in sets
        for row in rows[labelled.name]
        if matches(labelled.name, options.sets or ["*"]) and matches(row.name, options.only)
    ]
    if not chosen:
        raise InputError("no row is left: look at --sets, --only and --data-root")
    return Work(config, tuple(sets), rows, tuple(sorted(chosen, key=lambda pair: pair[1].phase)))


def matches(name: str, globs: Sequence[str]) -> bool:
    """Whether a name matches one of the patterns."""
    return any(fnmatchcase(name, glob) for glob in globs)


async def ask(work: Work, output: Path, again: Sequence[str], build: Build) -> None:
    """Compute the chosen rows that are not finished, or that match ``again``."""
    store = AnswerStore(output / ANSWERS)
    cast, pools = Cast(store, build), Pools(work.config.embedder)
    try:
        await _describe(work, output, cast)
        await check_engines(work.config)
        for number, (labelled, row) in enumerate(work.chosen, 1):
            said = await _compute(labelled, row, output, (cast, pools), matches(row.name, again))
            if said:
                print(f"{number}/{len(work.chosen)} {labelled.name} {row.name}: {said}", file=sys.stderr)
    finally:
        await cast.close()
        store.close()


async def plan(work: Work, output: Path, build: Build) -> list[str]:
    """The table of what the chosen rows still need."""
    path = output / ANSWERS
    store = AnswerStore(path) if path.is_file() else None
    cast, pools = Cast(store, build), Pools(work.config.embedder)
    forecast = Forecast(cast, pools, store)
    needs: dict[str, dict[str, Need]] = {}
    marks, finished = [], 0
    try:
        for labelled, row in work.chosen:
            mark = read_mark(output / labelled.name / row.name)
            marks.append(mark or {})
            if row.config is None:
                continue
            if mark is not None and mark.get("key") == await key_of(row, labelled, cast, pools):
                finished += 1
                continue
            for name, need in (await forecast.need(row, labelled)).items():
                needs.setdefault(row.name, {}).setdefault(name, Need()).add(need)
    finally:
        await cast.close()
        if store is not None:
            store.close()
    return forecast_lines(needs, rates_of(marks), finished)


def print_report(output: Path, samples: int, as_json: bool) -> None:
    """Print what is finished: the tables, or all numbers as JSON.

    Raises:
        InputError: the folder holds no experiment.
    """
    sets = read_results(output)
    if as_json:
        print(json.dumps(as_dict(sets, samples), indent=2))
    else:
        print("\n".join(report_lines(sets, samples)))


async def _describe(work: Work, output: Path, cast: Cast) -> None:
    """Write the manifest, with the fingerprints of all members that take part."""
    asked = {member.name for rows in work.rows.values() for row in rows if row.config for member in row.config.members}
    everyone = work.config.model_copy(update={"members": tuple(m for m in work.config.members if m.name in asked)})
    fingerprints = {name: member.fingerprint for name, member in (await cast.members(everyone)).items()}
    write_manifest(output, everyone, fingerprints, work.rows, work.sets)


async def _compute(labelled: LabelledSet, row: Row, output: Path, means: tuple[Cast, Pools], again: bool) -> str | None:
    """Compute a row unless it is finished; what to say of it, or None."""
    folder, mark = output / labelled.name / row.name, read_mark(output / labelled.name / row.name)
    if row.config is None:
        return _derive(labelled, row, output / labelled.name, again)
    key = await key_of(row, labelled, *means)
    if mark is not None and mark.get("key") == key and not mark["unanswered"] and not again:
        return None
    remove_mark(folder)
    documents, cost = await record(row, labelled, *means, folder)
    write_mark(folder, row, key, documents, cost.as_dict())
    asked = sum(spent.asked for spent in cost.members.values())
    lost = f", {cost.unanswered:,} answers did not come" if cost.unanswered else ""
    return f"{asked:,} requests in {cost.seconds:.0f} s{lost}"


def _derive(labelled: LabelledSet, row: Row, of_set: Path, again: bool) -> str | None:
    folder, mark = of_set / row.name, read_mark(of_set / row.name)
    if read_mark(of_set / row.source) is None:
        return f"waits for {row.source}"
    key = derived_key(row, of_set)
    if mark is not None and mark.get("key") == key and not again:
        return None
    remove_mark(folder)
    documents = labelled.first(row.limit)
    try:
        derive(row.what, of_set / row.source, documents, folder)
    except InputError as error:
        return str(error)
    write_mark(folder, row, key, documents, {})
    return None
