"""LoRA adapters: what vLLM takes is served beside its base, what it would refuse or ignore is refused before."""

from pathlib import Path
from typing import Any

import pytest

from el4ner.errors import ConfigError, ModelError
from el4ner.serve.adapters import RANKS, read_adapter
from el4ner.serve.command import arguments
from el4ner.serve.control import make_plan
from el4ner.serve.shape import read_model
from tests.serve.conftest import Member, configuration
from tests.serve.models import PUBLISHED, save_adapter, save_model

QWEN = PUBLISHED["Qwen3-0.6B"]


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (2, 8), (16, 16), (20, 32), (300, 320), (512, 512)])
def test_the_rank_is_rounded_up_to_what_vllm_takes(tmp_path: Path, rank: int, served: int):
    base = read_model(save_model(tmp_path / "base", QWEN))
    adapter = read_adapter(save_adapter(tmp_path / "a", QWEN, ["q_proj", "down_proj"], rank=rank), base)
    assert (adapter.rank, adapter.served_rank, adapter.targets) == (rank, served, ("down_proj", "q_proj"))
    assert adapter.served_rank in RANKS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"targets": ["gate_up_proj"]}, "no adapter on gate_up_proj of Qwen3ForCausalLM"),
        ({"targets": []}, "no LoRA matrices"),
        ({"targets": ["q_proj"], "rank": 513}, "above 512"),
        ({"targets": ["q_proj"], "hidden": 999}, "another base"),
        ({"targets": ["q_proj"], "use_dora": True}, "DoRA"),
        ({"targets": ["q_proj"], "bias": "all"}, "a bias"),
        ({"targets": ["q_proj"], "modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"targets": ["q_proj"], "init_lora_weights": "pissa"}, "initialisation"),
    ],
)
def test_what_vllm_would_refuse_or_ignore(tmp_path: Path, settings: dict[str, Any], message: str):
    base = read_model(save_model(tmp_path / "base", QWEN))
    folder = save_adapter(tmp_path / "a", QWEN, **settings)
    with pytest.raises(ModelError, match=message):
        read_adapter(folder, base)


def test_fused_weights_of_glm4_take_no_fused_adapter(tmp_path: Path):
    glm = {**PUBLISHED["GLM-4-9B-0414"], "num_hidden_layers": 2}
    base = read_model(save_model(tmp_path / "base", glm))
    with pytest.raises(ModelError, match="gate_up_proj of Glm4ForCausalLM"):
        read_adapter(save_adapter(tmp_path / "a", glm, ["gate_up_proj"]), base)


def test_architectures_without_adapters(tmp_path: Path):
    bloom = {**QWEN, "architectures": ["BloomForCausalLM"]}
    base = read_model(save_model(tmp_path / "base", bloom))
    with pytest.raises(ModelError, match="merge the adapter"):
        read_adapter(save_adapter(tmp_path / "a", bloom, ["q_proj"]), base)


def test_base_and_adapters_share_one_server(member: Member, tmp_path: Path):
    folder = save_adapter(tmp_path / "a", QWEN, ["q_proj"], rank=8)
    config = configuration(
        member("base", "Qwen3-0.6B", port=8001), member("ner", "Qwen3-0.6B", port=8001, adapter=str(folder))
    )
    plan = make_plan(config, gpus="24GiB", cpu=False)
    (placed,) = plan.placed
    words = " ".join(arguments(placed))
    assert placed.server.members == ("base", "ner")
    assert f"--enable-lora --lora-modules ner={folder} --max-loras 1 --max-lora-rank 8" in words
    assert "--served-model-name base " in words


def test_an_adapter_alone_gets_a_base_under_another_name(member: Member, tmp_path: Path):
    folder = save_adapter(tmp_path / "a", QWEN, ["q_proj"])
    (placed,) = make_plan(
        configuration(member("ner", "Qwen3-0.6B", port=8001, adapter=str(folder))), gpus="24GiB", cpu=False
    ).placed
    assert (placed.server.served, list(placed.server.adapters)) == ("ner-base", ["ner"])


def test_members_of_one_port_must_agree(member: Member):
    config = configuration(member("a", "Qwen3-0.6B", port=8001), member("b", "Qwen3-0.6B", port=8001, context=4096))
    with pytest.raises(ConfigError, match="same port but differ"):
        make_plan(config, gpus="24GiB", cpu=False)
    config = configuration(member("a", "Qwen3-0.6B", port=8001), member("b", "Qwen3-0.6B", port=8001))
    with pytest.raises(ConfigError, match="at most one may be the base"):
        make_plan(config, gpus="24GiB", cpu=False)
