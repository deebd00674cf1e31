"""``python -m el4ner.starter.publish``: a trained member in half precision with its card, as it ships."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from el4ner.commands import OK, run_command  # noqa: E402
from el4ner.errors import InputError  # noqa: E402
from el4ner.members.tuned import read_tuned, write_tuned  # noqa: E402
from el4ner.models.weights import check_adapter_folder, check_model_folder  # noqa: E402

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def publish(trained: Path, target: Path) -> int:
    """Copy a trained model to ``target`` with float16 weights, its tokenizer and its card. Returns the bytes written.

    An adapter goes without its base and its base's tokenizer.

    Raises:
        ModelError: the trained folder is not complete.
    """
    if (trained / ADAPTER).is_file():
        return _publish_adapter(trained, target)
    check_model_folder(trained)
    model = transformers.AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float16, use_safetensors=True)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target, safe_serialization=True)
    transformers.AutoTokenizer.from_pretrained(trained).save_pretrained(target)
    return _with_papers(trained, target)


def _publish_adapter(trained: Path, target: Path) -> int:
    check_adapter_folder(trained)
    settings = json.loads((trained / ADAPTER).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = Path(settings["base_model_name_or_path"]).name
    weights = safetensors.torch.load_file(trained / ADAPTER_WEIGHTS)
    target.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({name: values.half() for name, values in weights.items()}, target / ADAPTER_WEIGHTS)
    (target / ADAPTER).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return _with_papers(trained, target)


def _with_papers(trained: Path, target: Path) -> int:
    """Add the card, and the note of what it was tuned on; the bytes of all."""
    shutil.copyfile(trained / "README.md", target / "README.md")
    write_tuned(target, read_tuned(trained))
    return sum(path.stat().st_size for path in target.iterdir())


def add_scores(card: Path, ablation: Path, member: str) -> None:
    """Put the scores of a member alone, from the ``ablation.json`` of ``scripts/ablate.py``, into its card.

    Raises:
        InputError: the file is not such a table, or has no row for that member.
    """
    try:
        blocks = json.loads(ablation.read_text(encoding="utf-8"))["sets"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{ablation} is not the ablation.json of scripts/ablate.py") from error
    rows = []
    for block in blocks:
        scores = block["scores"].get(f"alone {member}")
        if scores is None:
            raise InputError(f"{ablation} has no row 'alone {member}'; run scripts/ablate.py --only 'alone *'")
        figures = " | ".join(f"{100 * scores[name]:.1f}" for name in ("precision", "recall", "f1", "span_f1"))
        rows.append(f"| {block['name']} | {block['documents']} | {figures} |")
    head = ["| dev set, not trained on | sentences | P | R | F1 | F1 of spans |", "|---|---|---|---|---|---|"]
    about = "The member alone in the whole pipeline, strict micro scores: `python scripts/ablate.py --only 'alone *'`."
    text = card.read_text(encoding="utf-8").split("\n## Scores\n")[0].rstrip()
    card.write_text("\n".join([text, "", "## Scores", "", about, "", *head, *rows, ""]), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m el4ner.starter.publish", description=__doc__)
    parser.add_argument("trained", type=Path, help="folder written by el4ner.train")
    parser.add_argument("target", type=Path, help="folder to ship, for instance el4ner/starter/models/opt")
    parser.add_argument(
        "--scores", type=Path, metavar="ABLATION_JSON", help="put the member's own scores into its card"
    )
    options = parser.parse_args(arguments)

    def work() -> int:
        size = publish(options.trained, options.target)
        if options.scores is not None:
            add_scores(options.target / "README.md", options.scores, options.target.name)
        print(f"{options.target}: {size / 1e6:.1f} MB")
        return OK

    return run_command("starter.publish", work)


if __name__ == "__main__":
    sys.exit(main())
