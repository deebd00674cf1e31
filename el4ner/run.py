"""``python -m el4ner.run``: find the entities of many documents; an interrupted run goes on where it was."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from el4ner.commands import INTERRUPTED, OK, command_parser, run_command, visible
from el4ner.environment import go_offline
from el4ner.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from el4ner.batch.job import Build
    from el4ner.batch.prediction import Prediction
    from el4ner.batch.resume import JobOptions
    from el4ner.config import Config
    from el4ner.text.documents import Item

SOME_FAILED, MAX_FAILURES = 1, 3
SHOWN = 3
"""Documents that are printed, in a terminal alone: what is redirected may end in a log."""
EPILOG = """\
exit codes: 0 all documents have their predictions; 1 some failed, or parts of some (each record says why);
2 cannot begin or go on; 3 stopped by --max-failures; 130 interrupted. After 2, 3 and 130 the same command goes
on where the run was.

A document that cannot be read (no UTF-8, no JSON, no permission, ...) fails, and the others are done. Once it is
mended, the same command does it; --retry-failed does all documents again that failed or are partial.

DIR holds predictions.jsonl (one record a document, in input order), run.json, report.txt, with --format conll
predictions.conll, and with batch.cache cache/. Those that hold text are readable by their owner alone;
--purge removes them.
"""


def main(arguments: Sequence[str] | None = None, build: "Build | None" = None) -> int:
    """Run the command; returns the exit code. ``build`` stands in for the pipeline's own in tests."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    go_offline()

    def work() -> int:
        if options.purge:
            return _purge(options)
        return _dry_run(options, build) if options.dry_run else _job(options, words, build)

    return run_command("run", work, interrupted="interrupted; the same command goes on where the run was")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "run", "Find and type the named entities of documents by an ensemble of language models.", EPILOG
    )
    add = parser.add_argument
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of the ensemble: a YAML file, or the name of one that ships",
    )
    add("--input", nargs="+", metavar="PATH", help=".txt, .jsonl or .conll files, folders of them, or - (stdin)")
    add("--output", type=Path, metavar="DIR", help="output folder")
    add("--format", choices=("jsonl", "conll"), default="jsonl", help="conll: predictions.conll as well")
    add("--limit", type=_count, metavar="N", help="only the first N documents")
    add("--max-failures", type=_count, metavar="N", help="stop once more than N documents have failed")
    add("--no-text", action="store_true", help="keep the text out of all outputs: offsets and types only")
    add(
        "--show",
        type=_count,
        metavar="N",
        help="print the first N documents with their entities (3; 0 where not in a terminal)",
    )
    add("--quiet", action="store_true", help="no progress, no documents, no table")
    add(
        "--retry-failed",
        action="store_true",
        help="do documents of an earlier run in DIR again that failed or are partial; the others stay as they are",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--dry-run", action="store_true", help="check everything, show method, cost and prompts; write nothing"
    )
    mode.add_argument("--fresh", action="store_true", help="forget an earlier run in DIR (its cached answers stay)")
    mode.add_argument("--resume", action="store_true", help="insist on an earlier run in DIR")
    mode.add_argument(
        "--purge", action="store_true", help="remove all files of DIR that hold text, and do nothing else"
    )
    return parser


def _job(options: argparse.Namespace, words: list[str], build: "Build | None") -> int:
    from rich.console import Console

    from el4ner.batch.job import Job
    from el4ner.batch.report import outcome
    from el4ner.batch.terminal import ExamplePrinter, print_end

    config, job_options = _config(options), _job_options(options, words)
    console = Console(quiet=options.quiet)
    wanted = SHOWN * sys.stdout.isatty() if options.show is None else options.show
    showcase = ExamplePrinter(0 if options.no_text or options.quiet else wanted, config.type_names)
    with _progress(options) as advance:

        def watch(item: "Item", prediction: "Prediction") -> None:
            showcase.offer(getattr(item, "text", ""), prediction)
            advance()

        job = Job(config, job_options, build or _build(), watch, _say)
        run, worked = job.run()
    if not worked:
        console.print("This run is finished, and its input is unchanged; --fresh does it anew.")
    showcase.print(console)
    print_end(console, run, job.paths())
    for line in (*run.get("warnings", ()), *outcome(run, job.paths()[0])):
        _say(line)
    return _exit_code(run)


def _say(line: str) -> None:
    print(f"el4ner.run: {visible(line)}", file=sys.stderr, flush=True)


def _exit_code(run: dict[str, Any]) -> int:
    if run["state"] in ("max-failures", "interrupted"):
        return MAX_FAILURES if run["state"] == "max-failures" else INTERRUPTED
    results = run["results"]
    return SOME_FAILED if results["by_status"]["failed"] or results.get("with_unread_parts") else OK


def _dry_run(options: argparse.Namespace, build: "Build | None") -> int:
    from rich.console import Console

    from el4ner.batch.preview import dry_run

    config, job_options = _config(options), _job_options(options, [])
    console = Console(quiet=options.quiet)
    with_output = options.output is not None
    extent = dry_run(config, job_options, build or _build(), console, _say, with_output=with_output)
    return SOME_FAILED if extent.unreadable else OK


def _purge(options: argparse.Namespace) -> int:
    from el4ner.batch.job import purge

    for path in purge(_required(options, "output")):
        print(f"removed {path}")
    return OK


def _progress(options: argparse.Namespace) -> AbstractContextManager[Callable[[], None]]:
    from rich.console import Console

    console = Console(stderr=True)
    if options.quiet or not console.is_terminal:
        return nullcontext(lambda: None)
    return _bar(console, options)


def _bar(console: "Console", options: argparse.Namespace) -> AbstractContextManager[Callable[[], None]]:
    from el4ner.batch.progress import progress_bar
    from el4ner.text.formats import count_documents

    total = count_documents(options.input)
    return progress_bar(console, total if total is None or options.limit is None else min(total, options.limit))


def _config(options: argparse.Namespace) -> "Config":
    from el4ner.config import load_config

    return load_config(_required(options, "config"))


def _job_options(options: argparse.Namespace, words: list[str]) -> "JobOptions":
    from el4ner.batch.resume import JobOptions

    return JobOptions(
        inputs=tuple(_required(options, "input")),
        output=Path() if options.dry_run and options.output is None else _required(options, "output"),
        limit=options.limit,
        format=options.format,
        fresh=options.fresh,
        resume=options.resume,
        retry_failed=options.retry_failed,
        max_failures=options.max_failures,
        with_text=not options.no_text,
        command=("python", "-m", "el4ner.run", *words),
    )


def _build() -> "Build":
    from el4ner.pipeline import build_pipeline

    return build_pipeline


def _required(options: argparse.Namespace, name: str) -> Any:
    value = getattr(options, name)
    if value is None:
        raise ConfigError(f"--{name} is missing; see --help")
    return value


def _count(word: str) -> int:
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of 0 or more")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
