"""The configurations that docs/mrc.md shows are ones that load."""

import re
from pathlib import Path

import yaml

from el4ner.config import LabelConfig, parse_config

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "mrc.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_label_is_one():
    (label,) = yaml.safe_load(BLOCKS[0])["labels"]
    assert LabelConfig.model_validate(label).question("zh").endswith("？")


def test_the_members_can_be_added_to_the_configurations_that_ship():
    assert len(BLOCKS) == 3
    for block, name, added in ((BLOCKS[1], "starter", "glm"), (BLOCKS[2], "chinese", "glm4-mrc")):
        member, section = block.split("\nmrc:")
        content = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
        content["members"] = [*[m for m in content["members"] if m["name"] != added], *yaml.safe_load(member)]
        content["mrc"] = yaml.safe_load(f"mrc:{section}")["mrc"]
        config = parse_config(content, base=ROOT / "configs")
        assert config.members[-1].name == added and config.members[-1].role == "mrc"


def test_an_adapter_shares_the_server_of_its_base():
    served = {
        m["endpoint"]: m["serve"] for m in yaml.safe_load((ROOT / "configs" / "chinese.yaml").read_text())["members"]
    }
    (member,) = yaml.safe_load(BLOCKS[2].split("\nmrc:")[0])
    shared = dict(member["serve"])
    assert shared.pop("adapter") and served[member["endpoint"]] == shared
