"""What a user may have meant: the known name that looks most like one that is not known."""

import difflib
from collections.abc import Collection

ALIKE = 0.5
"""How alike two names must be to be taken for each other, from 0 to 1."""


def nearest_names(name: str, known: Collection[str], count: int = 1) -> list[str]:
    """The known names that look most like a name, whatever their case, the likeliest first; those that look alike enough.

    >>> nearest_names("Persn", ["PERSON", "PLACE"])
    ['PERSON']
    """
    folded = {other.casefold(): other for other in sorted(known)}
    return [folded[near] for near in difflib.get_close_matches(name.casefold(), list(folded), count, ALIKE)]


def did_you_mean(name: str, known: Collection[str]) -> str:
    """``; did you mean 'PER'?``, or nothing where no known name is like it."""
    near = nearest_names(name, known)
    return f"; did you mean {near[0]!r}?" if near else ""
