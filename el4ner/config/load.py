"""Configurations read from YAML files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from el4ner.config.ensemble import Config
from el4ner.config.paths import shipped_config, with_absolute_paths
from el4ner.config.problems import validate
from el4ner.config.yaml_files import read_yaml


def load_config(path: Path) -> Config:
    """Read and check a configuration file, or one that ships, by its name.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    path = shipped_config(str(path)) or path
    return parse_config(read_yaml(path), base=path.parent, where=str(path))


def include_files(data: Any, base: Path, keys: Iterable[str]) -> Any:
    """The content of a YAML file, with that of the files which it names in place of some of its lists.

    Args:
        data: the content.
        base: the folder that the files' paths are relative to.
        keys: keys whose value may be a path, for instance ``labels: labels/resume.yaml``.

    Raises:
        ConfigError: such a file cannot be read, or is not YAML.
    """
    if not isinstance(data, dict):
        return data
    named = {key: data[key] for key in keys if isinstance(data.get(key), str)}
    return data | {key: read_yaml(base / name) for key, name in named.items()}


def parse_config(data: Any, *, base: Path, where: str = "configuration") -> Config:
    """Check a configuration read from YAML; relative paths in it are taken from ``base``.

    ``labels: FILE`` takes the label set from another YAML file.
    """
    config = validate(Config, include_files(data, base, ["labels"]), where)
    return with_absolute_paths(config, base)
