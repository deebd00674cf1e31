"""What all sections of a configuration are made of."""

import logging
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

logger = logging.getLogger(__name__)
Language = Literal["en", "zh"]
Word = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]
"""What the models call a type: on one line, without white space around it."""
DeletedKey = tuple[tuple[Any, ...] | None, str]
ANY_VALUE = None
NONE_WORDS: Mapping[Language, str] = MappingProxyType({"en": "none", "zh": "无"})
"""What the models call a candidate that is no entity."""


class Section(BaseModel):
    """A part of a configuration: frozen, unknown keys refused.

    Attributes:
        former_keys: former names of keys, with the present ones; each is accepted, with a warning.
        deleted_keys: keys that no longer exist. Each has the values that change nothing, which are ignored with a warning
            (``ANY_VALUE``: all of them), and what to do instead; other values are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
    former_keys: ClassVar[Mapping[str, str]] = MappingProxyType({})
    deleted_keys: ClassVar[Mapping[str, DeletedKey]] = MappingProxyType({})

    @model_validator(mode="before")
    @classmethod
    def _accept_former_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        present = {}
        for key, value in data.items():
            if key in cls.deleted_keys:
                _check_deleted(key, value, *cls.deleted_keys[key])
                continue
            name = cls.former_keys.get(key, key)
            if name != key and name in data:
                raise ValueError(f"{key} is now called {name}; delete {key}")
            if name != key:
                warn_once(f"configuration key {key} is now called {name}; the old name still works")
            present[name] = value
        return present


def _check_deleted(key: str, value: Any, harmless: tuple[Any, ...] | None, advice: str) -> None:
    if harmless is not ANY_VALUE and value not in harmless:
        raise ValueError(f"{key} can no longer be set: {advice}; delete it")
    warn_once(f"configuration key {key} is ignored and can be deleted: {advice}")


@cache
def warn_once(message: str) -> None:
    """Log a warning, once a process: a configuration names some keys for each member."""
    logger.warning("%s", message)


@cache
def former_keys() -> Mapping[str, str]:
    """The former names of keys of all sections, with the present ones."""
    return {old: new for section in Section.__subclasses__() for old, new in section.former_keys.items()}
