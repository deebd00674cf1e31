"""Bloom by fused functions: the states and gradients are those of Transformers' own layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from el4ner.members.bloom import FusedAttention, FusedGelu, fuse_bloom  # noqa: E402
from tests.tiny_models import save_tiny  # noqa: E402

IDS = [[5, 6, 7, 8, 9, 10], [0, 0, 6, 7, 11, 5]]
MASK = [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]]
LABELS = [IDS[0], [-100, -100, -100, 7, 11, 5]]  # no loss where padding would have to foretell


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Any, Any]:
    """The same Bloom twice: as Transformers computes it, and fused."""
    folder = save_tiny("bloom", tmp_path / "bloom")
    own, fused = (transformers.AutoModelForCausalLM.from_pretrained(folder) for _ in range(2))
    fuse_bloom(fused)
    return own, fused


def test_every_layer_is_fused_and_nothing_else(pair: tuple[Any, Any]):
    own, fused = pair
    layers = fused.config.n_layer
    for kind in (FusedAttention, FusedGelu):
        assert sum(isinstance(module, kind) for module in fused.modules()) == layers
        assert not any(isinstance(module, kind) for module in own.modules())
    assert fused.state_dict().keys() == own.state_dict().keys()


def test_states_under_padding_are_the_same(pair: tuple[Any, Any]):
    mask = torch.tensor(MASK)
    own, fused = (model(torch.tensor(IDS), attention_mask=mask).logits[mask.bool()] for model in pair)
    assert torch.allclose(own, fused, atol=1e-4)


def test_states_after_a_cache_are_the_same(pair: tuple[Any, Any]):
    def in_two_parts(model: Any) -> "torch.Tensor":
        ids, mask = torch.tensor(IDS), torch.tensor(MASK)
        first = model(ids[:, :4], attention_mask=mask[:, :4], use_cache=True)
        return model(ids[:, 4:], attention_mask=mask, past_key_values=first.past_key_values).logits

    own, fused = map(in_two_parts, pair)
    assert torch.allclose(own, fused, atol=1e-4)


def test_gradients_are_the_same(pair: tuple[Any, Any]):
    for model in pair:
        model.train()(torch.tensor(IDS), attention_mask=torch.tensor(MASK), labels=torch.tensor(LABELS)).loss.backward()
    grads = [{name: weight.grad for name, weight in model.named_parameters()} for model in pair]
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], atol=1e-4), name


def test_other_architectures_stay_as_they_are(tmp_path: Path):
    model = transformers.AutoModelForCausalLM.from_pretrained(save_tiny("opt", tmp_path / "opt"))
    kinds = [type(module) for module in model.modules()]
    fuse_bloom(model)
    assert [type(module) for module in model.modules()] == kinds


def test_loading_fuses(engine_of: Callable[[str], Any]):
    assert any(isinstance(module, FusedAttention) for module in engine_of("bloom").model.modules())
