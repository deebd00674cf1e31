"""`python -m el4ner.combine`: one prediction file from several systems' prediction files, with or without labels."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from el4ner.combine.advice import advice
from el4ner.combine.job import Job, combine_files
from el4ner.combine.plots import plot
from el4ner.combine.rules import RULES
from el4ner.commands import OK, command_parser, run_command
from el4ner.errors import InputError

_EPILOG = """\
examples:
  python -m el4ner.combine a=a.jsonl b=b.jsonl c=c.conll --documents texts.jsonl --output all.jsonl
  python -m el4ner.combine a=a.jsonl b=b.jsonl --gold some.jsonl --fit two.json --output all.jsonl
  python -m el4ner.combine a=new-a.jsonl b=new-b.jsonl --combiner two.json --output new.jsonl

A record with the status failed, or none, is an abstention; an empty list says
"nothing there". Exit code: 0; 2 where something cannot be read or written; 130
where it was interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 or 130 with a message on standard error."""
    options = _parser().parse_args(argv)

    def work() -> int:
        result = combine_files(_job(options))
        print("\n".join(result.report), file=sys.stderr)
        if options.advise:
            print("\n".join(advice(result.table, result.probabilities, result.labels)), file=sys.stderr)
        if options.plots:
            plot(options.plots, result)
        return OK

    return run_command("combine", work)


def _job(options: argparse.Namespace) -> Job:
    if options.fit and options.combiner:
        raise InputError("--fit learns a combiner and --combiner reads one; give one of the two")
    if (options.fit or options.combiner) and options.rule != "agreement":
        raise InputError(f"--fit and --combiner decide themselves; leave out --rule {options.rule}")
    if options.abstain is not None and not 0 < options.abstain < 1:
        raise InputError("--abstain is a probability between 0 and 1")
    return Job(
        systems=_named([word for word in options.systems if "=" in word]),
        output=options.output,
        runs=tuple(Path(word) for word in options.systems if "=" not in word),
        rule=options.rule,
        at_least=options.at_least,
        prefer=options.prefer,
        nested=options.nested,
        documents=tuple(options.documents),
        gold=options.gold,
        fit=options.fit,
        combiner=options.combiner,
        abstain=options.abstain,
    )


def _named(arguments: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for argument in arguments:
        name, _, path = argument.partition("=")
        if not name or not path or name in named:
            raise InputError(f"{argument!r}: give each system once, as NAME=FILE")
        named[name] = Path(path)
    return named


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("combine", "Combine several systems' predictions for the same documents.", _EPILOG)
    add = parser.add_argument
    add(
        "systems",
        nargs="+",
        metavar="NAME=FILE",
        help="prediction files, JSON lines or columns; without NAME=: "
        "a run's predictions with candidates, whose members all take part",
    )
    add("--output", type=Path, required=True, metavar="FILE", help="predictions to write, JSON lines")
    add("--rule", choices=RULES, default="agreement", help="how to combine without labels (default: agreement)")
    add("--at-least", type=int, default=2, metavar="K", help="members needed by the rule at-least (default: 2)")
    add("--prefer", choices=("f1", "precision", "recall"), default="f1", help="aim at F1, F0.5 or F2")
    add("--nested", action="store_true", help="keep entities inside others")
    add("--documents", nargs="+", default=(), metavar="PATH", help="the texts, so that repeated surfaces count too")
    add("--gold", type=Path, metavar="FILE", help="labelled documents: all, or some of them")
    add(
        "--fit",
        type=Path,
        metavar="FILE",
        help="write the combiner there (JSON), learned from --gold, or without labels",
    )
    add("--combiner", type=Path, metavar="FILE", help="use a combiner that --fit wrote")
    add(
        "--abstain", type=float, metavar="P", help="send entities below this probability to OUTPUT.review.jsonl instead"
    )
    add("--advise", action="store_true", help="say what each member adds, and which would do")
    add("--plots", type=Path, metavar="FOLDER", help="reliability diagram and risk-coverage plot (needs --gold)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
