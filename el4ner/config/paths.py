"""Paths in a configuration: relative to its file, or inside the package; and names of models, which are none."""

import re
from pathlib import Path

import el4ner
from el4ner.config.ensemble import Config
from el4ner.config.members import MemberConfig, ServeConfig
from el4ner.errors import ConfigError

BUNDLED = "bundled:"
"""Prefix of paths that lie inside the package, for instance ``bundled:pool.jsonl``."""


def bundled_path(name: str) -> Path:
    """Where something that ships inside the package lies, for instance ``bundled:pool.jsonl``."""
    return Path(el4ner.__file__).parent / "bundled" / name.removeprefix(BUNDLED)


def shipped_config(name: str) -> Path | None:
    """The file of a configuration that ships, by its name (a word without a suffix); None for what is a path.

    Raises:
        ConfigError: it is a name, and no such configuration is here.
    """
    if Path(name).is_file() or not is_model_name(name) or Path(name).suffix:
        return None
    folder = Path(el4ner.__file__).parent / "configs"
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        there = f"those that ship are {', '.join(known)}" if known else f"none ship in {folder}"
        raise ConfigError(f"there is no configuration {name!r}; {there}; or give the path of a YAML file")
    return known[name]


def absolute_path(path: str, base: Path) -> str:
    """A configuration's path: what it names with ``bundled:``, or taken from the folder ``base``."""
    return str(bundled_path(path)) if path.startswith(BUNDLED) else str((base / path).resolve())


def is_model_name(model: str) -> bool:
    """Whether a ``model`` can be the name of one that ``el4ner.models`` installs: a word, no path."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", model) is not None


def locate_model(model: str, base: Path) -> str:
    """A configuration's ``model``: a name as it stands, unless something in the folder ``base`` is called so; else a path."""
    return model if is_model_name(model) and not (base / model).exists() else absolute_path(model, base)


def with_absolute_paths(config: Config, base: Path) -> Config:
    """The configuration with its relative paths taken from ``base``."""

    def resolve(path: str | None) -> str | None:
        return None if path is None else absolute_path(path, base)

    def serve(section: ServeConfig | None) -> ServeConfig | None:
        paths = {"model": locate_model(section.model, base), "adapter": resolve(section.adapter)} if section else {}
        return section.model_copy(update=paths) if section else None

    def member(section: MemberConfig) -> MemberConfig:
        if section.engine == "http":
            return section.model_copy(update={"serve": serve(section.serve)})
        paths = {"model": locate_model(section.model, base), "adapter": resolve(section.adapter)}
        return section.model_copy(update=paths)

    members = tuple(member(section) for section in config.members)
    embedder = config.embedder.model_copy(update={"path": resolve(config.embedder.path)})
    pool_path = "bundled:pool.jsonl" if config.pool.path == "bundled:pool" else config.pool.path
    pool = config.pool.model_copy(update={"path": resolve(pool_path), "index": resolve(config.pool.index)})
    classify = config.classify.model_copy(update={"combiner": resolve(config.classify.combiner)})
    sections = {"members": members, "embedder": embedder, "pool": pool, "classify": classify}
    return config.model_copy(update=sections)
