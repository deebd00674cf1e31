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
    """The ensemble, then all rows that change something; one that cannot be is said on standard error and left out."""
    changes = {**of_members(base), **of_demonstrations(base), **of_verification(base), **of_votes(base)}
    rows = [Variant(name, config) for name, config in changes.items() if config != base and is_possible(name, config)]
    return [Variant(ENSEMBLE, base), *rows]


def of_members(base: Config) -> dict[str, Config]:
    """One member alone, one left out, one asked about every language."""
    many = len(base.members)
    return {
        **{f"alone {member.name}": alone(base, member.name) for member in base.members if many > 1},
        **{f"without {member.name}": without(base, member.name) for member in base.members if many > 2},
        **{f"{member.name} everywhere": everywhere(base, member) for member in base.members if is_bound(member)},
    }


def of_demonstrations(base: Config) -> dict[str, Config]:
    """Other demonstrations and span weights, more or fewer windows that are shown any, and whether what was found without them
    counts; nothing where there are none to show.
    """
    demos = base.demonstrations
    if base.pool.path is None or not (demos.k or base.mrc.k):
        return {}
    rows = {
        f"demos {method}": changed(base, "demonstrations", method=method)
        for method in ("none", "random", "sentence", "span")
    }
    if demos.method == "none":
        return rows
    # Members of role mrc are shown theirs in every window.
    by_window = any(member.role != "mrc" for member in base.members)
    if by_window:
        shown = ("never", False), ("always", True), ("doubtful", "doubtful")
        rows |= {f"shots {name}": changed(base, "extract", few_shot=value) for name, value in shown}
    if demos.method == "span":
        rows |= {f"weights {name}": changed(base, "demonstrations", weights=name) for name in ("uniform", "labels")}
    kept = base.extract.keep_pre_extracted
    if base.extract.pre_extract and (base.extract.few_shot or not by_window):
        rows[f"pre-spans {'drop' if kept else 'keep'}"] = changed(base, "extract", keep_pre_extracted=not kept)
    return rows


def of_verification(base: Config) -> dict[str, Config]:
    """Other ways to verify; nothing where no member does it."""
    if all(member.role != "el4ner" for member in base.members):
        return {}
    return {f"verify {mode}": changed(base, "verify", mode=mode) for mode in ("off", "one", "all", "doubtful")}


def of_votes(base: Config) -> dict[str, Config]:
    """Other votes; and full ones where members of role single-pass disagree, in place of weighed ones."""
    rows = {f"vote {rule}": voted(base, rule) for rule in ("plurality", "majority", "probability")}
    if sum(member.role == "single-pass" for member in base.members) > 1:
        rows["weigh off"] = changed(base, "classify", rescore_disputed=False)
    return rows


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
    single = changed(single, "verify", member=None)
    return changed(single, "batch", quorum=1)


def without(config: Config, name: str) -> Config:
    """The configuration without one of its members; if that was the judge, the first one left that can be is."""
    left = tuple(member for member in config.members if member.name != name)
    if config.verify.member == name:
        config = changed(config, "verify", member=next((m.name for m in left if m.role == "el4ner"), None))
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
