"""The estimate before training, against what PyTorch really keeps for the way back."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from transformers import AutoModelForCausalLM, Glm4Config, OPTConfig, Qwen3Config  # noqa: E402

from el4ner.train import estimate as module  # noqa: E402
from el4ner.train.activations import BatchLoad, Precision, activation_bytes, load_of  # noqa: E402
from el4ner.train.config import LoraConfig, TrainConfig  # noqa: E402
from el4ner.train.estimate import estimate, matrix_rate  # noqa: E402
from el4ner.train.shared_prefix import shared_logits  # noqa: E402
from el4ner.train.tuning import add_lora, answer_logits  # noqa: E402

from .conftest import LABELS  # noqa: E402

SIZES: dict[str, Any] = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
IDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
GATED = {**SIZES, **IDS, "intermediate_size": 128, "head_dim": 16, "num_key_value_heads": 2}
CONFIGS = {
    "glm4": Glm4Config(**GATED),
    "qwen3": Qwen3Config(**GATED),
    "opt": OPTConfig(**SIZES, **IDS, ffn_dim=128, max_position_embeddings=128, word_embed_proj_dim=64, dropout=0.0),
}
TARGETS = {"opt": ("q_proj", "v_proj", "fc2")}


def model_of(name: str, dropout: float | None, device: str = "cpu") -> Any:
    """A model, with an adapter unless ``dropout`` is None."""
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    if dropout is None:
        return model
    targets = TARGETS.get(name, ("q_proj", "k_proj", "v_proj", "o_proj", "down_proj"))
    return add_lora(model, LoraConfig(rank=8, dropout=dropout, targets=targets))


def plain_batch() -> dict[str, Any]:
    ids = torch.randint(2, 90, (4, 64))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    labels = ids.where(torch.arange(64) >= 59, -100)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def shared_batch() -> dict[str, Any]:
    prefix, ids = torch.randint(2, 90, (2, 48)), torch.randint(2, 90, (6, 16))
    labels = ids.where(torch.arange(16) >= 12, -100)
    tails = [{"ids": ids, "mask": torch.ones_like(ids), "labels": labels, "owners": torch.tensor([0, 0, 0, 1, 1, 1])}]
    return {"prefix_ids": prefix, "prefix_mask": torch.ones_like(prefix), "tails": tails}


def kept_bytes(model: Any, forward: Callable[[], Any]) -> int:
    """Bytes of all tensors that autograd keeps, parameters aside."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in parameters)


def loss(model: Any, batch: dict[str, Any]) -> Any:
    if "tails" in batch:
        logits, targets = shared_logits(model, batch)
    else:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits, targets = answer_logits(model, inputs, batch["labels"])
    return torch.nn.functional.cross_entropy(logits.float(), targets)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dropout", [None, 0.0, 0.1])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_activations_are_what_pytorch_keeps(name: str, dropout: float | None, shared: bool):
    batch = shared_batch() if shared else plain_batch()
    model = model_of(name, dropout).train()
    kept = kept_bytes(model, lambda: loss(model, batch))
    estimated = activation_bytes(model_of(name, dropout, "meta"), load_of(batch), Precision(4, 4))
    assert 0.9 < estimated / kept < 1.35


def test_checkpoints_and_half_precision_save_memory():
    model, load = model_of("glm4", 0.1, "meta"), load_of(plain_batch())
    whole = activation_bytes(model, load, Precision(4, 4))
    assert activation_bytes(model, load, Precision(2, 1)) < 0.7 * whole
    assert activation_bytes(model, load, Precision(4, 4, checkpoints=True)) < 0.7 * whole


def test_the_load_of_a_batch_is_counted():
    assert load_of(plain_batch()) == BatchLoad(256, 256, 4 * 64 * 64, 20)
    assert load_of(shared_batch()) == BatchLoad(96 + 96, 96 + 6 * 64, 2 * 48 * 48 + 6 * 16 * 64, 24)


def config_of(lora: dict[str, Any] | None, **optimisation: Any) -> TrainConfig:
    data = [{"path": "d", "language": "en"}]
    given = {"model": "m", "output": "o", "labels": LABELS, "data": data, "lora": lora, "optimisation": optimisation}
    return TrainConfig.model_validate({**given, "device": "cpu"})


def estimated(lora: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch, **optimisation: Any) -> Any:
    monkeypatch.setattr(module, "matrix_rate", lambda device, precision: 1e9)
    model = model_of("glm4", None if lora is None else 0.0, "meta")
    return estimate(model, config_of(lora, **optimisation), plain_batch(), 10_000)


def test_full_tuning_holds_everything_four_times(monkeypatch: pytest.MonkeyPatch):
    needs, values = estimated(None, monkeypatch), sum(p.numel() for p in model_of("glm4", None).parameters())
    assert (needs.weights, needs.adapter, needs.gradients, needs.optimiser) == (4 * values, 0, 4 * values, 8 * values)
    assert needs.total == needs.activations + 16 * values


def test_an_adapter_alone_has_gradients(monkeypatch: pytest.MonkeyPatch):
    needs = estimated({}, monkeypatch)
    values = sum(p.numel() for p in model_of("glm4", 0.0).parameters() if p.requires_grad)
    assert (needs.adapter, needs.gradients, needs.optimiser) == (4 * values, 4 * values, 8 * values)
    full = estimated(None, monkeypatch)
    assert needs.weights == full.weights and needs.operations < full.operations


def test_the_frozen_weights_are_counted_as_they_are_held(monkeypatch: pytest.MonkeyPatch):
    whole = estimated({}, monkeypatch).weights
    assert estimated({"base_dtype": "bfloat16"}, monkeypatch).weights == whole // 2
    assert whole / 8 < estimated({"quantize": "nf4"}, monkeypatch).weights < whole / 4
    assert estimated({}, monkeypatch, precision="bfloat16").weights > whole


def test_it_says_what_it_counted_and_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch):
    needs = estimated({}, monkeypatch, max_minutes=30)
    assert needs.seconds == pytest.approx(10_000 * needs.operations / 0.35e9)
    said = str(needs)
    for part in ("weights", "adapter", "gradients", "optimiser", "activations", "256 tokens", "10,000 tokens"):
        assert part in said
    assert "35% of its measured 1 GFLOP/s; it ends after 30 min at the latest" in said
    assert "ends after" not in str(estimated({}, monkeypatch))


@pytest.mark.parametrize(("seconds", "products"), [(0.1, 1), (2.0, 4)])
def test_a_matrix_rate_is_measured(monkeypatch: pytest.MonkeyPatch, seconds: float, products: int):
    """With a clock by which whatever is timed takes half a second."""
    clock = itertools.count(0.0, 0.5)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert matrix_rate("cpu", "float32", seconds) == 2.0 * 1024**3 * products / 0.5
