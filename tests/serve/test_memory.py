"""The arithmetic, against published configurations: parameters, weights in bytes, KV bytes a token."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import ModelError
from el4ner.serve.memory import BLOCK, GIB, Workload, batched_tokens, kv_bytes, need
from el4ner.serve.shape import ModelFolder, Weights, read_model, read_shape
from el4ner.serve.tensors import read_header
from tests.serve.models import PUBLISHED, save_model, write_safetensors

# Parameters as published with the weights (tied output embeddings counted once); KV bytes a token worked by hand:
# 2 x layers x key-value heads x head width x 2 bytes.
NUMBERS = {
    "GLM-4-9B-0414": (9_400_279_040, 40_960),
    "glm-4-9b-chat-hf": (9_399_951_360, 40_960),
    "phi-4": (14_659_507_200, 204_800),
    "Qwen2.5-14B-Instruct": (14_770_033_664, 196_608),
    "Qwen3-0.6B": (596_049_920, 114_688),
    "Qwen3-4B": (4_022_468_096, 147_456),
    "Qwen3-8B": (8_190_735_360, 147_456),
    "Llama-3.2-3B-Instruct": (3_212_749_824, 114_688),
    "granite-3.3-2b-instruct": (2_533_539_840, 81_920),
    "Yi-1.5-6B-Chat": (6_061_035_520, 65_536),
}


def model(name: str, tmp_path: Path) -> ModelFolder:
    return read_model(save_model(tmp_path / name, PUBLISHED[name]))


@pytest.mark.parametrize("name", NUMBERS)
def test_published_models(name: str, tmp_path: Path):
    parameters, token = NUMBERS[name]
    read = model(name, tmp_path)
    assert read.weights.size(2) == 2 * parameters
    assert read.shape.kv_bytes_per_token(2) == token
    assert read.shape.head_dim == (64 if name.startswith("granite") else 128)
    assert read.shape.window is None


def test_a_plan_for_qwen3_8b_by_hand(tmp_path: Path):
    asked = Workload(context=4096, concurrency=16, kv_tokens=65_536, dtype="bfloat16")
    found = need(model("Qwen3-8B", tmp_path), asked)
    assert found.weights == 16_381_470_720
    assert found.kv == (65_536 + BLOCK) * 147_456
    assert found.total == found.weights + found.kv + found.activations + found.overhead
    # What is left besides weights and cache on a card: over one and under three GiB, as such servers are seen to take.
    assert GIB < found.activations + found.overhead < 3 * GIB


def test_two_cards_halve_weights_and_cache_and_cost_some_overhead(tmp_path: Path):
    asked = Workload(context=2048, concurrency=8, kv_tokens=16_384, dtype="bfloat16")
    read = model("Qwen2.5-14B-Instruct", tmp_path)
    one, two = need(read, asked, 1), need(read, asked, 2)
    assert two.weights * 2 == one.weights
    assert two.kv * 2 == one.kv
    assert two.overhead > one.overhead


@pytest.mark.parametrize(
    ("name", "fits"),
    [("GLM-4-9B-0414", {1, 2, 4, 8}), ("phi-4", {1, 2, 5, 10}),
     ("Qwen2.5-14B-Instruct", {1, 2, 4, 8}), ("Qwen3-8B", {1, 2, 4, 8})],
)  # fmt: skip
def test_tensor_parallelism_divides_heads(name: str, fits: set[int]):
    shape = read_shape(PUBLISHED[name])
    assert {cards for cards in range(1, 11) if shape.splits_into(cards)} == fits


def test_more_cards_than_key_value_heads_repeat_them():
    shape = read_shape(PUBLISHED["GLM-4-9B-0414"])
    assert shape.kv_bytes_per_token(2, 2) == shape.kv_bytes_per_token(2, 4) == 20_480


def test_fp8_halves_linear_layers_and_leaves_embeddings(tmp_path: Path):
    read = model("Qwen3-8B", tmp_path)
    embeddings = 2 * 151_936 * 4096 * 2
    saved = read.weights.size(2) - read.weights.size(2, fp8=True)
    assert saved == pytest.approx((16_381_470_720 - embeddings) / 2, rel=1e-4)


def test_quantised_tensors_keep_their_size(tmp_path: Path):
    write_safetensors(tmp_path / "x.safetensors", {"model.layers.0.mlp.up_proj.weight": (64, 32)}, "F8_E4M3")
    assert Weights(tuple(read_header(tmp_path / "x.safetensors"))).size(2) == 64 * 32


def test_other_namings_and_defaults():
    bloom = read_shape(
        {"architectures": ["BloomForCausalLM"], "hidden_size": 64, "n_head": 4, "n_layer": 3, "vocab_size": 10}
    )
    assert (bloom.layers, bloom.kv_heads, bloom.head_dim, bloom.intermediate, bloom.tied) == (3, 4, 16, 256, True)
    latent = read_shape({**PUBLISHED["Qwen3-8B"], "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert latent.kv_bytes_per_token(2) == 36 * 576 * 2
    assert read_shape({**PUBLISHED["Qwen3-8B"], "use_sliding_window": True, "sliding_window": 512}).window == 512


def test_a_missing_number_is_named():
    with pytest.raises(ModelError, match="gives no num_hidden_layers"):
        read_shape({"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9})


@given(
    context=st.integers(128, 8192), concurrency=st.integers(1, 256), more=st.integers(1, 4096), cards=st.sampled_from([1, 2, 4])
)  # fmt: skip
def test_the_cache_holds_what_is_asked_and_grows_with_it(context: int, concurrency: int, more: int, cards: int):
    read = ModelFolder(Path("x"), read_shape(PUBLISHED["Qwen3-4B"]), Weights(()))
    tokens = context * concurrency
    token = read.shape.kv_bytes_per_token(2, cards)
    asked = Workload(context, concurrency, tokens, "bfloat16")
    held = kv_bytes(read, asked, cards)
    assert tokens + BLOCK <= held // token < tokens + 2 * BLOCK
    assert kv_bytes(read, Workload(context, concurrency, tokens + more, "bfloat16"), cards) >= held
    assert batched_tokens(asked) >= max(concurrency, context)


def damaged(folder: Path, what: str) -> None:
    if what == "remote code":
        (folder / "config.json").write_text(json.dumps({**PUBLISHED["Qwen3-0.6B"], "auto_map": {"AutoModel": "x.Y"}}))
    elif what == "shard missing":
        (folder / "model-00002-of-00002.safetensors").unlink()
    elif what == "cut off":
        path = folder / "model-00001-of-00002.safetensors"
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 1)
    elif what == "garbage":
        (folder / "model-00001-of-00002.safetensors").write_bytes(struct.pack("<Q", 4) + b"nope")
    elif what == "pickled":
        for path in folder.glob("*.safetensors"):
            path.rename(path.with_suffix(".bin"))
    elif what == "no template":
        (folder / "tokenizer_config.json").write_text("{}")
    elif what == "outside":
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("remote code", "remote code"),
        ("shard missing", "is missing"),
        ("cut off", "cut off"),
        ("garbage", "no safetensors file"),
        ("pickled", "no .safetensors weights"),
        ("no template", "no chat template"),
        ("outside", "outside its folder"),
    ],
)
def test_folders_that_are_refused(what: str, message: str, tmp_path: Path):
    folder = save_model(tmp_path / "m", PUBLISHED["Qwen3-0.6B"])
    damaged(folder, what)
    with pytest.raises(ModelError, match=message):
        read_model(folder)


def test_a_base_model_is_served_to_members_that_want_no_template(tmp_path: Path):
    folder = save_model(tmp_path / "m", PUBLISHED["Qwen3-0.6B"])
    damaged(folder, "no template")
    assert read_model(folder, by_chat=False).shape.layers == 28
