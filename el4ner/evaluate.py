"""`python -m el4ner.evaluate`: prediction files against gold: strict scores, error breakdown, significance."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from el4ner.commands import OK, command_parser, run_command
from el4ner.errors import InputError
from el4ner.scoring.export import as_dict
from el4ner.scoring.labels import TypeSelection, parse_renaming
from el4ner.scoring.report import Report, score_files
from el4ner.scoring.tables import print_report

_DESCRIPTION = """\
Score prediction files against gold: strict precision, recall and F1 (exact span
and type) with 95 % intervals, scores by type, what happened to each entity, how
far the scores of the predictions can be trusted, and whether systems differ.
Every gold document counts; one that a prediction file lacks, or that failed,
counts as missed and is said."""

_EPILOG = """\
examples:
  python -m el4ner.evaluate --gold test.jsonl --pred out/predictions.jsonl
  python -m el4ner.evaluate --gold test.conll --names three one \\
      --pred out-three/predictions.jsonl out-one/predictions.jsonl
  python -m el4ner.evaluate --gold test.conll --pred tagger.conll \\
      --map PERSON=PER MISC= --types PER ORG LOC --json scores.json

Gold and predictions are JSON lines (.jsonl) or columns (.conll .bio .iob2
.bmes). JSON lines meet gold by id; columns by "# id = ..." comments, else by
order.
Exit code: 0; 2 where something cannot be read or written; 130 where it was
interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 or 130 with a message on standard error."""
    options = _parser().parse_args(argv)

    def work() -> int:
        kept = frozenset(options.types) if options.types else None
        selection = TypeSelection(parse_renaming(options.map), kept)
        report = score_files(options.gold, options.pred, options.names, selection, options.samples, options.seed)
        if options.json:
            write_json(report, options.json)
        print_report(report, Console())
        return OK

    return run_command("evaluate", work)


def write_json(report: Report, path: Path) -> None:
    """Write everything a report holds as one JSON object.

    Raises:
        InputError: the file cannot be written.
    """
    content = json.dumps(as_dict(report), ensure_ascii=False, indent=2)
    try:
        path.write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; give a path in a folder that exists"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("evaluate", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add(
        "--gold",
        type=Path,
        required=True,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="labelled documents: one or more files, scored together",
    )
    add(
        "--pred",
        type=Path,
        required=True,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="one or more prediction files",
    )
    add("--names", nargs="+", metavar="NAME", help="a name for each prediction file (default: file or folder names)")
    add("--json", type=Path, metavar="FILE", help="also write everything to this JSON file")
    add(
        "--map",
        nargs="+",
        action="extend",
        default=[],
        metavar="OLD=NEW",
        help="rename types on both sides; OLD= leaves a type out",
    )
    add("--types", nargs="+", action="extend", metavar="TYPE", help="score only these types (names after --map)")
    add("--samples", type=int, default=1000, metavar="N", help="bootstrap samples (default: %(default)s)")
    add("--seed", type=int, default=13, metavar="N", help="seed of the samples (default: %(default)s)")
    return parser


__all__ = ["TypeSelection", "as_dict", "main", "score_files", "write_json"]

if __name__ == "__main__":
    sys.exit(main())
