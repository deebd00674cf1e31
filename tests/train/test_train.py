"""``el4ner.train`` from end to end on a few sentences of our own, and its messages where something is wrong."""

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

from el4ner.engines.tuning_record import TuningRecord, read_tuning_record  # noqa: E402
from el4ner.serve.adapters import read_adapter  # noqa: E402
from el4ner.serve.shape import read_model  # noqa: E402
from el4ner.train import models  # noqa: E402
from el4ner.train.__main__ import main  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from tests.chat_templates import byte_level, save_base_model  # noqa: E402

from .conftest import LABELS, write_jsonl  # noqa: E402

ASKED = "<|user|>type : [[Bexley]] greeted Mira : Bexley<|assistant|>"


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


def log_probs(model: Path, adapter: Path | None = None) -> dict[int, float]:
    """Log-probability of each first token after a prompt, by Transformers and PEFT."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, loaded = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    if adapter is not None:
        loaded = PeftModel.from_pretrained(loaded, adapter)
    with torch.inference_mode():
        logits = loaded.eval()(**tokenizer(ASKED, return_tensors="pt")).logits[0, -1]
    return dict(enumerate(torch.log_softmax(logits, -1).tolist()))


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
    assert read_tuning_record(output) == TuningRecord(
        "compact", tuple(sorted(label["words"]["en"] for label in LABELS))
    )
    assert card.startswith("# tiny\n") and "| CC0 | ourselves | none |" in card
    assert not [path.name for path in output.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    assert not [text for text in ("Mira", "Bexley") if text in card]


def test_an_adapter_loads_and_changes_the_answers(write: Any, tmp_path: Path, tiny_model: Any):
    config = write(lora={"rank": 8, "targets": ["q_proj", "down_proj"]})
    assert main(["--config", str(config)]) == 0
    output = tmp_path / "out" / "tuned"
    assert not (output / "model.safetensors").exists()
    base = tiny_model("qwen3")
    assert log_probs(base, output) != pytest.approx(log_probs(base), abs=1e-3)


@pytest.mark.slow
def test_a_tuning_can_go_on_from_an_adapter(write: Any, tmp_path: Path, tiny_model: Any, capsys: Any):
    lora = {"rank": 8, "targets": ["q_proj", "down_proj"]}
    assert main(["--config", str(write(lora=lora))]) == 0
    first = tmp_path / "out" / "tuned"
    more, still = write(lora=lora | {"start": str(first)}, output="out/more"), {"learning_rate": 1e-12}
    assert main(["--config", str(more)]) == 0
    assert main(["--config", str(write(lora=lora | {"start": str(first)}, output="out/same", optimisation=still))]) == 0
    base = tiny_model("qwen3")
    asked = log_probs(base, first)
    assert log_probs(base, tmp_path / "out" / "same") == pytest.approx(asked, abs=1e-4)
    assert log_probs(base, tmp_path / "out" / "more") != pytest.approx(asked, abs=1e-3)
    capsys.readouterr()
    assert "has rank 8 and targets" in refused(capsys, write(lora={"rank": 16, "start": str(first)}, output="out/x"))
    assert "is no adapter" in refused(capsys, write(lora={"start": "nowhere"}))


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


def test_a_base_model_is_tuned_on_the_plain_prompts_that_it_is_asked_with(write: Any, tmp_path: Path, sentences: Any):
    texts = [sentence.document.text for sentence in sentences]
    base = save_base_model(tmp_path / "base", byte_level(texts, None, bos=True))
    assert (
        main(["--config", str(write(model=str(base), optimisation={"epochs": 1, "max_length": 512, "max_steps": 6}))])
        == 0
    )
    assert log_probs(tmp_path / "out" / "tuned") != pytest.approx(log_probs(base), abs=1e-3)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model.safetensors", "holds no .safetensors weights"),
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


@pytest.mark.parametrize(("device", "said"), [("cuda", "training: device cuda: "), ("gpu", "device: Input should be")])
def test_a_device_that_is_not_here_is_refused(write: Any, monkeypatch: Any, capsys: Any, device: str, said: str):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("el4ner.train.datasets.build_sets", lambda *_: pytest.fail("data were read"))
    config = write(device=device)
    assert main(["--config", str(config), "--dry-run"]) == 2
    assert said in capsys.readouterr().err


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
    plenty = sharing(epochs=60, max_minutes=0.01, learning_rate=0.01, batch_tokens=64)
    assert main(["--config", str(write(optimisation=plenty, evaluation={"fraction": 0}))]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["epoch"] < 1.0
    assert summary["train_runtime"] > 0.5


def test_a_wrong_adapter_target_is_refused(write: Any, capsys: Any):
    assert "match no linear module" in refused(capsys, write(lora={"targets": ["c_attn"]}))


MRC = {"rank": 8, "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]}


def answering(write: Any, tiny_model: Any, **changes: Any) -> Path:
    """A configuration that tunes a GLM to answer questions."""
    labels = [label | {"questions": {"en": f"Which {label['words']['en']} ?"}} for label in LABELS]
    optimisation = sharing(epochs=2, learning_rate=0.01, batch_tokens=512, max_length=256)
    given = {"model": str(tiny_model("glm4")), "labels": labels, "lora": MRC, "optimisation": optimisation}
    return write(**given | {"demonstrations": {"k": 2, "method": "sentence"}} | changes)


def test_an_adapter_that_answers_questions_can_be_served(
    write: Any, tiny_model: Any, tmp_path: Path, capsys: Any, caplog: Any
):
    caplog.set_level("INFO", logger="el4ner.train")
    assert main(["--config", str(answering(write, tiny_model)), "--task", "mrc"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert math.isfinite(summary["train_loss"]) and summary["left out as too long"] == 0
    assert "memory: about" in caplog.text and "time: about" in caplog.text
    output = tmp_path / "out" / "tuned"
    assert "asked one question a type" in card_of(output)
    servable = read_adapter(output, read_model(tiny_model("glm4")))
    assert (servable.rank, set(servable.targets)) == (8, set(MRC["targets"]))


@pytest.mark.slow
def test_bfloat16_lowers_the_precision_of_the_layers(write: Any, tiny_model: Any, monkeypatch: pytest.MonkeyPatch):
    seen = []

    def load(config: Any) -> Any:
        model = load_model(config)
        model.model.layers[0].mlp.down_proj.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
        return model

    load_model = models.load_model
    monkeypatch.setattr(models, "load_model", load)
    for precision in ("float32", "bfloat16"):
        optimisation = sharing(precision=precision, max_steps=1)
        config = write(model=str(tiny_model("qwen3")), optimisation=optimisation, evaluation={"fraction": 0})
        assert main(["--config", str(config)]) == 0
        assert seen and {str(dtype) for dtype in seen} == {f"torch.{precision}"}
        seen.clear()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler (g++)")
def test_a_compiled_run_learns(write: Any, tiny_model: Any, capsys: Any):
    losses = []
    for steps in (1, 20):
        optimisation = sharing(epochs=20, learning_rate=0.01, max_length=256, compile=True, max_steps=steps)
        config = answering(write, tiny_model, optimisation=optimisation, evaluation={"fraction": 0})
        assert main(["--config", str(config), "--task", "mrc"]) == 0
        losses.append(json.loads(capsys.readouterr().out)["train_loss"])
    assert losses[1] < losses[0] - 0.1


def card_of(output: Path) -> str:
    return (output / "README.md").read_text(encoding="utf-8")


def test_a_dry_run_says_what_the_training_needs(write: Any, tiny_model: Any, tmp_path: Path, capsys: Any):
    assert main(["--config", str(answering(write, tiny_model)), "--task", "mrc", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"memory: about [\d.,]+ [kM]B in the largest step \([\d,]+ tokens\)", shown)
    assert "adapter" in shown and re.search(r"time: about .* GFLOP/s", shown)
    example = shown[shown.index("bears the loss") :].replace(" ", "")
    assert "Which" in example and not (tmp_path / "out").exists()


def test_one_task_alone_may_be_learnt(write: Any, tiny_model: Any, capsys: Any):
    config = answering(write, tiny_model, demonstrations={"method": "none"})
    sizes = []
    for more in ([], ["--task", "extract"], ["--task", "mrc"]):
        assert main(["--config", str(config), "--dry-run", *more]) == 0
        sizes.append(capsys.readouterr().out)
    assert len({said.split(";")[0] for said in sizes}) == 3
    assert "f i nd" in sizes[1] and "f i nd" not in sizes[2]


def test_a_resumed_run_that_answers_questions_ends_like_an_uninterrupted_one(
    write: Any, tiny_model: Any, tmp_path: Path
):
    import safetensors.torch

    def run(output: str, steps: int) -> dict[str, Any]:
        optimisation = sharing(epochs=2, learning_rate=0.01, batch_tokens=128, max_length=256, max_steps=steps)
        optimisation |= {"schedule": "constant_with_warmup", "warmup": 0}
        config = answering(write, tiny_model, optimisation=optimisation, evaluation={"fraction": 0, "every_steps": 3})
        folder = tmp_path / "out" / output
        assert main(["--config", str(config), "--output", str(folder), "--task", "mrc", "--resume"]) == 0
        return dict(safetensors.torch.load_file(folder / "adapter_model.safetensors"))

    whole = run("whole", 6)
    with pytest.MonkeyPatch.context() as patch:  # a run that is killed leaves its checkpoints
        patch.setattr("el4ner.train.__main__.shutil.rmtree", lambda *_, **__: None)
        half = run("cut", 3)
    assert (tmp_path / "out" / "cut.work" / "checkpoint-3").is_dir()
    resumed = run("cut", 6)
    assert any(not torch.allclose(half[name], tensor, atol=1e-3) for name, tensor in whole.items())
    for name, tensor in whole.items():
        assert torch.allclose(resumed[name], tensor, atol=1e-5), name


@pytest.mark.parametrize(
    ("architecture", "lora", "said"),
    [
        ("glm4", {"targets": ["q_proj", "gate_up_proj"]}, "gate_up_proj is fused"),
        ("bloom", {"targets": ["query_key_value"]}, "vLLM serves no adapters on BloomForCausalLM"),
    ],
)
def test_an_adapter_that_could_not_be_served_is_refused_before_training(
    write: Any, tiny_model: Any, capsys: Any, architecture: str, lora: dict[str, Any], said: str
):
    model = str(tiny_model(architecture))
    message = refused(capsys, write(model=model, lora=lora), "--dry-run")
    assert said in message and "served: false" in message
    assert main(["--config", str(write(model=model, lora=lora | {"served": False})), "--dry-run"]) == 0


def test_four_bits_without_their_package_are_refused(write: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "bitsandbytes" else found(name, *a)
    )
    lora = {"targets": ["q_proj"], "quantize": "nf4"}
    assert "nf4 needs bitsandbytes" in refused(capsys, write(lora=lora), "--dry-run")


def test_frozen_weights_may_be_held_in_half_precision(write: Any, tiny_model: Any, tmp_path: Path):
    lora = MRC | {"base_dtype": "bfloat16"}
    assert main(["--config", str(answering(write, tiny_model, lora=lora)), "--task", "mrc"]) == 0
    import safetensors.torch

    adapter = safetensors.torch.load_file(tmp_path / "out" / "tuned" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    assert any(tensor.any() for name, tensor in adapter.items() if "lora_B" in name)


def test_nothing_to_learn_is_said(write: Any, capsys: Any):
    assert "nothing to learn" in refused(capsys, write(tasks={"extract": 0, "classify": 0, "verify": 0}))
