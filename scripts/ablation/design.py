"""The design of an experiment on several sets: a YAML file that names each set's pool, gold and labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from el4ner.config import LabelConfig, Language, Section, include_files, read_yaml, validate


class SetDesign(Section):
    """One labelled set: a pool that demonstrations come from, and gold that is looked for and scored."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name, also that of its folder.")
    language: Language = Field(description="Of all its sentences; members that do not speak it are not asked.")
    pool: str | None = Field(default=None, description="File of labelled sentences, relative to the data root.")
    gold: str | None = Field(default=None, description="Likewise; its sentences are left out of the pool.")
    halves: str | None = Field(default=None, description="One file instead of the two: half is pool, half gold.")
    labels: tuple[LabelConfig, ...] = Field(min_length=1, description="Its entity types, or the path of their file.")

    @model_validator(mode="after")
    def _has_both(self) -> "SetDesign":
        if self.halves is None and not (self.pool and self.gold):
            raise ValueError("name pool and gold, or one file that is both: halves")
        if self.halves is not None and (self.pool or self.gold):
            raise ValueError("halves is pool and gold in one; leave out the other two")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it needs."""
        return tuple(name for name in (self.pool, self.gold, self.halves) if name)


class MemberDesign(Section):
    """A member that is asked less than the others, for instance because it is slow."""

    name: str = Field(description="As in the configuration.")
    sets: tuple[str, ...] | None = Field(default=None, description="The sets that it is asked about; null: all.")
    limit: int | None = Field(default=None, ge=2, description="Sentences of each; null: as many as the others.")


class Design(Section):
    """The whole experiment."""

    limit: int = Field(default=200, ge=2, description="Sentences of each set, at even distances.")
    sets: tuple[SetDesign, ...] = Field(min_length=1, description="The labelled sets.")
    members: tuple[MemberDesign, ...] = Field(default=(), description="Members that are asked less.")

    @model_validator(mode="after")
    def _names(self) -> "Design":
        names = [one.name for one in self.sets]
        problems = [f"set {name!r} stands twice; names must differ" for name in set(names) if names.count(name) > 1]
        for member in self.members:
            unknown = sorted(set(member.sets or ()) - set(names))
            problems += [f"member {member.name!r}: there is no set {name!r}" for name in unknown]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def asks(self, member: str, set_name: str) -> bool:
        """Whether a member is asked about a set."""
        return all(one.sets is None or set_name in one.sets for one in self.members if one.name == member)

    def limit_of(self, members: Sequence[str]) -> int:
        """On how many sentences of a set these members can be compared."""
        return min([self.limit, *(one.limit for one in self.members if one.name in members and one.limit)])

    def is_limited(self, member: str) -> bool:
        """Whether a member is asked less than others."""
        return any(one.name == member for one in self.members)


def load_design(path: Path) -> Design:
    """Read and check the file.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    data = read_yaml(path)
    if isinstance(data, dict) and isinstance(data.get("sets"), list):
        data = data | {"sets": [_with_labels(one, path.parent) for one in data["sets"]]}
    return validate(Design, data, str(path))


def _with_labels(data: Any, base: Path) -> Any:
    return include_files(data, base, ["labels"])
