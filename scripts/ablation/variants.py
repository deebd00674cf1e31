"""The rows of an ablation: the ensemble as configured, and configurations that change one thing in it."""

import sys
from dataclasses import dataclass
from typing import get_args

from el4ner.config import Config, Language, MemberConfig, validate
from el4ner.errors import ConfigError

ENSEMBLE = "ensemble"
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Variant:
    """A row: its name, and the configuration that it stands for."""

    name: str
    config: Config

    @property
    def folder(self) -> str:
        """The name as a folder's name."""
        return self.name.replace(" ", "-")


def make_variants(base: Config) -> list[Variant]:
    """All rows, the ensemble first; a configuration that cannot be is said on standard error and left out."""
    kept = base.extract.keep_pre_extracted
    shown = ("never", False), ("always", True), ("doubtful", "doubtful")
    candidates = {
        ENSEMBLE: base,
        **{f"alone {member.name}": alone(base, member.name) for member in base.members if len(base.members) > 1},
        **{f"without {member.name}": without(base, member.name) for member in base.members if len(base.members) > 2},
        **{f"{member.name} everywhere": everywhere(base, member) for member in base.members if is_bound(member)},
        **{f"demos {method}": changed(base, "demonstrations", method=method) for method in methods(base)},
        **{f"shots {name}": changed(base, "extract", few_shot=value) for name, value in shown},
        **{f"weights {name}": changed(base, "demonstrations", weights=name) for name in ("uniform", "labels")},
        **{f"verify {mode}": changed(base, "verify", mode=mode) for mode in ("off", "one", "all", "doubtful")},
        **{f"vote {rule}": voted(base, rule) for rule in ("plurality", "majority", "probability")},
        f"pre-spans {'drop' if kept else 'keep'}": changed(base, "extract", keep_pre_extracted=not kept),
    }
    return [Variant(name, config) for name, config in candidates.items() if is_possible(name, config)]


def methods(base: Config) -> tuple[str, ...]:
    """Ways to choose demonstrations: without a pool there is but one."""
    return ("none", "random", "sentence", "span") if base.pool.path is not None else ("none",)


def changed(config: Config, section: str, **values: object) -> Config:
    """The configuration with other values in one section."""
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def voted(config: Config, rule: str) -> Config:
    """The configuration with another vote; a threshold holds for mean probabilities alone."""
    threshold = config.classify.threshold if rule == "probability" else None
    return changed(config, "classify", rule=rule, threshold=threshold)


def alone(config: Config, name: str) -> Config:
    """The configuration with a single member, which judges its own answers."""
    single = config.model_copy(update={"members": tuple(m for m in config.members if m.name == name)})
    single = changed(changed(single, "verify", member=None), "extract", min_members=1)
    return changed(single, "batch", quorum=1)


def without(config: Config, name: str) -> Config:
    """The configuration without one of its members; if that was the judge, the first one left is."""
    left = tuple(member for member in config.members if member.name != name)
    if config.verify.member == name:
        config = changed(config, "verify", member=left[0].name)
    return changed(config.model_copy(update={"members": left}), "batch", quorum=min(config.batch.quorum, len(left)))


def is_bound(member: MemberConfig) -> bool:
    """Whether windows of some language are not sent to the member."""
    return not set(LANGUAGES) <= set(member.languages)


def everywhere(config: Config, member: MemberConfig) -> Config:
    """The configuration with one of its members asked about every language; its vote weighs 1 where no weight is given."""
    asked = member.model_copy(update={"languages": LANGUAGES})
    return config.model_copy(update={"members": tuple(asked if m == member else m for m in config.members)})


def is_possible(name: str, config: Config) -> bool:
    """Whether the configuration passes its own checks, which copies do not make."""
    try:
        validate(Config, config.model_dump(), f"variant {name!r}")
    except ConfigError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True
