"""Where a document is masked: at what was found, and wherever the same surfaces stand, also where no recogniser saw them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from el4ner.text.align import fold, stands_at
from el4ner.text.language import is_cjk

Source: TypeAlias = Literal["found", "surface", "part"]
"""Why a place is masked: an entity was found there, its surface was found elsewhere, or a part of a name was."""
TITLES = frozenset({"Dr", "Jr", "Lady", "Lord", "Mr", "Mrs", "Ms", "Mx", "Prof", "Rev", "Sir", "Sr", "St"})
_WORD = re.compile(r"[^\W\d_][\w'’-]*\w")
_KEY = 2
"""Characters by which surfaces are looked up."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch ``[start, end)`` of code points that is masked; ``score`` is that of the entity that was found there."""

    start: int
    end: int
    type: str
    source: Source = "found"
    score: float | None = None

    def covers(self, other: "Place") -> bool:
        """Whether the other place lies in this one."""
        return self.start <= other.start and other.end <= self.end


class Surfaces:
    """Typed surfaces that are sought in texts.

    Differences of case, width, white space and invisible characters do not count, except that one word in lower case is no
    name with a capital ("bill", "Bill"). Surfaces of one character are not sought: they stand in too many other words.

    Args:
        types: by surface.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        by_key: defaultdict[str, dict[str, tuple[bool, str]]] = defaultdict(dict)
        for surface, kind in types.items():
            folded = fold(surface)[0]
            if len(folded) >= _KEY:
                by_key[folded[:_KEY]].setdefault(folded, (surface.islower() or " " in folded, kind))
        self._by_key = {key: sorted(given.items(), key=lambda item: -len(item[0])) for key, given in by_key.items()}

    def places(self, text: str, source: Source = "surface") -> Iterator[Place]:
        """Each place of a surface between word borders, by start; of several that begin together, the longest."""
        folded, origins = fold(text)
        for at in range(len(folded) - _KEY + 1):
            for surface, (any_case, kind) in self._by_key.get(folded[at : at + _KEY], ()):
                start, end = origins[at], origins[min(at + len(surface), len(origins)) - 1] + 1
                written = text[start:end]
                fits = folded.startswith(surface, at) and stands_at(written, text, start)
                if fits and (any_case or not written.islower()):
                    yield Place(start, end, kind, source)
                    break


def parts(name: str) -> list[str]:
    """The words of a person's name that may stand for the person: those with a capital, or what follows a Chinese surname."""
    if len(name) == 3 and all(map(is_cjk, name)):
        return [name[1:]]
    words = _WORD.findall(name)
    return [word for word in words if word[0].isupper() and word not in TITLES] if len(words) > 1 else []


def joined(places: Iterable[Place]) -> list[Place]:
    """The places by start; those that overlap become one, with the type and the source of the longest."""
    done: list[Place] = []
    for place in sorted(places, key=lambda place: (place.start, -place.end, place.source != "found")):
        if done and place.start < done[-1].end:
            last = done.pop()
            longest = max(last, place, key=lambda place: place.end - place.start)
            place = replace(longest, start=last.start, end=max(last.end, place.end))
        done.append(place)
    return done
