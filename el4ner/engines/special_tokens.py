"""Control tokens that stand in a text, escaped before a chat template can take them for its own.

A document that holds ``<|im_end|>`` would otherwise end the user's turn and speak for somebody else. One character of
each such string is replaced, so that every code-point offset stays valid.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from el4ner.text.files import load_json

_LOOK_ALIKES = {"<": "‹", ">": "›", "|": "¦", "｜": "¦", "[": "⟦", "]": "⟧"}
_PLACEHOLDERS = "·•◦"
_PRIVATE_USE = range(0xE000, 0xF900)

_BY_FAMILY = {
    "ChatML": "<|im_start|> <|im_end|> <|im_sep|> <|endoftext|> <|startoftext|>",
    "Qwen": "<think> </think> <tool_call> </tool_call> <tool_response> </tool_response> <|fim_prefix|> <|fim_middle|>"
    " <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <|object_ref_start|> <|object_ref_end|> <|box_start|>"
    " <|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|>"
    " <|video_pad|>",
    "Llama 2": "<s> </s> <unk> <pad> [INST] [/INST] <<SYS>> <</SYS>>",
    "Llama 3, 4": "<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>"
    " <|python_tag|> <|finetune_right_pad_id|> <|header_start|> <|header_end|> <|eot|> <|eom|>",
    "Mistral": "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS]"
    " [/TOOL_RESULTS] [TOOL_CONTENT] [CALL_ID] [ARGS] [IMG] [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX]"
    " [THINK] [/THINK]",
    "GLM": "[gMASK] [sMASK] [MASK] <sop> <eop> <|system|> <|user|> <|assistant|> <|observation|>",
    "Gemma": "<bos> <eos> <mask> <start_of_turn> <end_of_turn> <start_of_image> <end_of_image>",
    "Phi": "<|end|> <|tool|> <|/tool|> <|tool_call|> <|/tool_call|> <|tool_response|>",
    "gpt-oss": "<|start|> <|message|> <|channel|> <|return|> <|call|> <|constrain|>",
    "DeepSeek": "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜▁pad▁｜> <｜User｜> <｜Assistant｜> <|EOT|>"
    " <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> <｜tool▁sep｜>"
    " <｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜>",
}
KNOWN_SPECIAL_TOKENS: tuple[str, ...] = tuple(dict.fromkeys(" ".join(_BY_FAMILY.values()).split()))
"""Control tokens of common open models, for members whose tokenizer is out of reach (a served model)."""


def special_tokens_in(folder: Path) -> tuple[str, ...]:
    """Control tokens that the ``tokenizer.json`` of a model folder names; none where there is no such file to be read."""
    try:
        added = load_json(folder / "tokenizer.json")["added_tokens"]
        return tuple(token["content"] for token in added if token["special"] and token["content"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def escape_special_tokens(text: str, special_tokens: Sequence[str]) -> str:
    """``text`` with one character replaced in each occurrence of a special token; its length stays the same.

    The result holds none of ``special_tokens``, and escaping it again changes nothing: a replacement character is one
    that occurs in no special token, so replacing can never form one.
    """
    pattern = _pattern(tuple(special_tokens))
    breaks = _breaks(tuple(special_tokens))
    while pattern is not None and pattern.search(text):
        text = pattern.sub(lambda found: breaks[found.group()], text)
    return text


@lru_cache(maxsize=64)
def _pattern(special_tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    longest_first = sorted(
        {special for special in special_tokens if special}, key=lambda special: (-len(special), special)
    )
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


@lru_cache(maxsize=64)
def _breaks(special_tokens: tuple[str, ...]) -> dict[str, str]:
    """For each special token, the same string with one character replaced."""
    taken = set("".join(special_tokens))
    return {special: _broken(special, taken) for special in special_tokens if special}


def _broken(special: str, taken: set[str]) -> str:
    at = next((i for i, character in enumerate(special) if character in _LOOK_ALIKES), 0)
    replacement = next(character for character in _replacements(special[at]) if character not in taken)
    return special[:at] + replacement + special[at + 1 :]


def _replacements(character: str) -> Iterator[str]:
    return chain(_LOOK_ALIKES.get(character, ""), _PLACEHOLDERS, map(chr, _PRIVATE_USE))
