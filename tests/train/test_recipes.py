"""Training recipes that ship: each loads, and what it tunes by adapters can be served."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")

from el4ner.prompts.questions import Questions
from el4ner.prompts.render import Prompts
from el4ner.serve.adapters import check_targets
from el4ner.train.config import load_train_config

from .conftest import labelled, write_jsonl

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs" / "train").glob("*.yaml"))
ARCHITECTURES = {
    "glm-4-9b-mrc": "Glm4ForCausalLM",
    "glm-edge-1.5b-mrc": "GlmForCausalLM",
    "general-smollm2": "LlamaForCausalLM",
    "general-qwen": "Qwen2ForCausalLM",
}


def data_root(recipe: Path, folder: Path) -> Path:
    """A folder that holds every file that a recipe learns from, with a sentence each."""
    data = yaml.safe_load(recipe.read_text(encoding="utf-8"))["data"]
    if isinstance(data, str):
        data = yaml.safe_load((recipe.parent / data).read_text(encoding="utf-8"))
    for item in data:
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, [labelled("1", "It snowed .")])
    return folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_ships_loads(recipe: Path, tmp_path: Path):
    config = load_train_config(recipe, data_root(recipe, tmp_path))
    Prompts(config.prompt_style, config.labels)
    if config.tasks.mrc:
        questions = Questions(config.prompt_style, config.labels, config.mrc.types_per_call)
        assert len(questions.groups) == len(config.labels)
        own = all(label.question(item.language) for label in config.labels for item in config.data)
        assert own or config.prompt_style == "compact"  # which asks by the label's word
    only = config.tasks.only("mrc")
    assert (only.extract, only.classify, only.verify) == (0, 0, 0) and only.mrc > 0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adapters_of_the_recipes_can_be_served(name: str, tmp_path: Path):
    recipe = ROOT / "configs" / "train" / f"{name}.yaml"
    lora = load_train_config(recipe, data_root(recipe, tmp_path)).lora
    assert lora is not None and lora.served
    check_targets(ARCHITECTURES[name], set(lora.targets), name)
    assert "gate_up_proj" not in lora.targets


def test_the_recipes_are_there():
    assert {path.stem for path in RECIPES} >= {*ARCHITECTURES, "mrc-experiment"}
