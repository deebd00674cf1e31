"""The configuration of an ensemble: one YAML file, every key with its meaning, all mistakes reported at once."""

from el4ner.config.base import NONE_WORDS, Language, Section, Word
from el4ner.config.ensemble import Config
from el4ner.config.load import include_files, load_config, parse_config
from el4ner.config.members import LabelConfig, MemberConfig, ServeConfig
from el4ner.config.paths import BUNDLED, absolute_path, bundled_path, is_model_name, locate_model
from el4ner.config.problems import validate
from el4ner.config.stages import (
    BatchConfig,
    ClassifyConfig,
    DemonstrationConfig,
    EmbedderConfig,
    EntityConfig,
    ExtractConfig,
    MrcConfig,
    PoolConfig,
    VerifyConfig,
    WindowConfig,
)
from el4ner.config.yaml_files import read_yaml

__all__ = [
    "BUNDLED",
    "NONE_WORDS",
    "BatchConfig",
    "ClassifyConfig",
    "Config",
    "DemonstrationConfig",
    "EmbedderConfig",
    "EntityConfig",
    "ExtractConfig",
    "LabelConfig",
    "Language",
    "MemberConfig",
    "MrcConfig",
    "PoolConfig",
    "Section",
    "ServeConfig",
    "VerifyConfig",
    "WindowConfig",
    "Word",
    "absolute_path",
    "bundled_path",
    "include_files",
    "is_model_name",
    "load_config",
    "locate_model",
    "parse_config",
    "read_yaml",
    "validate",
]
