"""``el4ner.train`` from end to end on a few sentences of our own, and its messages where something is wrong."""

import asyncio
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("accelerate")

from el4ner.config import MemberConfig  # noqa: E402
from el4ner.learn.data import Sentence  # noqa: E402
from el4ner.members.base import Message, Request  # noqa: E402
from el4ner.members.local import LocalMember  # noqa: E402
from el4ner.train import main  # noqa: E402

from .conftest import LABELS, write_jsonl  # noqa: E402

ASKED = Request("classify", (Message("user", "type : [[Bexley]] greeted Mira : Bexley"),), 8, ("person", "location"))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EL4NER_QUIET", "1")


@pytest.fixture
def write(tmp_path: Path, tiny_model: Callable[..., Path], sentences: list[Sentence]) -> Callable[..., Path]:
    """Write a configuration over our sentences."""
    write_jsonl(tmp_path / "own.jsonl", [sentence.document for sentence in sentences])

    def config(**changes: Any) -> Path:
        content = {
            "model": str(tiny_model("qwen3")),
            "output": str(tmp_path / "out" / "tuned"),
            "title": "tiny",
            "prompt_style": "compact",
            "labels": LABELS,
            "data": [{"path": "own.jsonl", "language": "en", "licence": "CC0", "attribution": "ourselves"}],
            "demonstrations": {"k": 1},
            "optimisation": {
                "epochs": 1,
                "batch_tokens": 256,
                "max_length": 128,
                "learning_rate": 0.01,
                "max_steps": 6,
            },
            "evaluation": {"fraction": 0.2, "every_steps": 3},
            "device": "cpu",
            **changes,
        }
        path = tmp_path / "train.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return config


def log_probs(model: Path, adapter: Path | None = None) -> dict[str, float]:
    member = LocalMember(
        MemberConfig(name="m", engine="local", model=str(model), adapter=str(adapter) if adapter else None)
    )

    async def ask() -> dict[str, float]:
        choice = await member.choose(ASKED)
        await member.close()
        assert choice.log_probs is not None
        return choice.log_probs

    return asyncio.run(ask())


def refused(capsys: pytest.CaptureFixture[str], config: Path, *more: str) -> str:
    """The message of a run that must end with exit code 2."""
    assert main(["--config", str(config), *more]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    (message,) = [line for line in err.splitlines() if line.startswith("el4ner.train: ")]
    return message


def test_a_tuned_model_loads_as_a_member(
    write: Any, tmp_path: Path, tiny_model: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("EL4NER_QUIET")
    assert main(["--config", str(write())]) == 0
    output = tmp_path / "out" / "tuned"
    summary = json.loads(capsys.readouterr().out)
    assert summary["output"] == str(output)
    assert summary["sentences"] + summary["held out"] == 12 and summary["held out"] == 2
    assert summary["left out as too long"] == 0
    assert math.isfinite(summary["eval_loss"])
    assert log_probs(output) != pytest.approx(log_probs(tiny_model("qwen3")), abs=1e-3)
    assert not (tmp_path / "out" / "tuned.work").exists()
    card = (output / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tiny\n") and "CC0" in card and "ourselves" in card
    assert not [path.name for path in output.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    assert not [text for text in ("Mira", "Bexley") if text in card]


def test_an_adapter_loads_and_changes_the_answers(write: Any, tmp_path: Path, tiny_model: Any):
    config = write(lora={"rank": 8, "targets": ["q_proj", "down_proj"]})
    assert main(["--config", str(config)]) == 0
    output = tmp_path / "out" / "tuned"
    assert not (output / "model.safetensors").exists()
    base = tiny_model("qwen3")
    assert log_probs(base, output) != pytest.approx(log_probs(base), abs=1e-3)


def test_model_and_output_may_be_given_on_the_command_line(write: Any, tmp_path: Path, tiny_model: Any):
    config, output = write(model="nowhere", output="nowhere"), tmp_path / "elsewhere"
    more = ["--model", str(tiny_model("qwen3")), "--output", str(output), "--data-root", str(tmp_path)]
    assert main(["--config", str(config), *more]) == 0
    assert (output / "model.safetensors").is_file()


def test_a_dry_run_shows_the_first_example_and_writes_nothing(write: Any, tmp_path: Path, capsys: Any):
    assert main(["--config", str(write()), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "bears the loss" in shown and "<|assistant|>  [" in shown
    assert re.match(r"[\d,]+ tokens in \d+ batches; [\d,]+ tokens an epoch\n", shown)
    assert not (tmp_path / "out").exists()


def test_checkpoints_of_an_earlier_run_are_neither_mixed_in_nor_lost(write: Any, tmp_path: Path, capsys: Any):
    checkpoint = tmp_path / "out" / "tuned.work" / "checkpoint-900"
    checkpoint.mkdir(parents=True)
    assert "go on with --resume, or remove that folder" in refused(capsys, write())
    assert checkpoint.is_dir()


def test_missing_data_is_named(write: Any, capsys: Any):
    config = write(data=[{"path": "gone.jsonl", "language": "en"}])
    assert "gone.jsonl; give their folder with --data-root" in refused(capsys, config)


def test_broken_data_is_named_without_its_text(write: Any, tmp_path: Path, capsys: Any):
    (tmp_path / "own.jsonl").write_text('{"id": "1", "text": "Mira slept", "entities": [{"start": 90}]}\n')
    message = refused(capsys, write())
    assert "own.jsonl, line 1" in message and "Mira" not in message


def test_an_unknown_key_is_named(write: Any, capsys: Any):
    assert main(["--config", str(write(optimisaton={}))]) == 2
    assert "optimisaton: unknown key; did you mean 'optimisation'?" in capsys.readouterr().err


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: Any):
    assert "cannot read" in refused(capsys, tmp_path / "gone.yaml")


def test_a_label_that_the_data_needs_is_named(write: Any, capsys: Any):
    assert "'ORG' is no label" in refused(capsys, write(labels=LABELS[:2]))


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model.safetensors", "holds no .safetensors weights"),
        ("chat_template.jinja", "has no chat template"),
        ("tokenizer.json", "cannot be loaded"),
        ("config.json", "config.json is missing"),
    ],
)
def test_an_incomplete_model_is_refused(write: Any, tiny_model: Any, tmp_path: Path, capsys: Any, gone: str, said: str):
    folder = shutil.copytree(tiny_model("qwen3"), tmp_path / "base")
    (folder / gone).unlink()
    assert said in refused(capsys, write(model=str(folder)))


def test_broken_weights_are_refused(write: Any, tiny_model: Any, tmp_path: Path, capsys: Any):
    folder = shutil.copytree(tiny_model("qwen3"), tmp_path / "base")
    (folder / "model.safetensors").write_bytes(b"not weights")
    assert "check that the download is complete" in refused(capsys, write(model=str(folder)))


def sharing(**more: Any) -> dict[str, Any]:
    return {"epochs": 1, "batch_tokens": 256, "max_length": 128, "share_prefix": True, **more}


def test_a_dry_run_says_what_sharing_saves(write: Any, capsys: Any):
    assert main(["--config", str(write(optimisation=sharing())), "--dry-run"]) == 0
    found = re.match(r"([\d,]+) tokens in \d+ batches; without share_prefix ([\d,]+); ", capsys.readouterr().out)
    assert found is not None
    shared, unshared = (int(number.replace(",", "")) for number in found.groups())
    assert 0 < shared < unshared


@pytest.mark.parametrize(
    "changes",
    [
        {"logits_scaling": 2.0},
        {"use_sliding_window": True, "sliding_window": 16, "layer_types": ["full_attention", "sliding_attention"]},
    ],
)
def test_sharing_is_refused_where_a_model_reads_a_shared_prompt_differently(
    write: Any, tiny_model: Any, tmp_path: Path, capsys: Any, changes: dict[str, Any]
):
    folder = shutil.copytree(tiny_model("qwen3"), tmp_path / "base")
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | changes), encoding="utf-8")
    assert "(qwen3)" in (message := refused(capsys, write(model=str(folder), optimisation=sharing())))
    assert message.endswith("set share_prefix: false")


def test_a_given_time_ends_a_run(write: Any, capsys: Any):
    plenty = sharing(epochs=400, max_minutes=0.05, learning_rate=0.01, batch_tokens=64)
    assert main(["--config", str(write(optimisation=plenty, evaluation={"fraction": 0}))]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["epoch"] < 1.0
    assert 2 < summary["train_runtime"] < 60


def test_a_wrong_adapter_target_is_refused(write: Any, capsys: Any):
    assert "match no linear module" in refused(capsys, write(lora={"targets": ["c_attn"]}))
