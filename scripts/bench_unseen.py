"""Label sets that no adapter learnt from, taught by definitions and ten labelled sentences: strict F1 by set, and the average.

    python scripts/bench_unseen.py [--data-root DATA] [--config default] [--sentences 40] [--labelled 10] [--seed 13]

Sets: CoNLL 2004 news (4 types), CrossNER music (13) and literature (12), all English; none of them is in
``configs/train/shared/label-sets.yaml``, and no setting is chosen on them. The labelled sentences are drawn by chance from the
training file, those first that show a type which none before them shows, as a user would choose them. Scored are sentences of the
dev file at even distances. Forty sentences of a set take about five minutes on two cores.

P, R, F1  strict micro scores in percent: exact span and type.
shown     types that the labelled sentences show.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation.sets import spread

import el4ner
from el4ner.config import read_yaml
from el4ner.errors import El4nerError
from el4ner.scoring.predictions import read_gold
from el4ner.text.documents import Document

ROOT = Path(__file__).parents[1]
SETS = {"conll04": "conll04", "crossner_music": "crossner-music", "crossner_literature": "crossner-literature"}
"""Folders of sets, and their label files in ``configs/train/labels``."""
HEADER = "set                   types shown      P     R    F1      s"


@dataclass(frozen=True, slots=True)
class Row:
    """What one set scored."""

    name: str
    types: int
    shown: int
    score: el4ner.Score
    seconds: float

    def __str__(self) -> str:
        s = self.score
        scores = f"{100 * s.precision:5.1f} {100 * s.recall:5.1f} {100 * s.f1:5.1f}"
        return f"{self.name:22}{self.types:5} {self.shown:5}  {scores} {self.seconds:6.0f}"


def labelled_sentences(documents: Sequence[Document], count: int, seed: int) -> list[Document]:
    """Sentences drawn by chance, those first that show a type which none before them shows."""
    drawn = list(documents)
    random.Random(seed).shuffle(drawn)
    chosen: list[Document] = []
    shown: set[str] = set()
    for document in drawn:
        types = {entity.type for entity in document.entities or ()}
        if not types <= shown:
            chosen.append(document)
            shown |= types
    rest = [document for document in drawn if document not in chosen]
    return [*chosen, *rest][:count]


def as_dict(document: Document) -> dict[str, Any]:
    """A document as the Python API takes it."""
    entities = [{"start": e.start, "end": e.end, "type": e.type} for e in document.entities or ()]
    return {"id": document.id, "text": document.text, "entities": entities}


def measure(name: str, options: argparse.Namespace) -> Row:
    """Score one set."""
    labels = read_yaml(ROOT / "configs" / "train" / "labels" / f"{SETS[name]}.yaml")
    folder = options.data_root / name
    pool = labelled_sentences(read_gold(folder / "train.jsonl"), options.labelled, options.seed)
    gold = [as_dict(document) for document in spread(read_gold(folder / "dev.jsonl"), options.sentences)]
    begun = time.perf_counter()
    with el4ner.load(options.config, labels=labels, pool=[as_dict(document) for document in pool]) as ner:
        found = list(ner.annotate({"id": each["id"], "text": each["text"]} for each in gold))
    shown = {entity.type for document in pool for entity in document.entities or ()}
    return Row(name, len(labels), len(shown), el4ner.score(gold, found), time.perf_counter() - begun)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sets that are there; returns the exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data-root", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the sets")
    add("--config", default="default", help="name or file of a configuration (default: %(default)s)")
    add("--sentences", type=int, default=40, help="scored of each set (default: %(default)s)")
    add("--labelled", type=int, default=10, help="shown of each set (default: %(default)s)")
    add("--seed", type=int, default=13, help="of the draw (default: %(default)s)")
    add("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help="which (default: all)")
    options = parser.parse_args(arguments)
    there = [name for name in options.sets if (options.data_root / name / "dev.jsonl").is_file()]
    for name in [name for name in options.sets if name not in there]:
        print(f"{name} is skipped: it is not in {options.data_root}; --data-root names its folder", file=sys.stderr)
    if not there:
        return 2
    print(HEADER)
    rows: list[Row] = []
    try:
        for name in there:
            rows.append(measure(name, options))
            print(rows[-1], flush=True)
    except El4nerError as error:
        print(f"bench_unseen: {error}", file=sys.stderr)
        return 2
    average = sum(row.score.f1 for row in rows) / len(rows)
    print(f"{'average':46}{100 * average:5.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
