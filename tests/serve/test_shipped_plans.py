"""What ships can be served: every configuration planned on the cards that it says it needs."""

from pathlib import Path

import pytest

from el4ner.config import load_config
from el4ner.errors import ConfigError
from el4ner.serve.command import arguments
from el4ner.serve.control import make_plan
from el4ner.serve.placement import Plan
from tests.serve.conftest import CONFIGS, SERVED, shipped


def cards(plan: Plan) -> dict[str, list[int]]:
    return {placed.server.name: [card.index for card in placed.cards] for placed in plan.placed}


def within_bounds(plan: Plan) -> bool:
    return all(plan.used(device) <= device.room for device in plan.devices)


def test_every_shipped_configuration_that_asks_servers_can_also_start_them():
    found = [path.stem for path in sorted(CONFIGS.glob("*.yaml")) if _serves(path)]
    assert tuple(found) == SERVED
    for path in (CONFIGS / f"{name}.yaml" for name in found):
        assert all(member.serve for member in load_config(path).members)


def _serves(path: Path) -> bool:
    return any(member.engine == "http" for member in load_config(path).members)


@pytest.mark.parametrize("gpus", ["2x24GiB", "2x23034MiB"])
@pytest.mark.parametrize("name", ["box-2x24gb", "chinese"])
def test_two_24_gb_cards_hold_these(name: str, gpus: str, tmp_path: Path):
    """Cards that are sold as 24 GB report between 22.5 and 24 GiB."""
    plan = make_plan(shipped(name, tmp_path), gpus=gpus, cpu=False)
    assert within_bounds(plan)
    assert {card for where in cards(plan).values() for card in where} == {0, 1}
    assert all(placed.tensor_parallel == placed.replicas == 1 for placed in plan.placed)


@pytest.mark.parametrize("gpus", ["3x24GiB", "3x23034MiB", "80GB"])
def test_the_papers_backbones_on_the_cards_that_they_name(gpus: str, tmp_path: Path):
    plan = make_plan(shipped("el4ner-paper", tmp_path), gpus=gpus, cpu=False)
    assert within_bounds(plan)
    assert len({tuple(where) for where in cards(plan).values()}) == (3 if gpus.startswith("3") else 1)


def test_the_papers_backbones_on_two_24_gib_cards_are_short_by_so_much(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"short by \d+\.\d GiB .*change serve\.kv_tokens: \d+ .*smaller model"):
        make_plan(shipped("el4ner-paper", tmp_path), gpus="2x24GiB", cpu=False)


def test_the_served_small_models_are_the_small_ones_but_for_their_engine():
    here, there = (load_config(CONFIGS / f"{name}.yaml") for name in ("small", "small-vllm"))
    same = {"demonstrations", "classify", "verify", "windows", "pool"}
    assert there.model_dump(include=same) == here.model_dump(include=same)
    alike = {"name", "prompt_style", "answer_format", "weight", "languages"}
    assert [m.model_dump(include=alike) for m in there.members] == [m.model_dump(include=alike) for m in here.members]
    assert [m.serve and m.serve.model for m in there.members] == ["smollm2-135m", "qwen2.5-coder-0.5b"]


def test_the_small_models_fit_a_small_machine_before_they_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EL4NER_MODELS", str(tmp_path))
    small = load_config(CONFIGS / "small-vllm.yaml")
    assert within_bounds(make_plan(small, gpus="8GiB", cpu=False, sizes_suffice=True))
    on_cpu = make_plan(small, gpus=None, cpu=True, sizes_suffice=True)
    assert len(on_cpu.placed) == 2
    for words in map(arguments, on_cpu.placed):
        assert words[words.index("--dtype") + 1] == "bfloat16"
        assert "--gpu-memory-utilization" not in words
