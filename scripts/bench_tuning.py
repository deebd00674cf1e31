"""What tuning a large model takes on this machine, against what is printed before it starts.

    python scripts/bench_tuning.py [--shape glm-4-9b] [--layers N] [--recipe FILE]

A model of that shape with random weights is written to a scratch folder and tuned by ``python -m el4ner.train --task mrc`` with
the recipe, once over the bundled pool's sentences: speed and memory hang on shapes, not on what a model knows. Without a card
the shape is ``tiny``.

memory     bytes at the peak against the estimate: on a card what PyTorch allocated; on a CPU what the process grew by, with all
           that the libraries and the allocator keep for themselves, which is most of it for a tiny shape.
time       seconds of the training loop against the estimate, which takes 35 % of the rate of a large matrix product for given.
rate       tokens a second, and the share of that matrix rate which was reached.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from el4ner.environment import go_offline

go_offline()

import torch  # noqa: E402
import yaml  # noqa: E402
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import AutoModelForCausalLM, Glm4Config, PreTrainedTokenizerFast  # noqa: E402

from el4ner.config import bundled_path, read_yaml  # noqa: E402
from el4ner.errors import ConfigError, El4nerError  # noqa: E402
from el4ner.train import __main__ as train_command  # noqa: E402
from el4ner.train.estimate import Estimate  # noqa: E402

RECIPES = Path(__file__).parents[1] / "configs" / "train"
RECIPE, LABELS = RECIPES / "glm-4-9b-mrc.yaml", RECIPES / "shared" / "per-loc-org.yaml"
SHAPES = {
    "glm-4-9b": {
        "hidden_size": 4096,
        "num_hidden_layers": 40,
        "intermediate_size": 13696,
        "num_attention_heads": 32,
        "num_key_value_heads": 2,
        "vocab_size": 151_552,
    },
    "tiny": {
        "hidden_size": 512,
        "num_hidden_layers": 4,
        "intermediate_size": 1536,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 16_000,
    },
}
GB = 1e9
END, PAD, VOCABULARY = "<|end|>", "<|pad|>", 8000
STATUS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune a model of the shape and print the figures; returns the exit code of the training."""
    options = _parser().parse_args(arguments)
    if options.train is not None:
        return _train(options.train)
    try:
        recipe = read_recipe(options.recipe)
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shape = options.shape or ("glm-4-9b" if torch.cuda.is_available() else "tiny")
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        values = write_model(folder / "model", SHAPES[shape], options.layers)
        config = write_config(folder, recipe, options.sentences)
        command = [sys.executable, __file__, "--train", str(config)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        print(f"{shape}: {values / 1e9:.2f} billion random values")
        trained, needed = map(json.loads, done.stdout.splitlines()[-2:])
        print_figures(needed | {"measured_time": trained["train_runtime"]})
    return done.returncode


def write_model(folder: Path, shape: dict[str, int], layers: int | None) -> int:
    """Write a GLM-4 with random weights in 16 bits and byte pairs of the pool's sentences; returns its number of values."""
    tokenizer = byte_pairs()
    changed = {} if layers is None else {"num_hidden_layers": layers}
    ids = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = Glm4Config(
        **shape | changed, head_dim=128, tie_word_embeddings=False, pad_token_id=tokenizer.pad_token_id, **ids
    )
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = AutoModelForCausalLM.from_config(config)
    finally:
        torch.set_default_dtype(dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    values = int(model.num_parameters())
    del model
    torch.cuda.empty_cache()  # the training has the card to itself
    return values


def byte_pairs() -> PreTrainedTokenizerFast:
    """A tokenizer for the bundled pool's sentences; the model's own cuts them into about as many tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    pool = bundled_path("bundled:pool.jsonl").read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator([json.loads(line)["text"] for line in pool], trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in (END, PAD)])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, padding_side="left")
    wrapped.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '" + END + "' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return wrapped


def read_recipe(path: Path) -> dict[str, Any]:
    """A training configuration as it stands in its file.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("optimisation"), dict):
        raise ConfigError(f"{path} has no section optimisation; give a recipe such as configs/train/glm-4-9b-mrc.yaml")
    return content


def write_config(folder: Path, recipe: dict[str, Any], sentences: int | None) -> Path:
    """The recipe over sentences of the bundled pool, with the model that lies in the folder."""
    pool = bundled_path("bundled:pool.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "pool.jsonl").write_text("".join(pool[:sentences]), encoding="utf-8")
    content = recipe | {
        "model": str(folder / "model"),
        "output": str(folder / "adapter"),
        "labels": str(LABELS),
        "data": [{"path": str(folder / "pool.jsonl"), "language": "en"}],
        "optimisation": recipe["optimisation"] | {"epochs": 1},
        "evaluation": {"fraction": 0},
        "device": "auto",
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


class Watch(logging.Handler):
    """Keeps the estimate that the training command logs, and what the process held then."""

    estimate: Estimate | None = None
    held = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Look for the estimate among what is logged."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, Estimate):
                self.estimate, self.held = argument, _status("VmRSS")
                CLEAR_PEAK.write_text("5", encoding="ascii")


def print_figures(figures: dict[str, Any]) -> None:
    """Three lines: memory, time and rate."""
    print(f"{'':<10}{'estimate':>12}{'measured':>12}{'ratio':>8}")
    for name, unit, scale in (("memory", "GB", GB), ("time", "s", 1.0)):
        said, was = (figures[f"{kind}_{name}"] / scale for kind in ("estimated", "measured"))
        print(f"{name:<10}{said:>9.2f} {unit:<2}{was:>9.2f} {unit:<2}{was / said:>8.2f}")
    reached, rate = figures["operations"] / figures["measured_time"], figures["matrix_rate"]
    print(
        f"rate: {figures['tokens'] / figures['measured_time']:,.0f} tokens a second on {figures['device']}, "
        f"{reached / rate:.0%} of {rate / 1e12:,.2f} TFLOP/s"
    )


def _train(config: Path) -> int:
    """Run the training command in this process, which prints its figures as a line of JSON, and print ours below."""
    watch = Watch()
    logging.getLogger("el4ner.train").addHandler(watch)
    code = train_command.main(["--task", "mrc", "--config", str(config)])
    if code == 0:
        assert watch.estimate is not None, "the training command logs its estimate"
        print(json.dumps(_figures(watch.estimate, watch.held)))
    return code


def _figures(estimate: Estimate, held: int) -> dict[str, Any]:
    on_card = torch.cuda.is_available()
    return {
        "estimated_memory": estimate.total,
        "measured_memory": torch.cuda.max_memory_allocated() if on_card else _status("VmHWM") - held,
        "estimated_time": estimate.seconds,
        "tokens": estimate.tokens,
        "operations": estimate.tokens * estimate.operations,
        "matrix_rate": estimate.rate,
        "device": estimate.device,
    }


def _status(name: str) -> int:
    """Bytes that Linux says this process holds (``VmRSS``), or held at most since that was last cleared (``VmHWM``)."""
    (line,) = (line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shape", choices=SHAPES, help="of the model (default: glm-4-9b on a card, else tiny)")
    add("--layers", type=int, metavar="N", help="that many layers instead of the shape's, for a smaller card")
    add("--recipe", type=Path, default=RECIPE, metavar="FILE", help="how it is tuned (default: GLM-4-9B's)")
    add("--sentences", type=int, metavar="N", help="of the bundled pool (default: all)")
    add("--scratch", type=Path, metavar="DIR", help="where the model is put for the time (19 GB for glm-4-9b)")
    add("--train", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
