"""How fast a small model is tuned here: what sharing, rows, compiling and lower precision are worth.

    python scripts/bench_training.py [--model smollm2-135m] [--steps 5]

Questions about the bundled pool's sentences, 2,048 tokens a step, on one thread: all weights of the model learn them in each
setting in turn. Answer tokens a second are what counts, since settings differ in how many tokens they compute for them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from el4ner.config import bundled_path, locate_model  # noqa: E402
from el4ner.errors import El4nerError  # noqa: E402
from el4ner.models.resolve import weights_folder  # noqa: E402
from el4ner.train.batches import Batches  # noqa: E402
from el4ner.train.config import TrainConfig  # noqa: E402
from el4ner.train.datasets import build_sets  # noqa: E402
from el4ner.train.models import load_model, load_tokenizer  # noqa: E402
from el4ner.train.shared_prefix import shared_logits  # noqa: E402
from el4ner.train.tuning import answer_logits  # noqa: E402

LABELS = [
    {"name": name, "words": {"en": word}}
    for name, word in (("PER", "person"), ("LOC", "location"), ("ORG", "organization"))
]
SETTINGS = {
    "one by one": {},
    "share_prefix": {"share_prefix": True},
    "+ compile": {"share_prefix": True, "compile": True},
    "+ bfloat16": {"share_prefix": True, "compile": True, "precision": "bfloat16"},
}


def config_of(model: Path, **optimisation: object) -> TrainConfig:
    """Questions about the bundled pool, in a setting."""
    return TrainConfig.model_validate(
        {
            "model": str(model),
            "output": "-",
            "prompt_style": "compact",
            "labels": LABELS,
            "data": [{"path": str(bundled_path("bundled:pool.jsonl")), "language": "en"}],
            "tasks": {"extract": 0, "classify": 0, "verify": 0, "mrc": 1, "negatives": 9, "zero_shot": 1},
            "demonstrations": {"method": "none"},
            "optimisation": {"epochs": 4, "batch_tokens": 2048, "max_length": 256, **optimisation},
            "evaluation": {"fraction": 0},
            "device": "cpu",
        }
    )


def measure(config: TrainConfig, steps: int) -> tuple[float, float]:
    """Seconds a step, and answer tokens a second; the first two steps, which compile, are not counted."""
    torch.manual_seed(config.seed)
    batches: Batches = build_sets(config, load_tokenizer(config.model)).train
    model = load_model(config).train()
    if config.optimisation.compile:
        model.base_model.compile()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    started, answered = 0.0, 0
    for step in range(steps + 2):
        if step == 2:
            started, answered = time.perf_counter(), 0
        batch = dict(batches[step % (len(batches) - 1)])
        with torch.autocast("cpu", torch.bfloat16, enabled=config.optimisation.precision == "bfloat16"):
            shares = "tails" in batch
            logits, targets = (
                shared_logits(model, batch) if shares else answer_logits(model, batch, batch.pop("labels"))
            )
        optimiser.zero_grad()
        functional.cross_entropy(logits.float(), targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        answered += len(targets)
    took = time.perf_counter() - started
    return took / steps, answered / took


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all settings and print a table; returns the exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="smollm2-135m", help="registry name or model folder (default: %(default)s)")
    add("--steps", type=int, default=5, metavar="N", help="of each setting (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        compare(weights_folder(locate_model(options.model, Path())), options.steps)
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def compare(folder: Path, steps: int) -> None:
    """Measure all settings and print a table.

    Raises:
        ModelError: the model cannot be loaded.
    """
    print(f"{'setting':<14}{'s a step':>10}{'answer tokens a s':>19}{'ratio':>8}")
    first = 0.0
    for name, setting in SETTINGS.items():
        seconds, rate = measure(config_of(folder, **setting), steps)
        first = first or rate
        print(f"{name:<14}{seconds:>10.2f}{rate:>19.0f}{rate / first:>8.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
