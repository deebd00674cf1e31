"""Two adapters of one model compared by how probable they find the right answers: far less noise than F1 from few sentences.

    python scripts/bench_likelihood.py FORMER PRESENT [--model qwen2.5-coder-0.5b] [--sentences 25] [--data-root DATA]

Each sentence of the sets below is asked about zero-shot, in one pass, as members of role single-pass are; half of the sentences
without entities are left out. Sets with their own label sets in ``configs/train``; none is in the training data but for the
training half of the Chinese one. Float32 on the CPU: about 1.5 seconds a sentence and adapter on two cores.

nats        negative log-likelihood of the right answer, the sign that ends it included, mean over the sentences
gain        former minus present, mean over the same sentences; ± its standard error
"""

import argparse
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from el4ner.environment import go_offline

go_offline()

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from el4ner.config import LabelConfig, Language, read_yaml  # noqa: E402
from el4ner.models.resolve import weights_folder  # noqa: E402
from el4ner.prompts.marking import Marking  # noqa: E402
from el4ner.scoring.predictions import read_gold  # noqa: E402

ROOT = Path(__file__).parents[1]
DATA_ROOT = ROOT.parent / "shared" / "data"
SETS: dict[str, tuple[Language, str]] = {
    "uner_en_ewt": ("en", "configs/labels/per-loc-org.yaml"),
    "uner_zh_gsdsimp": ("zh", "configs/labels/per-loc-org.yaml"),
    "conll04": ("en", "configs/train/labels/conll04.yaml"),
    "crossner_music": ("en", "configs/train/labels/crossner-music.yaml"),
}
"""Language and label set of each set, by its folder."""


class Likelihood:
    """One model with two adapters, ``former`` and ``present``."""

    def __init__(self, model: str, former: Path, present: Path) -> None:
        folder = weights_folder(model)
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = PeftModel.from_pretrained(base, str(former), adapter_name="former")
        self._model.load_adapter(str(present), adapter_name="present")
        self._model.eval()

    @torch.no_grad()
    def nats(self, adapter: str, messages: list[dict[str, str]], answer: str) -> float:
        """The negative log-likelihood of an answer, in nats."""
        self._model.set_adapter(adapter)
        prompt = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        asked, right = (self._ids(text) for text in (prompt, answer + self._tokenizer.eos_token))
        model = self._model.get_base_model()
        states = model.model(torch.cat([asked, right])[None]).last_hidden_state[0, len(asked) - 1 : -1]
        return -float(model.lm_head(states).log_softmax(-1).gather(1, right[:, None]).sum())

    def _ids(self, text: str) -> torch.Tensor:
        return torch.tensor(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def questions(name: str, root: Path, count: int) -> Iterator[tuple[list[dict[str, str]], str]]:
    """Conversations about sentences of a set, and the right answers."""
    language, labels = SETS[name]
    marking = Marking("full", [LabelConfig.model_validate(label) for label in read_yaml(ROOT / labels)])
    gold = [d for d in read_gold(root / name / "dev.jsonl") if d.entities or random.Random(d.id).random() < 0.5]
    for document in random.Random(7).sample(gold, min(count, len(gold))):
        messages = marking.ask(language, document.text, ())
        yield [{"role": m.role, "content": m.content} for m in messages], marking.answer(language, document)


def main() -> int:
    """Print a row for each set that is there."""
    options = _options()
    names = [name for name in SETS if (options.data_root / name / "dev.jsonl").is_file()]
    if not names:
        print(f"skipped: {options.data_root} holds none of {', '.join(SETS)} (--data-root names another folder)")
        return 0
    model = Likelihood(options.model, options.former, options.present)
    print(f"{'set':18}{'sentences':>10}{'former':>9}{'present':>9}{'gain':>8}")
    for name in names:
        asked = list(questions(name, options.data_root, options.sentences))
        former, present = ([model.nats(adapter, *one) for one in asked] for adapter in ("former", "present"))
        gains = [a - b for a, b in zip(former, present, strict=True)]
        error = statistics.stdev(gains) / len(gains) ** 0.5
        means = f"{statistics.mean(former):9.3f}{statistics.mean(present):9.3f}{statistics.mean(gains):8.3f}"
        print(f"{name:18}{len(asked):10}{means} ± {error:.3f}", flush=True)
    return 0


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("former", type=Path, help="folder of an adapter")
    parser.add_argument("present", type=Path, help="folder of another adapter of the same model")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", metavar="NAME", help="%(default)s")
    parser.add_argument("--sentences", type=int, default=25, metavar="N", help="of each set (%(default)s)")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
