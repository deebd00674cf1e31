"""A whole run: from inputs and a configuration to an output folder, resumable at any moment."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from el4ner.batch.columns import ColumnFile
from el4ner.batch.empty_run import explain_empty_run
from el4ner.batch.inputs import check_readable, read_input
from el4ner.batch.journal import PREDICTIONS, Journal, read_predictions
from el4ner.batch.merge import Outcome
from el4ner.batch.prediction import Prediction
from el4ner.batch.record import FULL, RUN, Attempt, read_run, totals, versions, write_run
from el4ner.batch.redo import Plan, StrayRecord, make_plan
from el4ner.batch.redone import REDONE
from el4ner.batch.report import Tally, write_report
from el4ner.batch.resume import (
    CACHE,
    CONLL,
    FORMER_CACHE,
    REPORT,
    RESTARTING,
    JobOptions,
    check_previous,
    may_be_complete,
)
from el4ner.batch.runner import Ending, Finder, Runner
from el4ner.batch.threads import in_thread
from el4ner.config import Config
from el4ner.engines.build import check_engines
from el4ner.engines.meter import Meter
from el4ner.errors import ConfigError, DiskFullError, El4nerError, InputError
from el4ner.text.documents import Item, Window
from el4ner.text.formats import STDIN
from el4ner.text.new_files import write_atomically

CHECKPOINT_S = 30.0
"""Seconds between two writes of run.json while a run is under way."""
GRACE_S = 3.0
"""Seconds that documents under way have to finish in once a signal has asked the run to stop."""
log = logging.getLogger(__name__)


class Ensemble(Finder, Protocol):
    """What a job needs of the pipeline."""

    def provenance(self) -> dict[str, Any]:
        """Hashes of what the answers depend on."""
        ...

    def preview(self, window: Window) -> list[tuple[str, str]]:
        """A rendered prompt for each stage."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


Build = Callable[[Config, Meter, Path | None], Ensemble]
Watch = Callable[[Item, Prediction], None]
"""Called with each document and its prediction, in input order, those of earlier attempts included."""
Say = Callable[[str], None]


class Job:
    """One attempt at a run.

    Args:
        config: the configuration.
        options: what to do.
        build: makes the pipeline.
        watch: sees each document with its prediction.
        say: told in words, at once, what people should know while the run is under way.
    """

    def __init__(self, config: Config, options: JobOptions, build: Build, watch: Watch, say: Say) -> None:
        self._config = config
        self._options = options
        self._build = build
        self._watch = watch
        self._say = say
        self._meter = Meter()
        self._attempt = Attempt(options.command)
        self._run: dict[str, Any] = {}
        self._written_at = 0.0
        self._columns: ColumnFile | None = None

    def run(self) -> tuple[dict[str, Any], bool]:
        """Run, or go on with an earlier run, until it ends.

        Returns:
            The run record, and whether there was anything to do.

        Raises:
            El4nerError: the run cannot begin, or the input cannot be read on, or the disk is full; what was finished is kept.
        """
        previous = check_previous(self._config, self._options)
        with _disk_full_is_said(self._options.output):
            check_readable(self._options)
            with Journal(self._options.output) as journal:
                return self._run_from(previous, journal)

    def _run_from(self, previous: dict[str, Any] | None, journal: Journal) -> tuple[dict[str, Any], bool]:
        plan = Plan() if previous is None else compare(self._options, journal.path, journal.kept)
        if previous is not None and may_be_complete(self._options, previous) and not (plan.patches or plan.more):
            return previous, False
        # The store of answers waits for the lock; earlier predictions are forgotten only once all is found usable.
        cache = self._options.output / CACHE if self._config.batch.cache else None
        if (former := self._options.output / FORMER_CACHE).exists():
            log.warning("%s is a cache of an earlier version and is no longer read; delete it", former)
        pipeline = self._build(self._config, self._meter, cache)
        asyncio.run(check_engines(self._config))
        self._begin(previous, pipeline.provenance(), journal)
        state = "failed"
        try:
            state = asyncio.run(self._work(pipeline, journal, plan))
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            journal.sync()
            self._finish(state)
        return self._run, True

    def paths(self) -> list[Path]:
        """The files that were written."""
        names = [PREDICTIONS, CONLL, RUN, REPORT] if self._options.format == "conll" else [PREDICTIONS, RUN, REPORT]
        return [self._options.output / name for name in names]

    async def _work(self, pipeline: Ensemble, journal: Journal, plan: Plan) -> str:
        runner = Runner(pipeline, self._config, with_text=self._options.with_text, grace_s=GRACE_S, leave_reader=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, runner)
        try:
            ending: Ending = "finished"
            if plan.patches:
                ending = await self._redo(runner, journal, plan)
            return await self._go_on(runner, journal) if ending == "finished" else ending
        finally:
            await pipeline.close()

    def _stop(self, runner: Runner) -> None:
        if not runner.stopping:
            self._say(
                f"stopping: documents under way have {GRACE_S:g} seconds to finish (once more: none); "
                "the same command goes on where the run was"
            )
        runner.stop()

    async def _redo(self, runner: Runner, journal: Journal, plan: Plan) -> Ending:
        """Do documents again whose records are there; they stand in their places in the end, whatever it is."""
        self._say(f"{plan.documents:,} document(s) that failed, are partial or were mended are done again")
        items = plan.select(read_input(self._options))
        with journal.redo(plan.patches) as redone:

            def commit(item: Item, outcome: Outcome) -> None:
                redone.append(outcome.prediction)
                self._attempt.add_redone(outcome)
                self._checkpoint_now_and_then()

            try:
                ending = await runner.run(items, commit, max_failures=self._options.max_failures)
                if ending == "finished":
                    redone.finish()
            finally:
                journal.take_in()
        return ending

    async def _go_on(self, runner: Runner, journal: Journal) -> Ending:
        """Take the documents that have their records, and do the others."""
        items = read_input(self._options, report=True)
        watches = [self._watch]
        with ExitStack() as stack:
            if self._options.format == "conll":
                self._columns = stack.enter_context(ColumnFile(self._options.output / CONLL))
                watches.append(self._columns.add)
            passing = in_thread(lambda: self._pass_over(items, journal, watches, runner))
            await runner.until_stopped(passing)
            if runner.stopping:
                return "interrupted"
            passing.result()
            commit = self._committer(journal, watches)
            return await runner.run(items, commit, max_failures=self._options.max_failures)

    def _committer(self, journal: Journal, watches: list[Watch]) -> Callable[[Item, Outcome], None]:
        def commit(document: Item, outcome: Outcome) -> None:
            journal.append(outcome.prediction)
            self._attempt.add(outcome)
            for watch in watches:
                watch(document, outcome.prediction)
            self._checkpoint_now_and_then()

        return commit

    def _pass_over(self, documents: Iterator[Item], journal: Journal, watches: list[Watch], runner: Runner) -> None:
        """Take the documents that have their records, and see that these are theirs."""
        for number, prediction in enumerate(islice(read_predictions(journal.path), journal.kept), 1):
            if runner.stopping:
                return
            document = next(documents, None)
            try:
                if document is None:
                    raise InputError("the input ends before it")
                prediction.check(document)
            except El4nerError as error:
                raise _changed(journal.path, number, journal.kept, error) from error
            for watch in watches:
                watch(document, prediction)

    def _begin(self, previous: dict[str, Any] | None, provenance: dict[str, Any], journal: Journal) -> None:
        earlier: list[dict[str, Any]] = []
        if previous is None:
            # Killed from here on, the same command begins anew: no old records beside a new run.json, nor the other way round.
            if old := read_run(self._options.output):
                write_run(self._options.output, {**old, "state": RESTARTING})
            journal.clear()
        else:
            if previous["provenance"] != provenance:
                raise ConfigError(
                    f"models, prompts or pool have changed since the run in {self._options.output} began; "
                    "use --fresh to start anew, or another --output"
                )
            earlier = previous["attempts"]
            if journal.cut_bytes:
                log.warning("cut %d bytes of a torn record from %s", journal.cut_bytes, journal.path)
        self._attempt.resumed_at = journal.kept
        self._run = self._head(provenance)
        self._run["attempts"] = [*earlier, {}]
        self._checkpoint("running")

    def _head(self, provenance: dict[str, Any]) -> dict[str, Any]:
        return {
            "state": "running",
            "inputs": list(self._options.inputs),
            "limit": self._options.limit,
            "format": self._options.format,
            "with_text": self._options.with_text,
            "versions": versions(),
            "configuration_hash": self._config.hash(),
            "configuration": self._config.model_dump(mode="json"),
            "provenance": provenance,
            "seeds": {"seed": self._config.seed},
        }

    def _update(self, state: str) -> None:
        self._run["state"] = state
        self._run["attempts"][-1] = self._attempt.as_dict(state, self._meter.as_dict())
        self._run["totals"] = totals(self._run["attempts"])

    def _checkpoint_now_and_then(self) -> None:
        if time.monotonic() - self._written_at > CHECKPOINT_S:
            self._checkpoint("running")

    def _checkpoint(self, state: str) -> None:
        self._update(state)
        write_run(self._options.output, self._run)
        self._written_at = time.monotonic()

    def _finish(self, state: str) -> None:
        tally = Tally.of(read_predictions(self._options.output / PREDICTIONS))
        self._run["results"] = tally.as_dict()
        if self._columns is not None:
            left_out = {"entities_left_out": self._columns.left_out, "failed_documents": self._columns.failed}
            self._run["conll"] = left_out
        self._update(state)
        reason = explain_empty_run(self._run, tally)
        self._run["warnings"] = [] if reason is None else [reason]
        write_run(self._options.output, self._run)
        write_atomically(self._options.output / REPORT, write_report(self._run, tally))


def purge(folder: Path) -> list[Path]:
    """Remove every file of a run that may hold text: predictions, report and cached answers; run.json stays.

    Returns:
        The removed files.

    Raises:
        ConfigError: the folder holds no run, or another process writes there.
    """
    run = read_run(folder)
    if run is None:
        raise ConfigError(f"{folder} holds no run; give the --output of one")
    names = [name + suffix for name in (PREDICTIONS, REDONE, CONLL, REPORT) for suffix in ("", ".part")]
    names += [FORMER_CACHE, *(CACHE + suffix for suffix in ("", "-wal", "-shm", "-journal"))]
    found = [path for path in (folder / name for name in names) if path.exists()]
    with Journal(folder) as journal:
        for path in {*found, journal.path}:
            path.unlink(missing_ok=True)
        if (cache := (folder / CACHE).parent).is_dir() and not any(cache.iterdir()):
            cache.rmdir()
        write_run(folder, {**run, "state": "purged"})
    return found


def compare(options: JobOptions, path: Path, kept: int) -> Plan:
    """What is left to do of a run that has some records; nothing is known where standard input would have to be read for it.

    Raises:
        InputError: the records are not those of the input.
    """
    if STDIN in options.inputs:
        return Plan()
    try:
        return make_plan(islice(read_predictions(path), kept), read_input(options), retry=options.retry_failed)
    except StrayRecord as error:
        raise _changed(path, error.number, kept, error) from error


def _changed(path: Path, number: int, kept: int, error: El4nerError) -> InputError:
    return InputError(
        f"{path}, record {number} of {kept}, does not belong to this input: {error}; "
        "give the input of the earlier run, or use --fresh"
    )


@contextmanager
def _disk_full_is_said(folder: Path) -> Iterator[None]:
    """Say of a disk that is full that it is, and what to do.

    Raises:
        DiskFullError: something could not be written because of that.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(
            f"the disk is full ({error.filename or folder}); make room there, then the same command goes on where the run was"
        ) from error
