"""From the token log-probabilities of a chosen answer to a log-probability for each choice."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

UNRESOLVED = 0.01
"""Share of the probability that may remain with tokens that begin several choices."""


class Position(NamedTuple):
    """One generated token, and the log-probabilities of the likeliest tokens in its place (itself included)."""

    token: str
    alternatives: Mapping[str, float]


def choice_log_probs(
    choices: Sequence[str], positions: Sequence[Position], *, free_answer: bool = False
) -> dict[str, float] | None:
    """Log-probability of each choice, normalised over the choices; None where the tokens do not show it.

    Along the generated tokens, up to the one that settles the choice, each alternative that begins exactly one choice
    gives its probability to that choice. They show it only if the tokens spell a choice from the first one on, every
    choice was seen, no choice begins another one, and at most UNRESOLVED of the probability lies with alternatives that
    begin several choices. White space that might have come first does not count.

    Args:
        choices: what could be answered.
        positions: the answer's tokens.
        free_answer: the answer was free; where it says something else, what was seen up to there counts, so that the likeliest
            choice is known all the same.
    """
    if any(a != b and b.startswith(a) for a in choices for b in choices):
        return None
    masses: dict[str, float] = {}
    unresolved = -math.inf
    written, path = "", 0.0
    for token, alternatives in positions:
        for alternative, log_prob in alternatives.items():
            begun = _begun(choices, written, alternative)
            if len(begun) == 1:
                masses[begun[0]] = _log_add(masses.get(begun[0], -math.inf), path + log_prob)
            elif begun and alternative != token and alternative.strip():
                unresolved = _log_add(unresolved, path + log_prob)
        left = _begun(choices, written, token)
        if not left or token not in alternatives:
            return _normalised(choices, masses, unresolved) if free_answer else None
        if len(left) == 1:
            return _normalised(choices, masses, unresolved)
        written, path = written + token, path + alternatives[token]
    return None


def likeliest_choice(choices: Sequence[str], positions: Sequence[Position]) -> str | None:
    """The choice that a free answer was likeliest to begin with, though not all were seen; None where none was.

    A choice that was not seen is less likely than each token that was.
    """
    masses: dict[tuple[str, ...], float] = {}
    for token, log_prob in (positions[0].alternatives if positions else {}).items():
        begun = tuple(_begun(choices, "", token))
        masses[begun] = _log_add(masses.get(begun, -math.inf), log_prob)
    masses.pop((), None)
    best = max(masses, key=lambda begun: masses[begun], default=())
    return best[0] if len(best) == 1 else None


def _begun(choices: Sequence[str], written: str, token: str) -> list[str]:
    """The choices that an answer may become after this token; white space at its beginning does not count."""
    prefix = (written + token).lstrip()
    return [choice for choice in choices if choice.startswith(prefix)] if token else []


def _normalised(choices: Sequence[str], masses: Mapping[str, float], unresolved: float) -> dict[str, float] | None:
    if set(masses) != set(choices):
        return None
    total = -math.inf
    for mass in masses.values():
        total = _log_add(total, mass)
    if not math.isfinite(total) or unresolved - _log_add(total, unresolved) > math.log(UNRESOLVED):
        return None
    return {choice: masses[choice] - total for choice in choices}


def _log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
