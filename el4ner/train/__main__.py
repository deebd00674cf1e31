"""``python -m el4ner.train``: tune a causal language model on the pipeline's own prompts."""

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from el4ner.environment import go_offline

go_offline()

from el4ner.commands import OK, run_command  # noqa: E402
from el4ner.config import locate_model  # noqa: E402
from el4ner.devices import check_device  # noqa: E402
from el4ner.errors import ConfigError  # noqa: E402
from el4ner.train.config import TrainConfig, load_train_config  # noqa: E402

if TYPE_CHECKING:
    from el4ner.train.datasets import TrainingSets
    from el4ner.train.estimate import Estimate

log = logging.getLogger("el4ner.train")
EPILOG = "`python -m el4ner.train merge --adapter DIR --output DIR` merges an adapter into its base; see its --help."


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it reports which of its builds it tries
    if words[:1] == ["merge"]:
        merging = _merge_parser().parse_args(words[1:])
        return run_command("train", lambda: _merge(merging))
    options = _parser().parse_args(words)

    def work() -> int:
        config = load_train_config(options.config, options.data_root, options.data)
        changed: dict[str, Any] = {key: value for key in ("model", "output") if (value := getattr(options, key))}
        if options.model:
            changed["model"] = locate_model(options.model, Path())
        if options.task is not None:
            changed["tasks"] = config.tasks.only(options.task)
        train(config.model_copy(update=changed), resume=options.resume, dry_run=options.dry_run)
        return OK

    return run_command("train", work)


def train(config: TrainConfig, *, resume: bool = False, dry_run: bool = False) -> None:
    """Tune, and write model, tokenizer and card to ``config.output``; checkpoints lie in ``OUTPUT.work`` until the end.

    Raises:
        El4nerError: the model, the data or the settings cannot work.
    """
    import transformers

    from el4ner.engines.tuning_record import read_tuning_record, write_tuning_record
    from el4ner.models.weights import check_model_folder
    from el4ner.train.card import model_card, tuning_record_of
    from el4ner.train.datasets import build_sets
    from el4ner.train.models import load_model, load_tokenizer
    from el4ner.train.tuning import add_lora, tune

    output = Path(config.output)
    work = output.with_name(output.name + ".work")
    if not (resume or dry_run) and any(work.glob("checkpoint-*")):
        raise ConfigError(f"{work} holds checkpoints of an earlier run; go on with --resume, or remove that folder")
    config = _with_folder(config)
    check_model_folder(Path(config.model))
    if config.device != "auto":
        check_device(config.device, "training")
    transformers.set_seed(config.seed)
    tokenizer = load_tokenizer(config.model)
    outlined = _checked_outline(config)
    if not dry_run:
        work.mkdir(parents=True, exist_ok=True)  # whether that works is better known before the hours of training
    sets = build_sets(config, tokenizer)
    if dry_run:
        cost = sets.train.cost
        print(f"{cost}; {round(cost.tokens / config.optimisation.epochs):,} tokens an epoch")
        print(_estimate(outlined, config, sets))
        _show_first(sets.train, tokenizer)
        return
    log.info("%s", _estimate(outlined, config, sets))
    transformers.set_seed(config.seed)
    model = load_model(config)
    if config.lora is not None:
        model = add_lora(model, config.lora)
    figures = tune(model, config, sets.train, sets.held_out, work, resume)
    _save(model, tokenizer, model_card(config, figures, sets.counts), output)
    write_tuning_record(output, read_tuning_record(config.model), tuning_record_of(config))
    shutil.rmtree(work, ignore_errors=True)
    print(json.dumps({"output": str(output), **figures, **sets.counts}))


def _with_folder(config: TrainConfig) -> TrainConfig:
    """The configuration with the folder of its model where it has a name, and whom to name for it.

    Raises:
        El4nerError: a name that is not installed, or unknown.
    """
    from el4ner.models.registry import registry
    from el4ner.models.resolve import weights_folder

    entry = registry().get(config.model)
    credit = f"{entry.title} by {entry.maker}, {entry.licence.name}" if entry else ""
    changed = {"model": str(weights_folder(config.model)), "base_credit": config.base_credit or credit}
    return config.model_copy(update=changed)


def _checked_outline(config: TrainConfig) -> Any:
    """The model without its weights, found fit for what the configuration asks.

    Raises:
        El4nerError: it is not.
    """
    from el4ner.serve.adapters import check_targets
    from el4ner.train.models import check_quantises, check_shares, outline
    from el4ner.train.tuning import check_adapted

    outlined = outline(config.model)
    if config.optimisation.share_prefix:
        check_shares(outlined, config.model)
    check_quantises(config)
    if config.lora is not None:
        check_adapted(outlined, config.lora)
        if config.lora.served:
            where = "lora.targets (or set lora.served: false, and merge it later)"
            check_targets(type(outlined).__name__, set(config.lora.targets), where)
    return outlined


def _estimate(outlined: Any, config: TrainConfig, sets: "TrainingSets") -> "Estimate":
    """What the run will need; an adapter is put on the outline for it."""
    from el4ner.train.estimate import estimate
    from el4ner.train.tuning import add_lora

    model = outlined if config.lora is None else add_lora(outlined, config.lora.model_copy(update={"start": None}))
    return estimate(model, config, sets.train[sets.train.largest], sets.train.cost.tokens)


def _merge(options: argparse.Namespace) -> int:
    from el4ner.models.resolve import weights_folder
    from el4ner.train.merging import merge

    model = weights_folder(locate_model(options.model, Path())) if options.model else None
    base = merge(options.adapter, options.output, model, options.dtype)
    print(json.dumps({"output": str(options.output), "base": str(base)}))
    return OK


def _save(model: Any, tokenizer: Any, card: str, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output, safe_serialization=True)
    tokenizer.save_pretrained(output)
    (output / "README.md").write_text(card, encoding="utf-8")


def _show_first(batches: Any, tokenizer: Any) -> None:
    from el4ner.train.encode import IGNORE

    print("the first example of the first batch ([...] bears the loss):\n")
    first = batches[0]
    if "tails" in first:
        tail = first["tails"][0]
        prefix = first["prefix_ids"][tail["owners"][0]].tolist()
        ids, labels = [*prefix, *tail["ids"][0].tolist()], [IGNORE] * len(prefix) + tail["labels"][0].tolist()
    else:
        ids, labels = first["input_ids"][0].tolist(), first["labels"][0].tolist()
    text, inside = "", False
    for token, label in zip(ids, labels, strict=True):
        if (label != IGNORE) != inside:
            text += " [" if not inside else "] "
            inside = not inside
        text += tokenizer.decode([token]) + " "
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m el4ner.train", description=__doc__, epilog=EPILOG)
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see configs/train/")
    parser.add_argument(
        "--data-root", type=Path, help="folder that the data paths of the configuration are relative to"
    )
    parser.add_argument(
        "--task",
        choices=("extract", "classify", "verify", "mark", "mrc"),
        help="learn this task alone; default: the configuration's tasks",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="YAML list of labelled files in place of the configuration's"
    )
    parser.add_argument("--model", help="tune this folder or name instead of the configuration's")
    parser.add_argument("--output", help="write to this folder instead of the configuration's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="check everything, show needs and first example")
    return parser


def _merge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m el4ner.train merge", description="Merge a LoRA adapter into its base; writes a model folder."
    )
    parser.add_argument("--adapter", type=Path, required=True, help="folder that training wrote")
    parser.add_argument("--output", type=Path, required=True, help="folder for the merged model")
    parser.add_argument("--model", help="folder or name of the base; default: the folder that the adapter names")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="precision of the result; default: the base's"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
