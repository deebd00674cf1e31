"""The configuration of a training run: files put together, mistakes named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.errors import ConfigError
from el4ner.train.config import load_train_config

from .conftest import LABELS, labelled, write_jsonl


def write_config(folder: Path, **changes: Any) -> Path:
    write_jsonl(folder / "a.jsonl", [labelled("1", "[Mira|PER] slept")])
    content = {
        "model": "m",
        "output": "o",
        "labels": LABELS,
        "data": [{"path": "a.jsonl", "language": "en"}],
        **changes,
    }
    (folder / "train.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "train.yaml"


def test_data_paths_are_taken_from_the_configuration_or_the_data_root(tmp_path: Path):
    config = load_train_config(write_config(tmp_path))
    assert config.data[0].path == str((tmp_path / "a.jsonl").resolve())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_jsonl(elsewhere / "a.jsonl", [])
    config = load_train_config(tmp_path / "train.yaml", elsewhere)
    assert config.data[0].path == str((elsewhere / "a.jsonl").resolve())


def test_the_places_of_models_are_taken_from_the_configuration(tmp_path: Path):
    folder = tmp_path / "configs"
    folder.mkdir()
    config = load_train_config(write_config(folder, model="../base", output="../tuned"))
    assert (config.model, config.output) == (str(tmp_path / "base"), str(tmp_path / "tuned"))
    bundled = load_train_config(write_config(folder, model="bundled:embedder", output=str(tmp_path / "x")))
    assert Path(bundled.model, "config.json").is_file() and bundled.output == str(tmp_path / "x")


def test_labels_and_data_may_lie_in_files_of_their_own(tmp_path: Path):
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(LABELS), encoding="utf-8")
    (tmp_path / "data.yaml").write_text(yaml.safe_dump([{"path": "a.jsonl", "language": "zh"}]), encoding="utf-8")
    config = load_train_config(write_config(tmp_path, labels="labels.yaml", data="data.yaml"))
    assert [label.name for label in config.labels] == ["PER", "LOC", "ORG"]
    assert config.data[0].language == "zh"


def test_another_list_of_data_may_be_given(tmp_path: Path):
    (tmp_path / "lists").mkdir()
    other = tmp_path / "lists" / "other.yaml"
    other.write_text(yaml.safe_dump([{"path": str(tmp_path / "a.jsonl"), "language": "zh"}]), encoding="utf-8")
    config = load_train_config(write_config(tmp_path), tmp_path / "elsewhere", other)
    assert [(data.path, data.language) for data in config.data] == [(str((tmp_path / "a.jsonl").resolve()), "zh")]
    with pytest.raises(ConfigError, match="cannot read"):
        load_train_config(tmp_path / "train.yaml", None, tmp_path / "nowhere.yaml")


def test_a_language_is_repeated_on_top_of_its_files(tmp_path: Path):
    files = [{"path": "a.jsonl", "language": language, "repeat": 2} for language in ("en", "zh")]
    config = load_train_config(write_config(tmp_path, data=files, repeat={"zh": 1.5}))
    assert [data.repeat for data in config.data] == [2, 3]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repeat": {"zh": 0}}, "repeat must be above 0"),
        ({"optimization": {}}, "did you mean 'optimisation'"),
        ({"optimisation": {"learning_rat": 1}}, "did you mean 'learning_rate'"),
        ({"lora": {"rank": 12}}, "lora.rank"),
        ({"data": [{"path": "b.jsonl", "language": "en"}]}, "give their folder with --data-root"),
        ({"data": [{"path": "a.jsonl", "language": "en", "map": {"x": "GPE"}}]}, "data.map leads to GPE"),
        ({"labels": "nowhere.yaml"}, "cannot read"),
        ({"evaluation": {"fraction": 0, "patience": 2}}, "patience needs held-out sentences"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        load_train_config(write_config(tmp_path, **changes))


def test_all_mistakes_are_reported_at_once(tmp_path: Path):
    with pytest.raises(ConfigError, match="2 problem") as caught:
        load_train_config(write_config(tmp_path, seeed=1, tasks={"extract": -1}))
    assert "seeed" in str(caught.value) and "tasks.extract" in str(caught.value)


@pytest.mark.parametrize("content", ["just words", "- a\n- b\n", ""])
def test_a_file_without_keys_is_refused(tmp_path: Path, content: str):
    (tmp_path / "train.yaml").write_text(content)
    with pytest.raises(ConfigError, match="expected keys and values"):
        load_train_config(tmp_path / "train.yaml")
