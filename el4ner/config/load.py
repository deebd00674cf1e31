"""Configurations read from YAML files."""

from pathlib import Path
from typing import Any

import yaml

from el4ner.config.ensemble import Config
from el4ner.config.paths import with_absolute_paths
from el4ner.config.problems import validate
from el4ner.errors import ConfigError


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    return parse_config(read_yaml(path), base=path.parent, where=str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}; give the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML in UTF-8: {error}") from error


def parse_config(data: Any, *, base: Path, where: str = "configuration") -> Config:
    """Check a configuration read from YAML; relative paths in it are taken from ``base``."""
    config = validate(Config, data, where)
    return with_absolute_paths(config, base)
