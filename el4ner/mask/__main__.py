"""``python -m el4ner.mask``: replace the entities of documents by tags or pseudonyms."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from el4ner.commands import OK, command_parser, run_command
from el4ner.environment import go_offline
from el4ner.errors import InputError

if TYPE_CHECKING:
    from el4ner.mask.inputs import Inputs

SOME_WITHHELD = 1
EPILOG = """\
examples:
  python -m el4ner.mask letters/ --config default --output out/letters
  python -m el4ner.mask letters/ --entities out/run/predictions.jsonl --output out/letters --key letters.key
  python -m el4ner.mask visits.csv --columns note summary --keep visit date --config default --output out/visits
  python -m el4ner.mask out/letters/masked --restore --key letters.key --output out/back

DIR/masked holds the masked texts: a .txt for a .txt, a table for a table (the columns of --columns and --keep alone),
masked.jsonl (id and text alone) for everything else. File names and ids stay as they are. DIR/private must not leave: it
holds review.jsonl (what a person should look at), replacements.jsonl (offsets before and after), withheld.jsonl (what was
not written, and why), and with --audit leaks.jsonl.

exit codes: 0 all is written; 1 some of it was withheld; 2 cannot be done; 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    go_offline()
    return run_command("mask", lambda: _restore(options) if options.restore else _mask(options))


def _mask(options: argparse.Namespace) -> int:
    from el4ner.mask.audit import WARNING, Audit
    from el4ner.mask.job import Entities, Masker, Rules, Writer, corpus_surfaces
    from el4ner.mask.pseudonyms import Pseudonyms, tag
    from el4ner.scoring.predictions import read_gold

    if options.config is None and options.entities is None:
        raise InputError("say who finds the entities: --config, or --entities with a run's predictions.jsonl")
    inputs, key = _inputs(options), _key(options)
    types = frozenset(options.types) if options.types else None
    rules = Rules(types, frozenset(options.name_types), options.everywhere, options.review_below)
    audit = Audit({gold.id: gold for gold in read_gold(*options.audit)}, types) if options.audit else None
    tags = dict(options.tags)
    pseudonyms = Pseudonyms(key) if key else None

    def replacement(surface: str, type_: str) -> str:
        bracketed = f"[{tags[type_]}]" if type_ in tags else tag(type_)
        return pseudonyms(surface, bracketed) if pseudonyms else bracketed

    with Writer(options.output) as writer:
        entities = Entities(options.entities or _found(options, inputs))
        masker = Masker(entities, rules, replacement, corpus_surfaces(inputs, entities, rules), audit)
        masker.run(inputs, writer)
        if pseudonyms:
            pseudonyms.save()  # before anything leaves that only it can undo
        writer.finish()
    counts = [f"{name}: {number:,}" for name, number in sorted(masker.counts.items())]
    print("\n".join([*(audit.report() if audit else ()), *counts, WARNING]), file=sys.stderr)
    return SOME_WITHHELD if masker.counts["withheld"] else OK


def _found(options: argparse.Namespace, inputs: "Inputs") -> Path:
    """The entities that a configuration finds, as a file."""
    import el4ner
    from el4ner.mask.job import PRIVATE, make_folder, write_entities

    folder: Path = options.output / PRIVATE
    make_folder(folder)
    with el4ner.load(options.config) as annotator:
        write_entities(inputs, annotator, folder / "entities.jsonl")
    return folder / "entities.jsonl"


def _restore(options: argparse.Namespace) -> int:
    from el4ner.mask.job import restore
    from el4ner.mask.pseudonyms import Pseudonyms

    key = _key(options)
    if key is None or not key.exists():
        raise InputError("--restore needs --key FILE, the one that the pseudonyms were made with")
    restored = restore(_inputs(options), Pseudonyms(key).surfaces, options.output)
    print(f"restored: {restored:,}", file=sys.stderr)
    return OK


def _inputs(options: argparse.Namespace) -> "Inputs":
    from el4ner.mask.inputs import Inputs

    return Inputs(options.inputs, options.columns, options.keep)


def _key(options: argparse.Namespace) -> Path | None:
    key: Path | None = options.key
    if key is not None and key.resolve().is_relative_to(options.output.resolve()):
        raise InputError("--key must lie outside --output, so that it does not leave with the masked texts")
    return key


def _tag(word: str) -> tuple[str, str]:
    kind, _, tag = word.partition("=")
    if not kind or not tag:
        raise argparse.ArgumentTypeError(f"{word!r}: write TYPE=TAG, for instance PER=PERSON")
    return kind, tag


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("mask", "Replace the entities of documents by tags or pseudonyms.", EPILOG)
    add = parser.add_argument
    add(
        "inputs", nargs="+", metavar="PATH", help=".txt, .jsonl, .conll, .csv and .tsv files, or folders without tables"
    )
    add("--output", type=Path, required=True, metavar="DIR", help="output folder")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--config", metavar="FILE", help="find the entities by a configuration (FILE, or a name: default)"
    )
    source.add_argument("--entities", type=Path, metavar="FILE", help="take them from a run's predictions.jsonl")
    add("--types", nargs="+", metavar="TYPE", help="mask these types alone")
    add("--tags", nargs="+", type=_tag, default=(), metavar="TYPE=TAG", help="tags in place of [PERSON] and the like")
    add("--key", type=Path, metavar="FILE", help="pseudonyms in place of tags, by this key; made where there is none")
    add("--name-types", nargs="*", default=("PER", "PERSON"), metavar="TYPE", help="mask each part of their names too")
    add("--everywhere", action="store_true", help="mask what was found in one document in all documents")
    add("--review-below", type=float, default=0.8, metavar="P", help="put lower scores on the review list (0.8)")
    add("--columns", nargs="+", default=(), metavar="NAME", help="columns of tables to mask")
    add("--keep", nargs="+", default=(), metavar="NAME", help="columns of tables to copy as they are")
    add("--audit", nargs="+", type=Path, metavar="GOLD", help="labelled documents: report what leaked")
    add("--restore", action="store_true", help="put the surfaces back in the place of pseudonyms of --key")
    return parser


if __name__ == "__main__":
    sys.exit(main())
