"""The rows of an experiment on one set: each member alone, the ensemble, and what is made of the ensemble's candidates.

All follow the paper: every member is always asked with demonstrations, the candidates are the union of what members found,
heads are counted, and nothing is verified but in the rows that say so. What a row's name does not say is as configured.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ablation.design import Design
from ablation.sets import LabelledSet
from ablation.variants import alone, changed, voted
from el4ner.config import Config, MemberConfig, PoolConfig, validate
from el4ner.errors import ConfigError

ENSEMBLE = "ensemble"
K = 5
ZERO, RANDOM, SENTENCE, SPAN = "zero", f"random-{K}", f"sentence-{K}", f"span-{K}"
OTHER_K = (1, 3, 8)
FORMATS = ("inline", "lines", "json")
VOTES = ("majority", "probability", "two-stage")
VERIFIED = ("verify-one", "verify-doubtful", "verify-all")
DERIVED = ("union", "label-free", "learned")
"""Rows that are computed from the candidates of the ensemble's row ``SPAN``, without any member."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row on one set.

    Attributes:
        name: ``WHO/WHAT``, for instance ``smollm2/span-5``; also its folder.
        config: what it stands for; None: it is derived.
        limit: how many of the set's gold sentences it is about.
        phase: rows of a lower one are computed first, on all sets.
    """

    name: str
    config: Config | None
    limit: int
    phase: int

    @property
    def who(self) -> str:
        """The member or the ensemble."""
        return self.name.split("/")[0]

    @property
    def what(self) -> str:
        """What is done with it."""
        return self.name.split("/")[1]

    @property
    def source(self) -> str:
        """The row that a derived one is computed from."""
        return f"{self.who}/{SPAN}"


def rows_of(base: Config, labelled: LabelledSet, design: Design) -> list[Row]:
    """All rows on a set, in the order they are computed in; none where no member is asked about it.

    Raises:
        ConfigError: its labels do not fit the configuration.
    """
    members = [member for member in base.members if is_asked(member, labelled, design)]
    if not members:
        return []
    config = on_set(base, members, labelled)
    rows: list[Row] = []
    for member in members:
        rows += _alone(config, member, design)
    for name, names in ensembles([member.name for member in members], design).items():
        rows += _together(config, name, names, design)
    return sorted(rows, key=lambda row: row.phase)


def is_asked(member: MemberConfig, labelled: LabelledSet, design: Design) -> bool:
    """Whether a member takes part on a set."""
    speaks = labelled.language in member.languages
    return speaks and member.role == "el4ner" and design.asks(member.name, labelled.name)


def ensembles(members: Sequence[str], design: Design) -> dict[str, list[str]]:
    """The ensembles of a set by name: all members that are asked everything; these with each one that is asked less."""
    whole = [name for name in members if not design.is_limited(name)]
    wider = {f"{ENSEMBLE}+{name}": [*whole, name] for name in members if design.is_limited(name)}
    return {name: names for name, names in ({ENSEMBLE: whole} | wider).items() if len(names) > 1}


def on_set(base: Config, members: Sequence[MemberConfig], labelled: LabelledSet) -> Config:
    """The configuration with a set's labels and language, asked and counted as the paper does."""
    judge = base.verify.member if base.verify.member in {member.name for member in members} else None
    config = base.model_copy(
        update={
            "language": labelled.language,
            "labels": labelled.labels,
            "members": tuple(member.model_copy(update={"weight": {}}) for member in members),
            "pool": PoolConfig(path="pool.jsonl"),
        }
    )
    config = changed(config, "demonstrations", method="span", k=K)
    config = changed(config, "extract", pre_extract=True, few_shot=True, keep_pre_extracted=False)
    counted = {"rule": "plurality", "combiner": None, "threshold": None, "tie": "none"}
    config = changed(config, "classify", **counted, unextracted_vote_discount=1.0, abstention="ignore")
    config = changed(config, "verify", mode="off", member=judge)
    config = changed(config, "batch", candidates=True, quorum=1)
    return validate(Config, config.model_dump(), f"set {labelled.name}")


def with_demonstrations(config: Config, method: str, k: int) -> Config:
    """The configuration with other demonstrations; spans are looked for beforehand where they choose them, or are all."""
    config = changed(config, "demonstrations", method=method, k=k)
    return changed(config, "extract", pre_extract=method in ("span", "none"))


def check_names(base: Config, design: Design) -> None:
    """Say which members do not take part, and which names of the design the configuration does not know.

    Raises:
        ConfigError: a member has the name of the ensemble.
    """
    names = [member.name for member in base.members]
    if ENSEMBLE in names:
        raise ConfigError(f"a member is called {ENSEMBLE!r}, and so are the rows of all together; rename the member")
    for member in base.members:
        if member.role != "el4ner":
            print(f"{member.name}: left out, for a member of role {member.role} is asked otherwise", file=sys.stderr)
    for name in sorted({one.name for one in design.members} - set(names)):
        print(f"{name}: limited by the experiment, but no member of the configuration", file=sys.stderr)


def _alone(config: Config, member: MemberConfig, design: Design) -> list[Row]:
    """A member's own rows: demonstrations first, then answer formats, then other k."""
    own, limit, late = alone(config, member.name), design.limit_of([member.name]), 10 * design.is_limited(member.name)
    first = {
        ZERO: with_demonstrations(own, "none", 0),
        RANDOM: with_demonstrations(own, "random", K),
        SENTENCE: with_demonstrations(own, "sentence", K),
        SPAN: with_demonstrations(own, "span", K),
    }
    others = [name for name in FORMATS if name != member.answer_format]
    formats = {f"{SPAN}-{name}": _formatted(with_demonstrations(own, "span", K), name) for name in others}
    more = {f"span-{k}": with_demonstrations(own, "span", k) for k in OTHER_K}
    return [
        Row(f"{member.name}/{what}", of_row, limit, phase + late)
        for phase, group in ((0, first), (3, formats), (4, more))
        for what, of_row in group.items()
    ]


def _together(config: Config, name: str, members: Sequence[str], design: Design) -> list[Row]:
    """An ensemble's rows: demonstrations, votes and what is derived, then verification."""
    taking_part = tuple(member for member in config.members if member.name in members)
    config = config.model_copy(update={"members": taking_part})
    if config.verify.member not in members:
        config = changed(config, "verify", member=None)
    limit, late = design.limit_of(members), 10 * (name != ENSEMBLE)
    asked = {
        SPAN: (1, with_demonstrations(config, "span", K)),
        RANDOM: (1, with_demonstrations(config, "random", K)),
        SENTENCE: (1, with_demonstrations(config, "sentence", K)),
        **{rule: (1, voted(config, rule)) for rule in VOTES},
        **{mode: (2, changed(config, "verify", mode=mode.removeprefix("verify-"))) for mode in VERIFIED},
    }
    rows = [Row(f"{name}/{what}", of_row, limit, phase + late) for what, (phase, of_row) in asked.items()]
    return rows + [Row(f"{name}/{what}", None, limit, 1 + late) for what in DERIVED]


def _formatted(config: Config, name: str) -> Config:
    (member,) = config.members
    return config.model_copy(update={"members": (member.model_copy(update={"answer_format": name}),)})
