"""What LoRA, demonstrations and the form of the questions are worth in NER by reading comprehension, on two Chinese sets.

    python scripts/experiment_mrc.py [--seeds 3] [--sets resume_zh] [--arms 'LoRA alone' ...] [--report]

The ablation of Ye, Tang, Guo, Wu (2024) with a small model: adapters are trained on the training half of each set (on the model's
safetensors folder) and scored on its dev half (on its GGUF file). Arms: demonstrations without LoRA; LoRA without demonstrations;
LoRA with random, sentence-level and span-level demonstrations; one question a type, or all types in one call; what two
demonstrations say without a model (their mentions that stand in the text), alone and added to what LoRA alone finds; and a CRF
tagger trained from scratch on the same sentences. Demonstrations come from the training half; a training sentence that stands in
dev as well is left out of both.

P, R, F1   strict micro scores, mean over the seeds; ± their standard deviation.
full - it  F1 of LoRA with span-level demonstrations minus the arm's, all seeds taken together; p by bootstrap: documents, the
           same for both arms, and each arm's seeds are resampled (not corrected for the number of arms).
minutes    of training, mean.

Every finished training and every answered document stays in the output folder: run it again to go on where it was, ``--report``
prints what there is. The folder holds text (mode 0600 where the commands write it); remove it when you are done. ``--export``
copies what the table is made of, numbers alone, to another folder: ``--report --output`` of that folder prints it again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from el4ner.environment import go_offline

go_offline()

import yaml  # noqa: E402
from mrc_experiment import work  # noqa: E402
from mrc_experiment.arms import ARMS, CORPORA, Corpus  # noqa: E402
from mrc_experiment.scores import rows_of, write_rows  # noqa: E402
from mrc_experiment.settings import Base, Run  # noqa: E402
from mrc_experiment.table import print_table  # noqa: E402
from mrc_experiment.tagger import is_installed  # noqa: E402

from el4ner.config import locate_model  # noqa: E402
from el4ner.errors import El4nerError, InputError  # noqa: E402

ROOT = Path(__file__).parents[1]
DATA_ROOT = ROOT.parent / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; returns the exit code: 0, or 2 with a message on standard error."""
    options = _parser().parse_args(arguments)
    there = [name for name in options.sets if (options.data_root / name / "train.jsonl").is_file()]
    names = options.sets if options.report else there
    if not names:
        print(
            f"skipped: {options.data_root} holds none of {', '.join(options.sets)} (--data-root names another folder)"
        )
        return 0
    try:
        experiment(options, [CORPORA[name] for name in names])
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def experiment(options: argparse.Namespace, corpora: Sequence[Corpus]) -> None:
    """Do the runs that are left, unless only a report is asked for, and print the table."""
    recipe = yaml.safe_load(options.recipe.read_text(encoding="utf-8"))
    named = (options.base, Path()) if options.base else (recipe["model"], options.recipe.parent)
    base = Base.of(locate_model(*named), options.gguf)
    runs = {corpus.name: plan(corpus, options) for corpus in corpora}
    for run in [] if options.report else [run for of_set in runs.values() for run in of_set]:
        if not work.is_done(run):
            print(f"{run.corpus.name}: {run.arm.name}, seed {run.seed}", file=sys.stderr)
            work.do(run, recipe, base, options.minutes, options.epochs or run.corpus.epochs)
    done = {name: [run for run in of_set if work.is_done(run)] for name, of_set in runs.items()}
    if options.export is not None:
        for of_set in done.values():
            work.export(of_set, options.output.resolve(), options.export)
    blocks = {name: rows_of(_by_arm(of_set), options.samples) for name, of_set in done.items()}
    if not options.report:
        write_rows(blocks, options.output / "table.json")
    print_table(blocks, {name: len(runs[name]) - len(done[name]) for name in runs})


def plan(corpus: Corpus, options: argparse.Namespace) -> list[Run]:
    """All runs on a set, its files put in place; the first seed of every arm comes first."""
    folder = options.output.resolve() / corpus.name
    dropped = 0 if options.report else prepare(options.data_root / corpus.name, folder, options.limit)
    if dropped:
        print(f"{corpus.name}: {dropped} training sentences stand in dev as well and are left out", file=sys.stderr)
    arms = [arm for arm in ARMS if arm.name in options.arms]
    if any(arm.crf for arm in arms) and not is_installed() and not options.report:
        print("CRF: left out, the package python-crfsuite is missing (pip install python-crfsuite)", file=sys.stderr)
        arms = [arm for arm in arms if not arm.crf]
    wanted = [(arm, seed) for seed in range(1, options.seeds + 1) for arm in arms if seed == 1 or arm.varies]
    return [
        Run(arm, corpus, seed, folder / arm.folder / f"seed-{seed}", folder / "train.jsonl", folder / "dev.jsonl")
        for arm, seed in wanted
    ]


def prepare(source: Path, folder: Path, limit: int | None) -> int:
    """Copy a set's halves into the output folder, readable by the owner alone; returns how many sentences were left out.

    What is there already is not written again: another experiment may be reading it.

    Raises:
        InputError: the folder holds other sentences already.
    """
    dev, train = (_records(source / f"{half}.jsonl") for half in ("dev", "train"))
    known = {record["text"] for record in dev}
    kept = [record for record in train if record["text"] not in known]
    folder.mkdir(parents=True, exist_ok=True)
    for half, records in (("dev", dev[:limit]), ("train", kept)):
        path, content = folder / f"{half}.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        if not path.is_file():
            path.touch(mode=0o600)
            path.write_text(content, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != content:
            raise InputError(f"{path} is of another experiment (another --limit, perhaps); give another --output")
    return len(train) - len(kept)


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _by_arm(runs: Sequence[Run]) -> dict[str, list[Run]]:
    return {arm.name: [run for run in runs if run.arm == arm] for arm in ARMS}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    names = [arm.name for arm in ARMS]
    add("--base", metavar="MODEL", help="what is tuned: a registry name, or a folder (default: the recipe's model)")
    add("--gguf", type=Path, metavar="FILE", help="what answers where --base is a folder: the same model's GGUF file")
    add(
        "--recipe",
        type=Path,
        default=ROOT / "configs" / "train" / "mrc-experiment.yaml",
        metavar="FILE",
        help="training configuration; set and arm change data, demonstrations and accumulate",
    )
    add("--epochs", type=float, metavar="N", help="of each training (default: 1 over resume_zh, 3 over weibo_zh)")
    add("--minutes", type=float, default=0, metavar="M", help="at most, of each training; 0 (default): all epochs")
    add("--seeds", type=int, default=3, metavar="N", help="trainings of each arm (default: %(default)s)")
    add("--sets", nargs="+", choices=CORPORA, default=list(CORPORA), metavar="SET", help="which sets (default: both)")
    add("--arms", nargs="+", choices=names, default=names, metavar="ARM", help=f"of: {'; '.join(names)} (default: all)")
    add("--limit", type=int, metavar="N", help="only the first N dev sentences")
    add("--data-root", type=Path, default=DATA_ROOT, metavar="DIR", help="folder of the labelled sets")
    add("--output", type=Path, default=ROOT / "out" / "mrc", metavar="DIR", help="folder (default: out/mrc)")
    add("--samples", type=int, default=1000, metavar="N", help="bootstrap samples (default: %(default)s)")
    add("--export", type=Path, metavar="DIR", help="copy the finished runs' figures, without texts, to this folder")
    add("--report", action="store_true", help="only print what is finished")
    return parser


if __name__ == "__main__":
    sys.exit(main())
