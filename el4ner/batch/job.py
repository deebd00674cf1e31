"""A whole run: from inputs and a configuration to an output folder, resumable at any moment."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from el4ner.batch.columns import ColumnFile
from el4ner.batch.emptiness import why_empty
from el4ner.batch.journal import PREDICTIONS, Journal, read_predictions
from el4ner.batch.merge import Outcome
from el4ner.batch.prediction import Prediction
from el4ner.batch.record import RUN, Attempt, read_run, totals, versions, write_atomically, write_run
from el4ner.batch.report import Tally, write_report
from el4ner.batch.resume import CACHE, CONLL, REPORT, RESTARTING, JobOptions, check_previous, may_be_complete
from el4ner.batch.runner import Finder, Runner
from el4ner.config import Config
from el4ner.errors import ConfigError, El4nerError, InputError
from el4ner.members.build import check_members
from el4ner.members.meter import Meter
from el4ner.text.documents import Document, Window
from el4ner.text.formats import read_documents

CHECKPOINT_S = 30.0
"""Seconds between two writes of run.json while a run is under way."""
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
Watch = Callable[[Document, Prediction], None]
"""Called with each document and its prediction, in input order, those of earlier attempts included."""


class Job:
    """One attempt at a run.

    Args:
        config: the configuration.
        options: what to do.
        build: makes the pipeline.
        watch: sees each document with its prediction.
    """

    def __init__(self, config: Config, options: JobOptions, build: Build, watch: Watch) -> None:
        self._config = config
        self._options = options
        self._build = build
        self._watch = watch
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
            El4nerError: the run cannot begin, or the input cannot be read on; what was finished is kept.
        """
        previous = check_previous(self._config, self._options)
        with Journal(self._options.output) as journal:
            if previous is not None and may_be_complete(self._options, previous) and not self._lacks_documents(journal):
                return previous, False
            # The store of answers waits for the lock; earlier predictions are forgotten only once all is found usable.
            cache = self._options.output / CACHE if self._config.batch.cache else None
            pipeline = self._build(self._config, self._meter, cache)
            asyncio.run(check_members(self._config))
            self._begin(previous, pipeline.provenance(), journal)
            state = "failed"
            try:
                state = asyncio.run(self._work(pipeline, journal))
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

    async def _work(self, pipeline: Ensemble, journal: Journal) -> str:
        documents = islice(read_documents(self._options.inputs), self._options.limit)
        watches = [self._watch]
        with ExitStack() as stack:
            if self._options.format == "conll":
                self._columns = stack.enter_context(ColumnFile(self._options.output / CONLL))
                watches.append(self._columns.add)
            try:
                self._pass_over(documents, journal, watches)
                runner = Runner(pipeline, self._config, with_text=self._options.with_text)
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, runner.stop)
                commit = self._committer(journal, watches)
                return await runner.run(documents, commit, max_failures=self._options.max_failures)
            finally:
                await pipeline.close()

    def _committer(self, journal: Journal, watches: list[Watch]) -> Callable[[Document, Outcome], None]:
        def commit(document: Document, outcome: Outcome) -> None:
            journal.append(outcome.prediction)
            self._attempt.add(outcome)
            for watch in watches:
                watch(document, outcome.prediction)
            if time.monotonic() - self._written_at > CHECKPOINT_S:
                self._checkpoint("running")

        return commit

    def _pass_over(self, documents: Iterator[Document], journal: Journal, watches: list[Watch]) -> None:
        """Take the documents that have their records, and see that these are theirs."""
        for number, prediction in enumerate(islice(read_predictions(journal.path), journal.kept), 1):
            document = next(documents, None)
            try:
                if document is None:
                    raise InputError("the input ends before it")
                prediction.check(document)
            except El4nerError as error:
                raise _changed(journal, number, error) from error
            for watch in watches:
                watch(document, prediction)

    def _lacks_documents(self, journal: Journal) -> bool:
        """Whether the input holds documents that have no record yet; those that have one are compared with it."""
        documents = islice(read_documents(self._options.inputs), self._options.limit)
        self._pass_over(documents, journal, [])
        return next(documents, None) is not None

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
            "seeds": {"seed": self._config.seed, "demonstrations.seed": self._config.demonstrations.seed},
        }

    def _update(self, state: str) -> None:
        self._run["state"] = state
        self._run["attempts"][-1] = self._attempt.as_dict(state, self._meter.as_dict())
        self._run["totals"] = totals(self._run["attempts"])

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
        reason = why_empty(self._run, tally)
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
    names = [name + suffix for name in (PREDICTIONS, CONLL, REPORT, CACHE) for suffix in ("", ".part")]
    found = [path for path in (folder / name for name in names) if path.exists()]
    with Journal(folder) as journal:
        for path in {*found, journal.path}:
            path.unlink(missing_ok=True)
        write_run(folder, {**run, "state": "purged"})
    return found


def _changed(journal: Journal, number: int, error: El4nerError) -> InputError:
    return InputError(
        f"{journal.path}, record {number} of {journal.kept}, does not belong to this input: {error}; "
        "give the input of the earlier run, or use --fresh"
    )
