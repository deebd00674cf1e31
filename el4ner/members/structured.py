"""How a server is told the form of an answer: vLLM's ``structured_outputs``, for choices, marked copies and JSON lists.

Closed choices go as a regular expression with a space that may come first, not as ``choice``: tokenizers of the
SentencePiece kind begin a word with its space, and a model that is held to answer without it spells the word in pieces
that it never learnt, and chooses by them.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from el4ner.members.base import Request
from el4ner.members.neutralise import neutralise
from el4ner.prompts.copying import CLOSE, OPEN

Hold = bool | Literal["choices"]
"""What the server is to hold: everything that it can, nothing, or closed choices alone."""
SURFACES: dict[str, Any] = {"type": "array", "items": {"type": "string", "minLength": 1}}
"""The JSON list of the ``json`` answer format."""
_ESCAPES = {**{character: f"\\{character}" for character in "\\^$.|?*+()[]{}/-"}, "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNITS = re.compile(r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+|\s+|.", re.DOTALL)
"""Words, runs of white space, and single characters of everything else: a mark may stand around each but white space."""


def structured_outputs(
    request: Request, hold: Hold, answer_format: str, specials: Sequence[str]
) -> dict[str, Any] | None:
    """The constraint on an answer, with exactly one of vLLM's kinds; None for free text.

    The ``lines`` format is never held: any text is a list of lines.
    """
    if not hold:
        return None
    if request.choices:
        return {"regex": choice_pattern(request.choices)}
    if hold == "choices":
        return None
    if answer_format == "json":
        # White space is legal anywhere in JSON, and without end.
        return {"json": SURFACES, "disable_any_whitespace": True}
    if answer_format == "inline" and request.copy_of is not None:
        return {"regex": copy_pattern(neutralise(request.copy_of, specials))}
    return None


def choice_pattern(choices: Sequence[str]) -> str:
    """A regular expression for exactly one of the choices, with or without a space before it."""
    return f" ?({'|'.join(map(_escaped, choices))})"


def copy_pattern(text: str) -> str:
    """A regular expression for ``text`` with marks: an opening one before, a closing one after each word or sign.

    Its length grows with the text alone, because it does not count: a mark without its partner is possible, and whoever
    reads the answer ignores it.
    """
    before, after = (f"({_escaped(mark)})?" for mark in (OPEN, CLOSE))
    units = _UNITS.findall(text.strip())
    return "".join(_escaped(unit) if unit.isspace() else before + _escaped(unit) + after for unit in units)


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
