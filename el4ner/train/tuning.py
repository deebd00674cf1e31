"""Tuning of a causal language model on encoded conversations, with Transformers' Trainer and PEFT."""

import logging
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)

from el4ner.errors import ConfigError, ModelError
from el4ner.text.files import load_json
from el4ner.train.batches import Batches
from el4ner.train.budget import TimeBudget
from el4ner.train.config import LoraConfig, TrainConfig
from el4ner.train.encode import IGNORE
from el4ner.train.models import device_of, is_tied
from el4ner.train.prefix_cache import RESCALES_LOGITS, unwrapped
from el4ner.train.shared_prefix import shared_logits

log = logging.getLogger(__name__)
_CHECKPOINTING = (
    f"{'activation' if hasattr(TrainingArguments, 'activation_checkpointing') else 'gradient'}_checkpointing"
)
"""The setting's name in the installed version of Transformers; newer ones warn of the old name."""


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose batches come ready, and that computes logits at answer tokens alone (most tokens bear no loss)."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # The loss below is a mean per batch: the Trainer must divide it where several batches make one update.
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Mean cross-entropy of the answer tokens of the batch."""
        # The Trainer lowers precision inside the model's own forward, and here only its layers are called.
        with self.accelerator.autocast():
            if "tails" in inputs:
                logits, targets = shared_logits(model, inputs)
            else:
                labels = inputs.pop("labels")
                logits, targets = answer_logits(model, inputs, labels)
        loss = functional.cross_entropy(logits.float(), targets) if len(targets) else logits.sum() * 0
        return (loss, {"logits": logits.detach()}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> tuple[Any, None, None]:
        """The loss alone; the Trainer's own step looks for labels where shared batches have none."""
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None


class FiguresLog(TrainerCallback):  # type: ignore[misc]
    """Logs the Trainer's figures; its own callbacks print them on stdout, which is for results."""

    def on_log(self, _arguments: Any, state: TrainerState, _control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Log loss, learning rate and the like of the step."""
        figures = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in logs.items()
        )
        log.info("step %d of %d: %s", state.global_step, state.max_steps, ", ".join(figures))


class ProgressBar(ProgressCallback):  # type: ignore[misc]
    """The Trainer's progress bar (on stderr) without its figures."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Nothing; see :class:`FiguresLog`."""


def answer_logits(
    model: Any, inputs: dict[str, torch.Tensor], labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(n, vocabulary)`` that predict the ``n`` answer tokens of a batch, and those tokens ``(n,)``."""
    where = labels[:, 1:] != IGNORE
    targets = labels[:, 1:][where]
    inner = unwrapped(model)
    if any(getattr(inner.config, name, None) for name in RESCALES_LOGITS):
        return model(**inputs).logits[:, :-1][where], targets
    hidden = inner.base_model(**inputs).last_hidden_state
    return inner.get_output_embeddings()(hidden[:, :-1][where]), targets


def add_lora(model: Any, lora: LoraConfig) -> Any:
    """The model with trainable adapters, new ones or those of ``lora.start``; everything else is frozen.

    Raises:
        ConfigError: a target matches no module, or a fused one that vLLM cannot serve; or ``lora.start`` has another shape.
    """
    from peft import LoraConfig as PeftLora
    from peft import PeftConfig, PeftModel, get_peft_model

    check_adapted(model, lora)
    if lora.start is not None:
        known = PeftConfig.from_pretrained(lora.start)
        if (known.r, set(known.target_modules)) != (lora.rank, set(lora.targets)):
            raise ConfigError(
                f"lora.start {lora.start} has rank {known.r} and targets {sorted(known.target_modules)}; set these, "
                "or leave start out"
            )
        return PeftModel.from_pretrained(model, lora.start, is_trainable=True)
    settings = PeftLora(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, settings)


def check_adapted(model: Any, lora: LoraConfig) -> None:
    """Refuse targets that a model has not, or that nobody could serve; its weights are not looked at.

    Raises:
        ConfigError: a target matches no module, is a fused one that vLLM cannot serve, or the tied output embeddings.
    """
    endings = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    missing = sorted(set(lora.targets) - endings)
    if missing:
        raise ConfigError(
            f"lora.targets {missing} match no linear module; this model has {sorted(endings - {'lm_head'})}"
        )
    if lora.served and "gate_up_proj" in lora.targets:
        raise ConfigError(
            "lora.targets: gate_up_proj is fused and vLLM refuses such adapters; leave it out, or set lora.served: false"
        )
    head = model.get_output_embeddings()
    tied = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if module is head and is_tied(model)}
    if tied & set(lora.targets):
        raise ConfigError(
            f"lora.targets {sorted(tied)} is one matrix with the input embeddings here, and cannot be merged; leave it out"
        )


def tune(
    model: Any, config: TrainConfig, train: Batches, held_out: Batches | None, work: Path, resume: bool
) -> dict[str, Any]:
    """Tune the model in place; checkpoints go to ``work``. Returns the Trainer's figures.

    Raises:
        ModelError: the loss is no number, so the weights are spoilt.
    """
    if config.optimisation.compile:
        unwrapped(model).base_model.compile()
    o = config.optimisation
    budget = [TimeBudget(o.max_minutes, o.learning_rate, o.schedule, o.warmup)] if o.max_minutes else []
    patience = config.evaluation.patience if held_out is not None else 0
    trainer = AnswerTrainer(
        model=model,
        args=_arguments(config, work, len(train), evaluate=held_out is not None),
        train_dataset=train,
        eval_dataset=held_out,
        data_collator=lambda batches: batches[0],
        callbacks=[*budget, FiguresLog(), *([EarlyStoppingCallback(patience)] if patience else [])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(ProgressBar)
    checkpoint = _last_checkpoint(work) if resume else None
    if resume and checkpoint is None:
        log.warning("nothing to resume in %s; starting afresh", work)
    outcome = trainer.train(resume_from_checkpoint=checkpoint)
    if outcome.training_loss != outcome.training_loss:
        raise ModelError("the training loss is not a number; lower learning_rate or use precision: float32")
    figures = dict(outcome.metrics)
    if held_out is not None:
        figures |= trainer.evaluate()
    return figures


def _arguments(config: TrainConfig, work: Path, batches: int, evaluate: bool) -> TrainingArguments:
    o = config.optimisation
    updates = math.ceil(batches / o.accumulate)
    use_cpu = device_of(config) == "cpu"
    arguments = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=o.accumulate,
        num_train_epochs=1,
        max_steps=min(o.max_steps, updates) or -1,
        learning_rate=o.learning_rate,
        lr_scheduler_type=o.schedule,
        warmup_steps=o.warmup,
        weight_decay=o.weight_decay,
        max_grad_norm=1.0,
        bf16=o.precision == "bfloat16",
        **{_CHECKPOINTING: o.gradient_checkpointing},
        use_cpu=use_cpu,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=config.evaluation.every_steps,
        save_strategy="steps",
        save_steps=config.evaluation.every_steps,
        save_total_limit=2,
        load_best_model_at_end=bool(config.evaluation.patience) and evaluate,
        metric_for_best_model="eval_loss",
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_steps=50,
        logging_nan_inf_filter=False,
        report_to=[],
        seed=config.seed,
        dataloader_num_workers=0,
        dataloader_pin_memory=not use_cpu,
        train_sampling_strategy="sequential",
        disable_tqdm=os.environ.get("EL4NER_QUIET") == "1",
    )
    # With several GPUs in one process, the Trainer would hand several batches to the collator, which keeps the first.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _last_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was written to its end; its state comes last."""
    numbered = sorted(((int(p.name.rsplit("-", 1)[-1]), p) for p in work.glob("checkpoint-*")), reverse=True)
    for _, path in numbered:
        if _is_whole(path / "trainer_state.json"):
            return str(path)
        log.warning("%s was not written to its end; it is passed over", path)
    return None


def _is_whole(state: Path) -> bool:
    try:
        return isinstance(load_json(state), dict)
    except (OSError, ValueError):
        return False
