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


class Section(BaseModel):
    """A part of a configuration: frozen, unknown keys refused.

    Attributes:
        former_keys: names that keys once had, with the present ones; each is accepted, with a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
    former_keys: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @model_validator(mode="before")
    @classmethod
    def _accept_former_keys(cls, data: Any) -> Any:
        former = [key for key in data if key in cls.former_keys] if isinstance(data, dict) else []
        for key in former:
            if cls.former_keys[key] in data:
                raise ValueError(f"{key} is now called {cls.former_keys[key]}; delete {key}")
            _warn_of_former_key(key, cls.former_keys[key])
        return {cls.former_keys.get(key, key): value for key, value in data.items()} if former else data


@cache
def _warn_of_former_key(old: str, new: str) -> None:
    """Once a process: a configuration names some keys for each member."""
    logger.warning("configuration key %s is now called %s; the old name still works", old, new)


@cache
def former_keys() -> Mapping[str, str]:
    """The former names of keys of all sections, with the present ones."""
    return {old: new for section in Section.__subclasses__() for old, new in section.former_keys.items()}
