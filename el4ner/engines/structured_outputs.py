"""How vLLM is told the form of an answer (``structured_outputs``): closed choices, marked copies, lists of a text's strings.

Answers may begin with a space or a line end. Tokenizers of the SentencePiece kind begin a word with its space, and a model that
is held to answer without it spells the word in pieces that it never learnt, and chooses by them; GLM begins its answers with a
line end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from el4ner.engines.base import Request
from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.prompts.grammar import copy_grammar, list_grammar

Constraint = bool | Literal["choices"]
"""What the server is to hold: everything that it can, nothing, or closed choices alone."""
_ESCAPES = {**{character: f"\\{character}" for character in "\\^$.|?*+()[]{}/-"}, "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ROOT = "root ::= "
_LEAD = '( " " | "\\n" )?'


def structured_outputs(
    request: Request, constrain: Constraint, special_tokens: Sequence[str], end: str = ""
) -> dict[str, Any] | None:
    """The constraint on an answer, with exactly one of vLLM's kinds; None for free text.

    Args:
        request: the request.
        constrain: what to hold.
        special_tokens: control tokens that were escaped in the prompt.
        end: what ends an answer, where no token of its own does.
    """
    if not constrain:
        return None
    if request.choices:
        return {"regex": choice_pattern(request.choices, end)}
    if constrain == "choices":
        return None
    if request.copy_of is not None:
        return {
            "grammar": _led(
                copy_grammar(escape_special_tokens(request.copy_of, special_tokens), end, request.copy_types)
            )
        }
    if request.list_of is not None:
        form = replace(request.list_of, text=escape_special_tokens(request.list_of.text, special_tokens))
        return {"grammar": _led(list_grammar(form, end))}
    return None


def choice_pattern(choices: Sequence[str], end: str = "") -> str:
    """A regular expression for exactly one of the choices, with or without a space or a line end before it."""
    return f"[ \\n]?({'|'.join(map(_escaped, choices))}){_escaped(end)}"


def _led(grammar: str) -> str:
    """A grammar whose text may begin with a space or a line end."""
    head, _, rest = grammar.partition(_ROOT)
    return f"{head}{_ROOT}{_LEAD} {rest}"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


__all__ = ["Constraint", "choice_pattern", "structured_outputs"]
