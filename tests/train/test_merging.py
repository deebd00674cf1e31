"""Merged adapters: the merged model computes what base and adapter compute together."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from peft import LoraConfig as PeftLora  # noqa: E402
from peft import get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from el4ner.engines.tuning_record import TuningRecord, read_tuning_record, write_tuning_record  # noqa: E402
from el4ner.errors import ConfigError, ModelError  # noqa: E402
from el4ner.models.weights import check_model_folder  # noqa: E402
from el4ner.train.__main__ import main  # noqa: E402
from el4ner.train.config import LoraConfig  # noqa: E402
from el4ner.train.merging import merge  # noqa: E402
from el4ner.train.tuning import add_lora  # noqa: E402

IDS = torch.tensor([[7, 9, 11, 13]])


@pytest.fixture(params=["glm4", "qwen3"])
def base(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> Path:
    return tiny_model(request.param)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    model = add_lora(AutoModelForCausalLM.from_pretrained(base), LoraConfig(rank=8))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").write_text("# tuned\n", encoding="utf-8")
    write_tuning_record(tmp_path / "adapter", TuningRecord("compact", ("drug",)))
    return tmp_path / "adapter"


@torch.no_grad()
def logits(model: Any) -> Any:
    return model.eval()(IDS).logits


def test_a_merged_model_is_base_and_adapter(base: Path, adapter: Path, tmp_path: Path):
    from peft import PeftModel

    assert merge(adapter, tmp_path / "merged") == base
    check_model_folder(tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    together = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    assert torch.allclose(logits(merged), logits(together), atol=1e-4)
    assert not torch.allclose(logits(merged), logits(AutoModelForCausalLM.from_pretrained(base)), atol=1e-2)
    assert (tmp_path / "merged" / "chat_template.jinja").is_file()
    assert read_tuning_record(tmp_path / "merged") == TuningRecord("compact", ("drug",))
    card = (tmp_path / "merged" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tuned") and f"merged into its base, {base.name}" in card


def test_the_command_merges_with_another_base_and_precision(base: Path, adapter: Path, tmp_path: Path, capsys: Any):
    moved = shutil.copytree(base, tmp_path / "moved")
    settings = adapter / "adapter_config.json"
    named = json.loads(settings.read_text()) | {"base_model_name_or_path": "/nowhere/base"}
    settings.write_text(json.dumps(named))
    output = tmp_path / "merged"
    assert main(["merge", "--adapter", str(adapter), "--output", str(output)]) == 2
    assert "give the base's folder by --model" in capsys.readouterr().err
    more = ["--model", str(moved), "--dtype", "float16"]
    assert main(["merge", "--adapter", str(adapter), "--output", str(output), *more]) == 0
    assert json.loads(capsys.readouterr().out) == {"output": str(output), "base": str(moved)}
    assert AutoModelForCausalLM.from_pretrained(output, dtype="auto").dtype == torch.float16


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_of_tied_embeddings_is_refused(tiny_model: Callable[..., Path], tmp_path: Path, target: str):
    folder = tiny_model("qwen3")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    tied = tmp_path / "tied"
    model.save_pretrained(tied)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tied / name)
    settings = PeftLora(r=4, target_modules=["q_proj", target], task_type="CAUSAL_LM")
    get_peft_model(model, settings).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match="one matrix at both ends"):
        merge(tmp_path / "adapter", tmp_path / "merged", tied)


def test_a_model_is_not_overwritten(base: Path, adapter: Path):
    with pytest.raises(ConfigError, match="holds a model already"):
        merge(adapter, base)


def test_what_is_no_adapter_is_refused(base: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="holds no adapter_model"):
        merge(base, tmp_path / "merged")
