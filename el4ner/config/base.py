"""What all sections of a configuration are made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "zh"]
Word = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]
"""What the models call a type: on one line, without white space around it."""


class Section(BaseModel):
    """A part of a configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)
