"""The configurations that docs/mrc.md shows are ones that load."""

import re
from pathlib import Path

import yaml

from el4ner.config import LabelConfig, include_files, parse_config, read_yaml, validate
from el4ner.models.registry import registry
from el4ner.train.config import TrainConfig

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "mrc.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_the_label_is_one():
    (label,) = yaml.safe_load(BLOCKS[0])["labels"]
    assert LabelConfig.model_validate(label).question("zh").endswith("？")


def test_the_local_member_that_is_shown_loads(tmp_path: Path):
    content = yaml.safe_load(BLOCKS[1]) | {"labels": str(ROOT / "configs" / "labels" / "resume.yaml")}
    (reader,) = parse_config(content, base=tmp_path / "configs").members
    assert (reader.engine, reader.role) == ("local", "mrc") and reader.model in registry()
    assert reader.adapter == str(tmp_path / "out" / "trained" / "qwen-mrc")


def test_the_recipes_that_are_named_are_there():
    for name in re.findall(r"`(\S+-mrc\.yaml|configs/train/\S+\.yaml)`", TEXT):
        path = ROOT / "configs" / "train" / name.removeprefix("configs/train/")
        assert validate(TrainConfig, include_files(read_yaml(path), path.parent, ["labels"]), name).tasks.mrc > 0


def test_the_chinese_ensemble_loads_with_the_member_that_is_commented_out_in_it():
    text = (ROOT / "configs" / "chinese.yaml").read_text(encoding="utf-8")
    assert len(parse_config(yaml.safe_load(text), base=ROOT / "configs").members) == 3
    config = parse_config(
        yaml.safe_load(re.sub(r"^#(  - name: |    \w)", r"\1", text, flags=re.MULTILINE)), base=ROOT / "configs"
    )
    (shown,) = yaml.safe_load(BLOCKS[2])
    added = config.members[-1]
    assert added.role == "mrc" and added.model_dump(include=set(shown), exclude={"serve"}).items() <= shown.items()
    assert added.serve is not None and added.serve.adapter == shown["serve"]["adapter"]


def test_an_adapter_shares_the_server_of_its_base():
    served = {
        m["endpoint"]: m["serve"] for m in yaml.safe_load((ROOT / "configs" / "chinese.yaml").read_text())["members"]
    }
    (member,) = yaml.safe_load(BLOCKS[2])
    shared = dict(member["serve"])
    assert shared.pop("adapter") and served[member["endpoint"]] == shared
