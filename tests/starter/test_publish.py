"""What ships of a trained member: half precision, the same tokens, one card with one table of scores."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from el4ner.members.tuned import Tuned, write_tuned  # noqa: E402
from el4ner.models.weights import NOTE  # noqa: E402
from el4ner.starter.publish import main  # noqa: E402
from tests.tiny_models import save_tiny  # noqa: E402

SCORES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "span_f1": 0.4}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = save_tiny("qwen3", tmp_path / "trained")
    (folder / "README.md").write_text("# A member\n", encoding="utf-8")
    write_tuned(folder, Tuned("compact", ("person",)))
    return folder


def ablation(tmp_path: Path, variant: str) -> Path:
    path = tmp_path / "ablation.json"
    path.write_text(json.dumps({"sets": [{"name": "a set", "documents": 7, "scores": {variant: SCORES}}]}))
    return path


def test_weights_ship_in_half_precision(trained: Path, tmp_path: Path):
    assert main([str(trained), str(tmp_path / "member")]) == 0
    whole, half = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "member"))
    assert whole.keys() == half.keys()
    assert all(half[name].dtype == torch.float16 for name in half)
    assert all(torch.equal(half[name], whole[name].half()) for name in half)
    for file in ("tokenizer.json", "chat_template.jinja", "README.md", NOTE):
        assert (tmp_path / "member" / file).read_bytes() == (trained / file).read_bytes()


def test_scores_stand_once_in_the_card_however_often_it_is_published(trained: Path, tmp_path: Path):
    target = tmp_path / "member"
    arguments = [str(trained), str(target), "--scores", str(ablation(tmp_path, "alone member"))]
    assert [main(arguments), main(arguments)] == [0, 0]
    card = (target / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# A member\n")
    assert card.count("| a set | 7 | 50.0 | 25.0 | 33.3 | 40.0 |") == 1


@pytest.mark.parametrize("variant", ["alone other", None])
def test_scores_of_another_member_or_no_table_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], variant: str | None
):
    scores = ablation(tmp_path, variant or "")
    if variant is None:
        scores.write_text("not a table")
    assert main([str(trained), str(tmp_path / "member"), "--scores", str(scores)]) == 2
    assert "scripts/ablate.py" in capsys.readouterr().err


def test_an_adapter_ships_without_its_base(trained: Path, tmp_path: Path):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trained)
    adapter = tmp_path / "adapter"
    peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules=["q_proj"])).save_pretrained(adapter)
    (adapter / "README.md").write_text("# An adapter\n", encoding="utf-8")
    assert main([str(adapter), str(tmp_path / "shipped")]) == 0
    assert {path.name for path in (tmp_path / "shipped").iterdir()} == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    halves = load_file(tmp_path / "shipped" / "adapter_model.safetensors")
    assert halves and all(values.dtype == torch.float16 for values in halves.values())
    settings = json.loads((tmp_path / "shipped" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "trained" and settings["r"] == 8


def test_a_folder_without_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path), str(tmp_path / "member")]) == 2
    assert "el4ner.starter.publish:" in capsys.readouterr().err
