"""Type names on both sides of an evaluation: renaming, dropping, selecting, and a word on names that do not meet."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from el4ner.errors import ConfigError
from el4ner.text.nearest import did_you_mean, nearest_names
from el4ner.text.spans import Entity


@dataclass(frozen=True, slots=True)
class TypeSelection:
    """Which types are scored, under which names; the same for gold and predictions.

    Attributes:
        renamed: new name of a type; empty: entities of the type are dropped. Applied once, not in chains.
        kept: names, after renaming, that are scored; None: all.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] | None = None

    def apply(self, entities: Iterable[Entity]) -> frozenset[Entity]:
        """The entities that are scored, renamed; those that become equal count once."""
        renamed = (Entity(e.start, e.end, self.renamed.get(e.type, e.type)) for e in entities)
        return frozenset(e for e in renamed if e.type and (self.kept is None or e.type in self.kept))


def parse_renaming(items: Sequence[str]) -> dict[str, str]:
    """``["PERSON=PER", "MISC="]`` as a mapping; nothing after ``=`` drops the type.

    Raises:
        ConfigError: an item has no ``=`` or no name before it, or a type is renamed twice.
    """
    renamed: dict[str, str] = {}
    for item in items:
        old, separator, new = (part.strip() for part in item.partition("="))
        if not separator or not old:
            raise ConfigError(f"--map {item}: expected OLD=NEW, or OLD= to leave the type out")
        if renamed.get(old, new) != new:
            raise ConfigError(f"--map renames {old!r} to {renamed[old]!r} and to {new!r}; keep one")
        renamed[old] = new
    return renamed


def selection_notes(selection: TypeSelection, present: Collection[str]) -> list[str]:
    """One line for each name in the selection that no file has; ``present``: type names as the files state them."""
    notes = [
        f"--map {old}={new}: no file has the type {old!r}{nearest(old, present)}"
        for old, new in selection.renamed.items()
        if old not in present
    ]
    named = {selection.renamed.get(name, name) for name in present} - {""}
    missing = sorted((selection.kept or frozenset()) - named)
    return notes + [f"--types {name}: no file has this type{nearest(name, named)}" for name in missing]


def unknown_type_notes(system: str, counts: Mapping[str, int], gold_types: Collection[str]) -> list[str]:
    """One line for each predicted type that gold never has, with how often it was predicted, all counted as wrong."""
    return [
        f"{system}: {counts[name]:,} prediction(s) of type {name!r}, which gold never has, count as wrong"
        f"{nearest(name, gold_types, '--map {old}={new}')}"
        for name in sorted(set(counts) - set(gold_types))
    ]


def nearest(name: str, known: Collection[str], remedy: str = "") -> str:
    """``"; did you mean 'PER'?"`` with the known name that looks most alike, with what to do about it; else empty."""
    near = nearest_names(name, known)
    hint = f" ({remedy.format(old=name, new=near[0])})" if near and remedy else ""
    return f"{did_you_mean(name, known)}{hint}"
