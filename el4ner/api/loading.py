"""``el4ner.load``: from a configuration to an annotator."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

from el4ner.api.annotator import Annotator
from el4ner.api.inputs import documents_of
from el4ner.config import Config, Language, load_config, validate
from el4ner.environment import go_offline
from el4ner.errors import ConfigError

Labels: TypeAlias = Mapping[str, str] | Sequence[Mapping[str, Any]]
"""Definitions by type name; or label sections as in a configuration."""


def load(
    config: str | Path | Config = "default",
    *,
    labels: Labels | None = None,
    pool: Iterable[Mapping[str, Any]] | None = None,
) -> Annotator:
    """An ensemble that is ready to annotate; the models' weights are loaded with the first text.

    Args:
        config: the name of a configuration that ships (``default``, ``small``, ...), the path of a YAML file, or a configuration.
        labels: other labels than the configuration's: definitions by type name, ``{"DRUG": "a medicine by name"}``, or label
            sections. The models call a type as it is named, in lower case.
        pool: labelled sentences to learn from in place of the configuration's, as dictionaries with ``text`` and ``entities``
            (``start``, ``end``, ``type``). With other labels and no pool, none is used.

    Raises:
        ConfigError: there is no such configuration, or it is wrong.
        ModelError: a model is not installed, or cannot be used.
        InputError: the pool is wrong.
    """
    from el4ner.engines.meter import Meter
    from el4ner.pipeline import build_pipeline

    go_offline()
    resolved = _resolved(config, labels)
    documents = None if pool is None else documents_of(pool, "pool")
    if documents is None and labels is not None:
        resolved = resolved.model_copy(update={"pool": resolved.pool.model_copy(update={"path": None})})
    return Annotator(resolved, build_pipeline(resolved, Meter(), pool=documents))


def _resolved(config: str | Path | Config, labels: Labels | None) -> Config:
    resolved = config if isinstance(config, Config) else load_config(Path(config))
    if labels is None:
        return resolved
    sections = [_label(name, text) for name, text in labels.items()] if isinstance(labels, Mapping) else list(labels)
    sections_of = {name: getattr(resolved, name) for name in Config.model_fields}
    return validate(Config, sections_of | {"labels": sections}, "load: labels")


def _label(name: str, definition: object) -> dict[str, Any]:
    if not isinstance(definition, str):
        raise ConfigError(
            f"load: the definition of label {name!r} must be a string; for more give label sections in a list"
        )
    words = {language: name.lower() for language in get_args(Language)}
    return {"name": name, "words": words, "definitions": {"en": definition, "zh": definition}}
