"""``el4ner COMMAND``, also ``python -m el4ner COMMAND``: all commands under one name; each has a module of its own."""

import sys
from collections.abc import Sequence
from importlib import import_module

from el4ner import __version__

COMMANDS = {
    "run": ("el4ner.run", "find the entities of documents"),
    "mask": ("el4ner.mask.__main__", "replace entities by tags or pseudonyms"),
    "evaluate": ("el4ner.evaluate", "score predictions against gold"),
    "models": ("el4ner.models.__main__", "list, get, show and verify language models"),
    "train": ("el4ner.train.__main__", "tune a model, or merge an adapter into one"),
    "index": ("el4ner.index", "index a big pool of labelled sentences"),
    "combine": ("el4ner.combine.__main__", "combine predictions of any systems"),
    "serve": ("el4ner.serve.__main__", "plan, start and stop vLLM servers"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, 2 where there is no such command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["--version"], ["-V"]):
        print(f"el4ner {__version__}")
        return 0
    if words[:1] in ([], ["--help"], ["-h"]):
        print(usage())
        return 0
    name, *others = words
    if name not in COMMANDS:
        print(f"el4ner: there is no command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    return int(import_module(COMMANDS[name][0]).main(others))


def usage() -> str:
    """What ``--help`` prints."""
    rows = [f"  {name:10}{about}" for name, (_, about) in COMMANDS.items()]
    head = ["usage: el4ner COMMAND ...", "", "Named entities by an ensemble of small language models.", "", "commands:"]
    return "\n".join([*head, *rows, "", "el4ner COMMAND --help says more; el4ner --version, which version this is."])


if __name__ == "__main__":
    sys.exit(main())
