"""``python -m el4ner.train``: tune a causal language model on the pipeline's own prompts."""

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

from el4ner.environment import go_offline

go_offline()

from el4ner.commands import OK, run_command  # noqa: E402
from el4ner.errors import ConfigError, ModelError  # noqa: E402
from el4ner.learn.config import TrainConfig, load_train_config  # noqa: E402

log = logging.getLogger("el4ner.train")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it reports which of its builds it tries

    def work() -> int:
        config = load_train_config(options.config, options.data_root)
        changed = {key: value for key in ("model", "output") if (value := getattr(options, key))}
        train(config.model_copy(update=changed), resume=options.resume, dry_run=options.dry_run)
        return OK

    return run_command("train", work)


def train(config: TrainConfig, *, resume: bool = False, dry_run: bool = False) -> None:
    """Tune, and write model, tokenizer and card to ``config.output``; checkpoints lie in ``OUTPUT.work`` until the end.

    Raises:
        El4nerError: the model, the data or the settings cannot work.
    """
    import transformers

    from el4ner.learn.batches import Batches
    from el4ner.learn.card import model_card
    from el4ner.learn.data import read_sentences, split
    from el4ner.learn.examples import ExampleMaker, plan_epochs
    from el4ner.learn.retrieval import build_retrieve
    from el4ner.learn.tuning import add_lora, tune
    from el4ner.members.weights import check_model_folder
    from el4ner.prompts.formats import answer_format
    from el4ner.prompts.render import Prompts

    output = Path(config.output)
    work = output.with_name(output.name + ".work")
    if not (resume or dry_run) and any(work.glob("checkpoint-*")):
        raise ConfigError(f"{work} holds checkpoints of an earlier run; go on with --resume, or remove that folder")
    check_model_folder(Path(config.model))
    transformers.set_seed(config.seed)
    tokenizer = _load(transformers.AutoTokenizer, config.model)
    _check_tokenizer(tokenizer, config.model)
    if config.optimisation.share_prefix:
        _check_shares(config.model)
    sentences = read_sentences(config.data)
    if not dry_run:
        work.mkdir(parents=True, exist_ok=True)  # whether that works is better known before the hours of training
    learnt, held_out = split(sentences, config.evaluation.fraction, config.seed)
    prompts = Prompts(config.prompt_style, config.labels, config.none_words)
    retrieve = build_retrieve(learnt, config)
    most_shown = 0 if config.demonstrations.method == "none" else config.demonstrations.k

    def batches(part: list[Any], epochs: float) -> Batches:
        maker = ExampleMaker(
            part, prompts, answer_format(config.answer_format), [label.name for label in config.labels],
            retrieve, config.seed,
        )  # fmt: skip
        plans = plan_epochs(part, config.tasks, most_shown, epochs, config.seed)
        o = config.optimisation
        log.info("%d examples from %d sentences", len(plans), len(part))
        made = Batches(plans, maker, tokenizer, o.batch_tokens, o.max_length, config.seed, share_prefix=o.share_prefix)
        log.info("%s", made.cost)
        return made

    train_batches = batches(learnt, config.optimisation.epochs)
    evaluation = batches(held_out, 1.0) if held_out else None
    if dry_run:
        print(
            f"{train_batches.cost}; {round(train_batches.cost.tokens / config.optimisation.epochs):,} tokens an epoch"
        )
        _show_first(train_batches, tokenizer)
        return
    model = _load(transformers.AutoModelForCausalLM, config.model, dtype="float32", use_safetensors=True)
    if config.lora is not None:
        model = add_lora(model, config.lora)
    figures = tune(model, config, train_batches, evaluation, work, resume)
    counts = {"sentences": len(learnt), "held out": len(held_out), "left out as too long": train_batches.too_long}
    _save(model, tokenizer, model_card(config, figures, counts), output)
    shutil.rmtree(work, ignore_errors=True)
    print(json.dumps({"output": str(output), **figures, **counts}))


def _save(model: Any, tokenizer: Any, card: str, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output, safe_serialization=True)
    tokenizer.save_pretrained(output)
    (output / "README.md").write_text(card, encoding="utf-8")


def _load(kind: Any, folder: str, **settings: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return kind.from_pretrained(folder, **settings)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be loaded ({type(error).__name__}); check that the download is complete"
        ) from error


def _check_tokenizer(tokenizer: Any, model: str) -> None:
    if not tokenizer.chat_template:
        raise ModelError(
            f"{model} has no chat template; tune an instruction model, or add chat_template.jinja to the folder"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def _check_shares(folder: str) -> None:
    """Refuse ``share_prefix`` for a model that would read a shared prompt differently; no weights are loaded."""
    import torch
    import transformers

    from el4ner.members.prefixes import can_share

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(_load(transformers.AutoConfig, folder))
    if not can_share(model):
        raise ConfigError(
            f"optimisation.share_prefix: {folder} ({model.config.model_type}) has a sliding window, recurrent layers or "
            "rescaled logits, and would be trained on something else than it reads later; set share_prefix: false"
        )


def _show_first(batches: Any, tokenizer: Any) -> None:
    from el4ner.learn.encode import IGNORE

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
    parser = argparse.ArgumentParser(prog="python -m el4ner.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file; see configs/train/")
    parser.add_argument(
        "--data-root", type=Path, help="folder that the data paths of the configuration are relative to"
    )
    parser.add_argument("--model", help="tune this folder instead of the configuration's")
    parser.add_argument("--output", help="write to this folder instead of the configuration's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="check everything and show the first example")
    return parser


if __name__ == "__main__":
    sys.exit(main())
