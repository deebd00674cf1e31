"""What each choice of a configuration is worth: one table, a row for each variant, a block of columns for each gold file.

    python scripts/ablate.py --config configs/default.yaml [--gold FILE...] [--limit 400] [--only 'demos *']
    python scripts/ablate.py --config FILE --experiment configs/experiments/untuned.yaml [--plan] [--only '*/span-5']
    python scripts/ablate.py --report [--json] --output out/experiment

The first row is the ensemble as configured; every other row changes one thing in it: one member alone, or left out, or
asked about every language too; other demonstrations or span weights, another vote or verification, candidates of the
zero-shot pass kept or not. What changes nothing in this ensemble has no row: what is configured already, verification where
no member of role el4ner is there to do it, and demonstrations without a pool.

P, R, F1  strict micro scores in percent: exact span and type. Every document counts, also one without entities.
*         the F1 differs from the ensemble's, p < 0.05 (paired bootstrap over documents, not corrected for how many
          rows there are: of twenty rows that change nothing, one gets a star).
span      F1 of spans without types: how well the mentions are found.
s         seconds for all documents; "-" where an earlier row or run had answered any of the requests.
call      requests to members per document, with those that the cache answered.

Rows share answers through one file in the output folder (mode 0600: it holds text), so that a request is computed once
and rows differ by what they change alone. ``--no-cache`` times each row by itself. The output folder also keeps
``ablation.json`` (all numbers, with p-values) and for each gold file the documents and every row's predictions, for

    python -m el4ner.evaluate --gold OUT/SET/gold.jsonl --pred OUT/SET/ensemble/predictions.jsonl OUT/SET/...

With ``--experiment`` the method itself is measured, on sets that have each its own pool and labels: members alone by what
is shown to them and by answer format, and what is made of their candidates (docs/experiments.md). Every answer is kept: a
run that was stopped, however it was, goes on with the same command, and ``--report`` asks nobody.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

from ablation.bench import measure  # noqa: E402
from ablation.experiment import run_experiment  # noqa: E402
from ablation.recording import Build, build_engines_of  # noqa: E402
from ablation.scores import Block, score, write_json  # noqa: E402
from ablation.sets import spread  # noqa: E402
from ablation.table import print_table  # noqa: E402
from ablation.variants import ENSEMBLE, make_variants  # noqa: E402

from el4ner.config import load_config  # noqa: E402
from el4ner.errors import El4nerError, InputError  # noqa: E402
from el4ner.scoring.predictions import read_gold  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402

DEFAULT_GOLD = ("uner_en_ewt/dev.jsonl", "uner_zh_gsdsimp/dev.jsonl")
DATA_ROOT = Path(__file__).parents[2] / "shared" / "data"
PLAIN_STEMS = {"dev", "test", "train", "gold"}
OUTPUT = {False: Path("out/ablation"), True: Path("out/experiment")}
OF_EXPERIMENTS, OF_ABLATIONS = ("plan", "json", "sets", "again"), ("gold", "unseen", "last", "no_cache")


def main(arguments: Sequence[str] | None = None, *, build: Build = build_engines_of) -> int:
    """Run the command; returns its exit code: 0, or 2 or 130 with a message on standard error.

    Args:
        arguments: the command line; None: the process's own.
        build: builds the members of an experiment's row.
    """
    options = _parser().parse_args(arguments)
    try:
        is_experiment = _is_experiment(options)
        options.output = options.output or OUTPUT[is_experiment]
        if is_experiment:
            run_experiment(options, build)
        else:
            ablate(options)
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was answered is kept, and the same command goes on", file=sys.stderr)
        return 130
    return 0


def ablate(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    paths = options.gold or [path for name in DEFAULT_GOLD if (path := options.data_root / name).is_file()]
    if not paths:
        raise InputError(f"no gold file in {options.data_root}; give labelled JSONL or CoNLL files with --gold")
    config = load_config(options.config)
    named = [
        v
        for v in make_variants(config)
        if v.name == ENSEMBLE or any(fnmatchcase(v.name, glob) for glob in options.only)
    ]
    documents = [spread(unseen(read_gold(path), options.unseen, options.last), options.limit) for path in paths]
    gold = dict(zip(set_names(paths), documents, strict=True))
    costs = asyncio.run(measure(config, named, gold, options.output, not options.no_cache))
    blocks = [
        Block(
            name, len(gold[name]), score(options.output / name, named, config.type_names, options.samples), costs[name]
        )
        for name in gold
    ]
    write_json(blocks, named, options.output / "ablation.json")
    print_table(blocks, named)


def unseen(documents: Sequence[Document], limits: Sequence[int], last: int | None = None) -> list[Document]:
    """Those that none of the limits takes, of the last ones alone if a number is given.

    Raises:
        InputError: there are none.
    """
    taken = {document.id for limit in limits for document in spread(documents, limit)}
    rest = [document for document in documents[-last if last else 0 :] if document.id not in taken]
    if not rest:
        raise InputError(f"--unseen {' '.join(map(str, limits))} leaves none of {len(documents)} documents")
    return rest


def set_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each gold file: its own, or its folder's where its own says nothing.

    Raises:
        InputError: two are the same.
    """
    names = [path.resolve().parent.name if path.stem in PLAIN_STEMS else path.stem for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"gold files would share a name ({', '.join(names)}); rename a file")
    return names


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _is_experiment(options: argparse.Namespace) -> bool:
    """Whether sets with pools are meant.

    Raises:
        InputError: an option belongs to the other kind.
    """
    is_experiment = options.experiment is not None or options.report
    strangers = OF_ABLATIONS if is_experiment else OF_EXPERIMENTS
    given = [f"--{name.replace('_', '-')}" for name in strangers if getattr(options, name)]
    if given and is_experiment:
        raise InputError(f"{', '.join(given)} and --experiment do not go together; name files in the experiment's file")
    if given:
        raise InputError(f"{', '.join(given)} needs --experiment FILE (or --report)")
    return is_experiment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", type=Path, default=Path("configs/default.yaml"), help="the ensemble (default: %(default)s)")
    add(
        "--gold", type=Path, nargs="+", metavar="FILE", help="labelled files (default: two dev sets, if they are there)"
    )
    add("--data-root", type=Path, default=DATA_ROOT, metavar="DIR", help="where gold files and pools lie")
    add("--limit", type=positive, metavar="N", help="documents of each file, at even distances (default: all)")
    add(
        "--unseen",
        type=positive,
        nargs="+",
        default=[],
        metavar="N",
        help="only documents that --limit N would leave out, for each N: those that no setting was chosen on",
    )
    add("--last", type=positive, metavar="N", help="only the last N documents of each file")
    add("--only", nargs="+", default=["*"], metavar="GLOB", help="rows besides the ensemble, for instance 'alone *'")
    add("--output", type=Path, metavar="DIR", help="folder (default: out/ablation, or out/experiment)")
    add("--samples", type=positive, default=1000, metavar="N", help="bootstrap samples (default: %(default)s)")
    add("--no-cache", action="store_true", help="compute every row anew, and time it")
    _add_experiment(parser.add_argument_group("experiments"))
    return parser


def _add_experiment(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--experiment", type=Path, metavar="FILE", help="sets with pools and labels; --only takes rows such as '*/zero'"
    )
    add("--sets", nargs="+", default=[], metavar="GLOB", help="only these sets")
    add("--plan", action="store_true", help="say how much is still to be asked, and ask nothing")
    add("--again", nargs="+", default=[], metavar="GLOB", help="compute these rows anew from the recorded answers")
    add("--report", action="store_true", help="print the tables of what is finished, and ask nothing")
    add("--json", action="store_true", help="print all numbers as JSON instead of tables")


if __name__ == "__main__":
    sys.exit(main())
