"""LoRA adapters on GGUF models: what PEFT computes in float32 and what llama.cpp computes with the merged file."""

import asyncio
import dataclasses
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft")

from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from el4ner.config import MemberConfig  # noqa: E402
from el4ner.engines.base import Request  # noqa: E402
from el4ner.engines.gguf import GgufEngine  # noqa: E402
from el4ner.engines.gguf_adapter import check_adapter, merge_system_message  # noqa: E402
from el4ner.engines.gguf_header import read_header  # noqa: E402
from el4ner.engines.scheduler import RoundRobinScheduler  # noqa: E402
from el4ner.errors import ModelError  # noqa: E402
from el4ner.prompts.messages import Message  # noqa: E402

from .tiny_gguf import CONTROL, VOCABULARY, tokens_of, write_gguf_of  # noqa: E402

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config, "gemma3": Gemma3TextConfig}
ASKED = (Message("system", "Find names."), Message("user", "Ada wrote to Karl in Paris."))
PROMPT = (
    "<|im_start|>system\nFind names.<|im_end|>\n<|im_start|>user\nAda wrote to Karl in Paris.<|im_end|>\n"
    "<|im_start|>assistant\n"
)
CHOICES = ("A", "K", "P", "n")
LENGTH = 24
MARGIN = 0.1
"""Logits closer than that may swap places: llama.cpp keeps keys and values in 16 bits."""


def config_of(architecture: str) -> PretrainedConfig:
    head_size = 8 if architecture in ("llama", "qwen2") else 16
    more = {"layer_types": ["sliding_attention"] * 2, "sliding_window": 512} if architecture == "gemma3" else {}
    return CONFIGS[architecture](
        vocab_size=VOCABULARY, hidden_size=48, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=6, num_key_value_heads=2, head_dim=head_size, max_position_embeddings=512,
        initializer_range=0.25, query_pre_attn_scalar=head_size,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=CONTROL["<|im_end|>"], pad_token_id=None, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of an architecture, its folder and its GGUF file."""
    made: dict[str, tuple[Any, Path, Path]] = {}

    def base_of(architecture: str) -> tuple[Any, Path, Path]:
        if architecture not in made:
            torch.manual_seed(5)
            model = AutoModelForCausalLM.from_config(config_of(architecture)).eval()
            with torch.no_grad():
                for name, weights in model.named_parameters():
                    if name.endswith(("norm.weight", ".bias")):
                        weights.add_(torch.randn_like(weights) * 0.2)
                head = model.get_output_embeddings().weight
                head.mul_(3)
                head[[token for token in range(VOCABULARY) if not 32 <= token < 127]] = 0  # answers are plain letters
            folder = tmp_path_factory.mktemp(architecture)
            model.save_pretrained(folder / "base")
            made[architecture] = model, folder / "base", write_gguf_of(model, folder / "base.gguf")
        return made[architecture]

    return base_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "el4ner" / "merged"


def tuned(folder: Path, output: Path, **settings: Any) -> Path:
    """An adapter far from zero on a base."""
    torch.manual_seed(7)
    given = {"r": 4, "lora_alpha": 6, "target_modules": ALL, "task_type": "CAUSAL_LM", "init_lora_weights": False}
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), peft.LoraConfig(**given | settings))
    model.save_pretrained(output)
    return output


def by_peft(folder: Path, adapter: Path | None) -> tuple[dict[str, float], str]:
    """Probabilities of the choices, and the greedy answer up to where two tokens are nearly as good as each other."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    ids = torch.tensor([tokens_of(PROMPT)])
    with torch.inference_mode():
        logits = model(input_ids=ids).logits[0, -1]
        answer = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH, do_sample=False, pad_token_id=0,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    best = [step[0].topk(2).values for step in answer.logits]
    clear = next((at for at, (first, second) in enumerate(best) if first - second < MARGIN), LENGTH)
    chances = torch.softmax(logits[[ord(choice) for choice in CHOICES]], 0).tolist()
    return dict(zip(CHOICES, chances, strict=True)), bytes(
        answer.sequences[0, ids.shape[1] :][:clear].tolist()
    ).decode()


def by_llama_cpp(path: Path, adapter: Path | None) -> tuple[dict[str, float], str]:
    settings = {"adapter": str(adapter)} if adapter else {}
    config = MemberConfig(name="tiny", engine="local", model=str(path), constrain=False, **settings)

    async def ask() -> tuple[dict[str, float], str]:
        member = GgufEngine(config, RoundRobinScheduler(4))
        try:
            choice = await member.choose(Request("classify", ASKED, 8, choices=CHOICES))
            answer = await member.generate(Request("extract", ASKED, LENGTH))
        finally:
            await member.close()
        assert choice.log_probs is not None
        return {label: math.exp(value) for label, value in choice.log_probs.items()}, answer.text

    return asyncio.run(ask())


def assert_same(base: Any, architecture: str, adapter: Path | None) -> tuple[dict[str, float], str]:
    _, folder, path = base(architecture)
    (chances, text), (expected, said) = by_llama_cpp(path, adapter), by_peft(folder, adapter)
    assert chances == pytest.approx(expected, abs=1e-2)
    assert len(said) >= 3 and text.startswith(said)
    return chances, said


@pytest.mark.parametrize("architecture", CONFIGS)
def test_an_adapter_of_all_linear_modules_computes_what_peft_computes(base: Any, architecture: str, tmp_path: Path):
    adapter = tuned(base(architecture)[1], tmp_path / "adapter")
    before, after = assert_same(base, architecture, None), assert_same(base, architecture, adapter)
    assert before != after
    assert max(abs(before[0][choice] - after[0][choice]) for choice in CHOICES) > 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True, "r": 8, "lora_alpha": 4},
        {
            "use_rslora": True,
            "rank_pattern": {"k_proj": 2},
            "alpha_pattern": {"layers.1.mlp.down_proj": 9, "k_proj": 3},
        },
        {"target_modules": ["q_proj", "k_proj"], "layers_to_transform": [1]},
        {"target_modules": r".*\.0\.self_attn\.[qk]_proj"},
    ],
)
def test_ranks_scales_and_choices_of_modules_are_peft_s(base: Any, tmp_path: Path, settings: dict[str, Any]):
    assert_same(base, "llama", tuned(base("llama")[1], tmp_path / "adapter", **settings))


def test_an_adapter_in_bfloat16_is_read(base: Any, tmp_path: Path):
    adapter = tuned(base("llama")[1], tmp_path / "adapter")
    changed(adapter, lambda name, values: {name: values.to(torch.bfloat16)})
    assert_same(base, "llama", adapter)


def changed(adapter: Path, change: Any) -> Path:
    """The adapter with tensors replaced by others."""
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    save_file({new: kept for name, values in stored.items() for new, kept in change(name, values).items()}, path)
    return adapter


def merged_file(base: Any, adapter: Path, architecture: str = "llama") -> Path:
    path = base(architecture)[2]
    return merge_system_message(adapter, path, read_header(path), "its hash")


def test_an_adapter_is_merged_once_and_again_when_it_changes(base: Any, tmp_path: Path, cache: Path):
    adapter = tuned(base("llama")[1], tmp_path / "adapter")
    first = merged_file(base, adapter)
    content = first.stat().st_ino
    assert merged_file(base, adapter) == first and first.stat().st_ino == content
    (adapter / "README.md").write_text("# a card")
    assert merged_file(base, adapter) == first
    changed(adapter, lambda name, values: {name: values * 2})
    assert merged_file(base, adapter) != first
    assert len(list(cache.iterdir())) == 2


def test_the_merged_files_used_last_stay(base: Any, tmp_path: Path, cache: Path):
    adapter = tuned(base("llama")[1], tmp_path / "adapter")
    first = merged_file(base, adapter)
    for number in range(8):
        old = cache / f"{number}.gguf"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    assert merged_file(base, adapter) == first
    assert sorted(file.name for file in cache.iterdir()) == sorted([first.name, *(f"{n}.gguf" for n in range(3, 8))])


def test_an_adapter_changes_the_fingerprint(base: Any, tmp_path: Path):
    path, adapter = base("llama")[2], tuned(base("llama")[1], tmp_path / "adapter")

    def fingerprint(**settings: str) -> str:
        return GgufEngine(
            MemberConfig(name="tiny", engine="local", model=str(path), **settings), RoundRobinScheduler(4)
        ).fingerprint

    before = fingerprint(adapter=str(adapter))
    assert before != fingerprint()
    changed(adapter, lambda name, values: {name: values * 2})
    assert before != fingerprint(adapter=str(adapter))


def test_a_cache_that_cannot_be_written_is_named(base: Any, tmp_path: Path, cache: Path):
    adapter = tuned(base("llama")[1], tmp_path / "adapter")
    cache.parent.parent.write_text("no folder")
    with pytest.raises(ModelError, match="let XDG_CACHE_HOME name a folder"):
        merged_file(base, adapter)


def refused(path: Path, adapter: Path, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        GgufEngine(
            MemberConfig(name="tiny", engine="local", model=str(path), adapter=str(adapter)), RoundRobinScheduler(4)
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_dora": True}, "uses DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "uses tuned biases"),
        ({"lora_bias": True}, "uses a bias"),
        ({"init_lora_weights": "pissa"}, "uses init_lora_weights"),
        ({"new_trick": 1}, "uses new_trick"),
        ({"peft_type": "IA3"}, "is no LoRA adapter"),
        ({"r": 5}, "has not the shape of rank 5"),
        ({"target_modules": ["q_proj", "v_proj"]}, "lacks 2 of the matrices"),
    ],
)
def test_what_this_form_cannot_say_is_refused(base: Any, tmp_path: Path, settings: dict[str, Any], said: str):
    adapter = tuned(base("llama")[1], tmp_path / "adapter", target_modules=["q_proj", "k_proj"])
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    refused(base("llama")[2], adapter, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n, v: {} if "layers.1" in n else {n: v}, "lacks 1 of the matrices"),
        (lambda n, v: {} if "lora_B" in n else {n: v}, "has not the shape"),
        (lambda n, v: {n.replace("layers.1", "layers.7"): v}, "has no matrix model.layers.7"),
        (lambda n, v: {n: v[:, :-1].contiguous()} if "lora_A" in n else {n: v}, "has not the shape"),
        (lambda n, v: {n: v.to(torch.int8)}, "is no LoRA matrix"),
        (lambda n, v: {n: v, "base_model.model.lm_head.weight": v.clone()}, "is no LoRA matrix"),
        (lambda n, v: {}, "lacks 2 of the matrices"),
    ],
)
def test_tensors_that_are_not_the_base_s_are_refused(base: Any, tmp_path: Path, change: Any, said: str):
    adapter = tuned(base("llama")[1], tmp_path / "adapter", target_modules=["q_proj"])
    refused(base("llama")[2], changed(adapter, change), said)


def test_adapters_of_other_models_are_refused(base: Any, tmp_path: Path):
    adapter = tuned(base("qwen2")[1], tmp_path / "adapter")
    refused(base("llama")[2], adapter, "was tuned on a qwen2 model, and the GGUF file is llama")
    refused(base("qwen3")[2], tuned(base("llama")[1], tmp_path / "other"), "was tuned on a llama model")
    other = dataclasses.replace(read_header(base("qwen2")[2]), architecture="rwkv7")
    with pytest.raises(ModelError, match="only for llama, qwen2"):
        check_adapter(adapter, other)


def test_adapters_that_change_nothing_or_are_broken_are_refused(base: Any, tmp_path: Path):
    adapter = tuned(base("llama")[1], tmp_path / "adapter")
    spoilt = shutil.copytree(adapter, tmp_path / "spoilt")
    with pytest.raises(ModelError, match="not finite"):
        merged_file(base, changed(spoilt, lambda n, v: {n: v * math.nan}))
    with pytest.raises(ModelError, match="changes nothing"):
        merged_file(base, changed(adapter, lambda n, v: {n: v * 0} if "lora_B" in n else {n: v}))
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(base("llama")[2], adapter, "no safetensors file")
    weights.rename(adapter / "adapter_model.bin")
    refused(base("llama")[2], adapter, "holds no adapter_model.safetensors")


@pytest.mark.models
def test_an_adapter_moves_a_real_quantised_model_as_it_moves_its_base(tmp_path: Path):
    resolve, store = (pytest.importorskip(f"el4ner.models.{name}") for name in ("resolve", "store"))
    if store.installed("smollm2-135m") is None:
        pytest.skip("smollm2-135m is not installed; get it: python -m el4ner.models get smollm2-135m")
    folder, path = resolve.weights_folder("smollm2-135m"), resolve.file_to_run("smollm2-135m")
    adapter = changed(tuned(folder, tmp_path / "adapter", r=16), lambda name, values: {name: values * STRENGTH})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model = peft.PeftModel.from_pretrained(base, adapter).eval()
    expected = [by_transformers(model, tokenizer, word) for word in WORDS]
    with model.disable_adapter():
        untuned = [by_transformers(model, tokenizer, word) for word in WORDS]
    found = chances_of(path, adapter)
    assert distance(found, expected) < 0.05
    assert distance(untuned, expected) > 0.2


WORDS = ("Paris", "Ada", "window")
KINDS = ("person", "place", "none")
STRENGTH = 2.0


def kind_of(word: str) -> tuple[Message, ...]:
    return Message("system", "Say what a word names: person, place or none."), Message("user", word)


def by_transformers(model: Any, tokenizer: Any, word: str) -> list[float]:
    """Probabilities of the kinds, by their first tokens."""
    scheduler = [{"role": message.role, "content": message.content} for message in kind_of(word)]
    ids = tokenizer.apply_chat_template(scheduler, add_generation_prompt=True, return_dict=False)
    firsts = [tokenizer(kind, add_special_tokens=False)["input_ids"][0] for kind in KINDS]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1, firsts]
    chances: list[float] = torch.softmax(logits, 0).tolist()
    return chances


def chances_of(path: Path, adapter: Path) -> list[list[float]]:
    async def ask() -> list[list[float]]:
        member = GgufEngine(
            MemberConfig(name="real", engine="local", model=str(path), adapter=str(adapter)), RoundRobinScheduler(4)
        )
        try:
            asked = [member.choose(Request("classify", kind_of(word), 8, choices=KINDS)) for word in WORDS]
            return [[math.exp(chance) for chance in c.log_probs.values()] for c in await asyncio.gather(*asked)]
        finally:
            await member.close()

    return asyncio.run(ask())


def distance(one: list[list[float]], other: list[list[float]]) -> float:
    """The mean difference of probabilities."""
    pairs = [pair for rows in zip(one, other, strict=True) for pair in zip(*rows, strict=True)]
    return sum(abs(a - b) for a, b in pairs) / len(pairs)
