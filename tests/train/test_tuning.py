"""Tuning: the loss falls on answers alone and goes down, a resumed run ends where an uninterrupted one does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("accelerate")

import transformers  # noqa: E402

from el4ner.errors import ConfigError, ModelError  # noqa: E402
from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.train.batches import Batches, Limits  # noqa: E402
from el4ner.train.config import LoraConfig, TaskConfig, TrainConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.examples import ExampleMaker, plan_epochs  # noqa: E402
from el4ner.train.tuning import add_lora, answer_logits, tune  # noqa: E402

from .conftest import LABELS, TYPES, prompts_of  # noqa: E402

ADAPTED = {"bloom": "query_key_value", "qwen3": "q_proj"}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EL4NER_QUIET", "1")


@pytest.fixture(scope="module")
def batches(tiny_model: Callable[..., Path], sentences: list[Sentence]) -> Batches:
    """A dozen batches of every task."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model("qwen3"))
    maker = ExampleMaker(sentences, prompts_of("compact"), answer_format("inline"), TYPES, lambda _, n: (), seed=1)
    return Batches(plan_epochs(sentences, TaskConfig(), 0, 1.5, seed=1), maker, tokenizer, Limits(160, 256), seed=1)


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> Any:
    return fresh(tiny_model("qwen3"))


def fresh(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")


def config_of(evaluation: dict[str, Any] | None = None, **optimisation: Any) -> TrainConfig:
    settings = {"learning_rate": 0.005, "warmup": 0.0, **optimisation}
    return TrainConfig.model_validate(
        {
            "model": "m",
            "output": "o",
            "labels": LABELS,
            "data": [{"path": "d", "language": "en"}],
            "optimisation": settings,
            "evaluation": {"every_steps": 4, **(evaluation or {})},
            "device": "cpu",
        }
    )


@torch.no_grad()
def loss_of(model: Any, batches: Batches) -> float:
    """Mean loss of the answers, from the model's own full logits."""
    model.eval()
    losses = [float(model(**batches[index]).loss) for index in range(len(batches))]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("name", ["bloom", "qwen3"])
def test_answer_logits_are_the_models_own(tiny_model: Callable[..., Path], batches: Batches, name: str, adapted: bool):
    model = fresh(tiny_model(name))
    if adapted:
        model = add_lora(model, LoraConfig(targets=(ADAPTED[name],)))
    model.eval()
    size = model.config.vocab_size
    batch = {key: value if key == "labels" else value % size for key, value in batches[0].items()}
    batch["labels"] = batch["labels"].where(batch["labels"] < 0, batch["labels"] % size)
    labels = batch.pop("labels")
    with torch.no_grad():
        logits, targets = answer_logits(model, batch, labels)
        full = model(**batch).logits[:, :-1][labels[:, 1:] >= 0]
    assert targets.tolist() == labels[labels >= 0].tolist()
    assert torch.allclose(logits, full, atol=1e-4)


@pytest.mark.parametrize("rank", [None, 8])
def test_the_loss_goes_down(model: Any, batches: Batches, tmp_path: Path, rank: int | None):
    before = loss_of(model, batches)
    if rank:
        model = add_lora(model, LoraConfig(rank=rank, alpha=32, targets=("q_proj", "v_proj", "down_proj")))
    figures = tune(model, config_of(learning_rate=0.02), batches, None, tmp_path, resume=False)
    assert loss_of(model, batches) < 0.9 * before
    assert figures["train_loss"] < before * 1.2
    assert figures["epoch"] == pytest.approx(1.0)


@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"precision": "bfloat16"}])
def test_adapters_learn_with_less_memory_too(model: Any, batches: Batches, tmp_path: Path, settings: dict[str, Any]):
    tuned = add_lora(model, LoraConfig(rank=8, targets=("q_proj", "down_proj")))
    tune(tuned, config_of(max_steps=2, **settings), batches, None, tmp_path, resume=False)
    moved = [p for name, p in tuned.named_parameters() if "lora_B" in name and bool(p.any())]
    assert len(moved) == 4


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tiny_model: Any, batches: Batches, tmp_path: Path):
    work, folder, config = tmp_path / "work", tiny_model("qwen3"), config_of()
    assert 8 < len(batches) < 40

    def adapted() -> Any:
        transformers.set_seed(config.seed)
        return add_lora(fresh(folder), LoraConfig(rank=8, targets=("q_proj", "down_proj"), dropout=0.3))

    whole = adapted()
    tune(whole, config, batches, None, work, resume=False)
    checkpoints = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert len(checkpoints) == 2
    cut = checkpoints[1] / "trainer_state.json"  # killed while the last one was written
    cut.write_bytes(cut.read_bytes()[:100])
    resumed = adapted()
    torch.manual_seed(99)
    tune(resumed, config, batches, None, work, resume=True)
    before, after = adapted().state_dict(), whole.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in after)
    for name, tensor in resumed.state_dict().items():
        assert torch.allclose(tensor, after[name], atol=1e-5), name


def test_resuming_without_a_checkpoint_starts_afresh(tiny_model: Any, batches: Batches, tmp_path: Path, caplog: Any):
    models = [fresh(tiny_model("qwen3")) for _ in range(2)]
    with caplog.at_level("WARNING", logger="el4ner.train.tuning"):
        for resume, tuned in zip((False, True), models, strict=True):
            tune(tuned, config_of(max_steps=2), batches, None, tmp_path / str(resume), resume)
    assert "nothing to resume" in caplog.text
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_stops_early_and_keeps_the_best_weights(model: Any, batches: Batches, tmp_path: Path):
    config = config_of({"every_steps": 1, "patience": 2}, learning_rate=0.5, schedule="constant_with_warmup")
    figures = tune(model, config, batches, batches, tmp_path, resume=False)
    assert figures["epoch"] < 1.0
    assert max(int(path.name.split("-")[1]) for path in tmp_path.glob("checkpoint-*")) < len(batches)
    best = min(entry["eval_loss"] for entry in history(tmp_path) if "eval_loss" in entry)
    assert figures["eval_loss"] == pytest.approx(best, rel=1e-4)


def history(work: Path) -> list[dict[str, Any]]:
    """What the Trainer logged up to its last checkpoint."""
    last = max(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return list(json.loads((last / "trainer_state.json").read_text())["log_history"])


def test_patience_without_held_out_sentences_is_passed_over(model: Any, batches: Batches, tmp_path: Path):
    figures = tune(model, config_of({"patience": 1}, max_steps=1), batches, None, tmp_path, resume=False)
    assert "eval_loss" not in figures


@pytest.mark.parametrize(("asked", "share"), [(3, None), (10_000, 1.0)])
def test_max_steps_ends_a_run_and_never_prolongs_it(
    model: Any, batches: Batches, tmp_path: Path, asked: int, share: float | None
):
    figures = tune(model, config_of(max_steps=asked), batches, None, tmp_path, resume=False)
    assert figures["epoch"] == pytest.approx(share or asked / len(batches))


def test_accumulated_batches_are_averaged(tiny_model: Callable[..., Path], batches: Batches, tmp_path: Path):
    losses = [
        tune(
            fresh(tiny_model("qwen3")),
            config_of(accumulate=accumulate, learning_rate=1e-9),
            batches,
            None,
            tmp_path / str(accumulate),
            resume=False,
        )["train_loss"]
        for accumulate in (1, 4)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.15)


def test_spoilt_weights_are_an_error(model: Any, batches: Batches, tmp_path: Path):
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="not a number"):
        tune(model, config_of(max_steps=1), batches, None, tmp_path, resume=False)


def test_adapters_alone_are_trained(model: Any):
    tuned = add_lora(model, LoraConfig(rank=8, targets=("q_proj",)))
    trained = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
    assert len(trained) == 4
    assert all("q_proj.lora_" in name for name in trained)


def test_a_target_that_matches_nothing_is_an_error(model: Any):
    with pytest.raises(ConfigError, match=r"\['query_key_value'\] match no linear module.*'q_proj'") as caught:
        add_lora(model, LoraConfig(targets=("q_proj", "query_key_value")))
    assert "lm_head" not in str(caught.value)


@pytest.mark.parametrize("start", [None, "there"])
def test_tied_output_embeddings_are_refused(tiny_model: Callable[..., Path], start: str | None):
    """Merged, the adapter would change the input embeddings as well."""
    tied = fresh(tiny_model("qwen3"))
    tied.config.tie_word_embeddings = True
    targets = LoraConfig(targets=("q_proj", "lm_head"), served=False, start=start)
    with pytest.raises(ConfigError, match=r"\['lm_head'\] is one matrix with the input embeddings"):
        add_lora(tied, targets)
    tied.config.tie_word_embeddings = False
    add_lora(tied, targets.model_copy(update={"start": None}))


def test_a_fused_module_is_refused():
    fused = torch.nn.ModuleDict({"gate_up_proj": torch.nn.Linear(2, 2), "q_proj": torch.nn.Linear(2, 2)})
    with pytest.raises(ConfigError, match="fused"):
        add_lora(fused, LoraConfig(targets=("q_proj", "gate_up_proj")))
