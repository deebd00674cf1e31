"""Every rule on made-up and recorded ensembles, against each single member and every plain count; and the cost.

    python scripts/bench_combine.py made-up
    python scripts/bench_combine.py overlaid LABELLED.jsonl... [--documents 300] [--labelled 20 --splits 5]
    python scripts/bench_combine.py recorded RECORDED.jsonl [--labelled 100] [--splits 20]
    python scripts/bench_combine.py systems GOLD.jsonl NAME=FILE... [--labelled 100] [--splits 20]
    python scripts/bench_combine.py cost [--sentences 100000] [--members 10]

F1 is strict and in percent. "best member" and "best count" are chosen in hindsight, by the gold labels.
"""

import argparse
import itertools
import json
import random
import resource
import string
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from combine_bench.labelled import folds, splits
from combine_bench.overlaid import Overlaid, overlay
from combine_bench.recorded import Recorded, read_recorded
from combine_bench.synthetic import RECIPES, Recipe, make

from el4ner.combine.corpus import estimate
from el4ner.combine.decision import decide
from el4ner.combine.rules import CombinationRule, choose_by_count
from el4ner.combine.systems import align_systems, read_gold, read_system, read_texts
from el4ner.combine.weighted import weighted_shares
from el4ner.vote.table import BoolArray, VoteTable, tabulate

COUNTING: tuple[CombinationRule, ...] = ("plurality", "two-stage")
SPLIT_COLUMNS = (
    "setting", "best member", "best count", "label-free", "learned", "gain", "p", "calibration error", "label-free", "least",
)  # fmt: skip


def f1(kept: BoolArray, right: BoolArray, n_gold: int) -> float:
    """Micro-F1 in percent."""
    return 200 * int((kept & right).sum()) / max(int(kept.sum()) + n_gold, 1)


def hindsight(table: VoteTable, right: BoolArray, n_gold: int) -> tuple[float, float]:
    """F1 of the best member, and of the best count."""
    votes = table.votes
    singles = [f1(votes[:, m], right, n_gold) for m in range(len(table.members))]
    counts = [f1(votes.sum(axis=1) >= k, right, n_gold) for k in range(1, len(table.members) + 1)]
    return max(singles), max(counts)


def row(name: str, table: VoteTable, right: BoolArray, n_gold: int, texts: list[str] | None = None) -> list[float]:
    """Print one line of the table of rules; gives its numbers."""
    kept = [decide(table, estimate(table).probabilities).kept]
    if texts is not None:
        kept.insert(0, decide(table, estimate(table, texts).probabilities).kept)
    kept.append(decide(table, weighted_shares(table)).kept)
    kept += [choose_by_count(table, rule) for rule in COUNTING]
    scores = [*hindsight(table, right, n_gold), *(f1(mask, right, n_gold) for mask in kept)]
    print(f"| {name} | " + " | ".join(f"{score:.1f}" for score in scores) + " |", flush=True)
    return scores


def head(*names: str) -> None:
    """Print the head of a table."""
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))


def made_up() -> None:
    """The named recipes, and 24 drawn at random."""
    head("ensemble", "best member", "best count", "agreement", "weighted", *COUNTING)
    for number, (name, recipe) in enumerate(RECIPES.items()):
        row(name, *make(recipe, 150, number))
    rng = np.random.default_rng(7)
    rows = [row(f"random {n}", *make(_random(rng), int(rng.integers(60, 300)), n)) for n in range(24)]
    print("random ones, mean: " + " ".join(f"{score:.1f}" for score in np.mean(rows, axis=0)))
    for candour in (0.5, 1.0, 2.0):
        rng = np.random.default_rng(7)
        made = [make(replace(_random(rng), candour=candour), int(rng.integers(60, 300)), n) for n in range(24)]
        scores = [f1(decide(t, estimate(t).probabilities).kept, right, n_gold) for t, right, n_gold in made]
        means = [f1(choose_by_count(t, "probability"), right, n_gold) for t, right, n_gold in made]
        print(
            f"the same, surer by {candour} where right: agreement {np.mean(scores):.1f}, probability {np.mean(means):.1f}"
        )


def recorded(data: Recorded, labelled: int, n_splits: int) -> None:
    """Each setting of recorded answers, and all together; then with labels."""
    head("setting", "best member", "best count", "agreement and corpus", "agreement", "weighted", *COUNTING)
    tables = {setting: tabulate(*data.chosen(setting)) for setting in [*data.settings, ""]}
    n_gold = sum(map(len, data.gold))
    for setting, table in tables.items():
        row(setting or "all", table, table.contains(data.gold), n_gold, data.texts)
    if n_splits:
        print(
            f"\n{n_splits} splits, {labelled} labelled sentences, tested on the others; p: paired, sentences resampled\n"
        )
        head(*SPLIT_COLUMNS)
        for setting, table in tables.items():
            print(f"| {setting or 'all'} | {splits(table, data, labelled, n_splits)} |", flush=True)
        print("\nall sentences labelled, each in the held-out fifth once\n")
        head("setting", "calibration error", "label-free", "least")
        for setting, table in tables.items():
            print(f"| {setting or 'all'} | {folds(table, data)} |", flush=True)


def systems(gold: Path, files: dict[str, Path], labelled: int, n_splits: int) -> None:
    """Prediction files of any systems, for instance those that scripts/ablate.py leaves of each member alone."""
    ids, rows = align_systems({name: read_system(path) for name, path in files.items()})
    labels = read_gold(gold, ids)
    data = Recorded(read_texts([str(gold)], ids), [labels[identity] for identity in ids], rows, [])
    table = tabulate(rows, list(files))
    head("systems", "best member", "best count", "agreement and corpus", "agreement", "weighted", *COUNTING)
    row(" ".join(files), table, table.contains(data.gold), sum(map(len, data.gold)), data.texts)
    if n_splits:
        print(f"\n{n_splits} splits, {labelled} labelled documents, tested on the others\n")
        head(*SPLIT_COLUMNS)
        print(f"| {labelled} labelled | {splits(table, data, labelled, n_splits)} |")
        print("\nall documents labelled, each in the held-out fifth once\n")
        head("systems", "calibration error", "label-free", "least")
        print(f"| all | {folds(table, data)} |")


def overlaid(paths: list[Path], n_documents: int, labelled: int, n_splits: int) -> None:
    """Made-up members over real texts, two ensembles for each file."""
    head("texts", "best member", "best count", "agreement and corpus", "agreement", "weighted", *COUNTING)
    made: dict[str, tuple[VoteTable, Overlaid]] = {}
    rows = []
    for path, seed in itertools.product(paths, (1, 2)):
        data = overlay(path, n_documents, seed)
        table, n_gold = tabulate(data.rows, data.members), sum(map(len, data.gold))
        marks = float(table.votes.sum()) / len(data.members)
        name = f"{path.parent.name} {seed}, {n_gold / marks:.2f} gold entities for one of a member"
        rows.append(row(name, table, table.contains(data.gold), n_gold, data.texts))
        made[name] = table, data
    print("mean: " + " ".join(f"{score:.1f}" for score in np.mean(rows, axis=0)))
    if n_splits:
        print(f"\n{n_splits} splits, {labelled} labelled documents, tested on the others\n")
        head(*SPLIT_COLUMNS)
        for name, (table, data) in made.items():
            print(f"| {name} | {splits(table, data, labelled, n_splits)} |", flush=True)


def cost(n_sentences: int, n_members: int) -> None:
    """Seconds of one core and memory of ``el4ner.combine``, from files to a file, without texts and with them."""
    recipe = Recipe([0.6] * n_members, [0.5] * n_members, [0.2] * n_members)
    table, _, _ = make(recipe, n_sentences)
    with tempfile.TemporaryDirectory() as folder:
        files = _write_answers(table, Path(folder))
        texts = _write_texts(table, Path(folder) / "documents.jsonl")
        print(f"{n_members} members, {n_sentences:,} documents, {len(table):,} candidates, from files to a file:")
        for name, more in (("without texts", []), ("with texts", ["--documents", str(texts)])):
            words = [*files, *more, "--output", f"{folder}/{len(more)}.jsonl"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-m", "el4ner.combine", *words], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"  {name}: {seconds:.1f} s of one core, {after.ru_maxrss / 2**20:.2f} GiB at most", flush=True)


def _write_answers(table: VoteTable, folder: Path) -> list[str]:
    """A prediction file for each member; returns ``NAME=FILE``."""
    found: list[list[list[dict[str, object]]]] = [[[] for _ in range(table.n_documents)] for _ in table.members]
    for index, member in zip(*np.nonzero(table.votes), strict=True):
        entity = table.entity(index)
        found[member][table.document[index]].append({"start": entity.start, "end": entity.end, "type": entity.type})
    for name, answers in zip(table.members, found, strict=True):
        lines = (json.dumps({"id": str(n), "status": "ok", "entities": row}) for n, row in enumerate(answers))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [f"{name}={folder / name}.jsonl" for name in table.members]


def _write_texts(table: VoteTable, path: Path) -> Path:
    """Documents of made-up words, long enough for every candidate, a fifth of the words with a capital letter."""
    rng = random.Random(0)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 9))) for _ in range(30_000)]
    words = [word.title() if rng.random() < 0.2 else word for word in words]
    length = int(table.end.max()) + 20
    with path.open("w", encoding="utf-8") as stream:
        for number in range(table.n_documents):
            text = " ".join(rng.choices(words, k=length // 3))[:length]
            stream.write(json.dumps({"id": str(number), "text": text}) + "\n")
    return path


def _random(rng: np.random.Generator) -> Recipe:
    n_members = int(rng.integers(3, 8))
    kin = rng.random() < 0.5
    worth = rng.normal(0, 0.6, n_members) + rng.normal(0, 0.3)
    return Recipe(
        recall=1 / (1 + np.exp(-(0.3 + worth))),
        noise=rng.gamma(2, 0.4, n_members) * np.exp(-0.5 * worth),
        slips=np.clip(0.2 * np.exp(-0.6 * worth), 0.03, 0.5),
        families=rng.integers(0, max(2, n_members // 2), n_members) if kin else None,
        kinship=rng.uniform(0.5, 2),
        lures=rng.uniform(1, 6),
        lure_appeal=rng.uniform(0.5, 2.5),
        difficulty=rng.uniform(0.5, 2),
    )


def _named(word: str) -> tuple[str, Path]:
    name, _, path = word.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{word!r}: give each system as NAME=FILE")
    return name, Path(path)


def main() -> None:
    """Run one of the five."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("made-up")
    command = commands.add_parser("overlaid")
    command.add_argument("files", type=Path, nargs="+")
    command.add_argument("--documents", type=int, default=300)
    command.add_argument("--labelled", type=int, default=20)
    command.add_argument("--splits", type=int, default=0)
    command = commands.add_parser("recorded")
    command.add_argument("recorded", type=Path)
    command.add_argument("--labelled", type=int, default=100)
    command.add_argument("--splits", type=int, default=20)
    command = commands.add_parser("systems")
    command.add_argument("gold", type=Path)
    command.add_argument("files", nargs="+", type=_named, metavar="NAME=FILE")
    command.add_argument("--labelled", type=int, default=100)
    command.add_argument("--splits", type=int, default=20)
    command = commands.add_parser("cost")
    command.add_argument("--sentences", type=int, default=100_000)
    command.add_argument("--members", type=int, default=10)
    options = parser.parse_args()
    if options.command == "made-up":
        made_up()
    elif options.command == "overlaid":
        overlaid(options.files, options.documents, options.labelled, options.splits)
    elif options.command == "recorded":
        recorded(read_recorded(options.recorded), options.labelled, options.splits)
    elif options.command == "systems":
        systems(options.gold, dict(options.files), options.labelled, options.splits)
    else:
        cost(options.sentences, options.members)


if __name__ == "__main__":
    main()
