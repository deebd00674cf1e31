"""What a GGUF file says of its model: architecture, context, chat template, special tokens, the shapes of its tensors.

The format's own Python reader builds an array for each of the vocabulary's strings and takes ten seconds for 262 thousand;
a member needs a few values at its start.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from el4ner.errors import ModelError

MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_CONTROL, _UNKNOWN = 3, 2
"""Token types of the vocabulary that are no text."""
_MAX_ITEMS = 2**22
"""Longest array that is believed; a damaged count must not take all memory."""
_DAMAGE = (
    struct.error, ValueError, LookupError, TypeError, AttributeError, MemoryError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What reading a damaged file can raise."""
_MAX_DIMENSIONS = 4
"""Of a tensor in this format."""
_ALIGNMENT = 32
"""Where the file does not say."""


@dataclass(frozen=True, slots=True)
class GgufLayout:
    """Where the parts of the file are, in bytes.

    Attributes:
        version: of the format.
        settings: how many settings there are, where the first begins, and where the last ends.
        tensors: in the file's order, names to the number of the type, and to the place after ``data``.
        data: where the tensors begin.
        alignment: each tensor begins at a multiple of it.
    """

    version: int
    settings: tuple[int, int, int]
    tensors: Mapping[str, tuple[int, int]]
    data: int
    alignment: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a member needs to know of its file.

    Attributes:
        architecture: for instance ``llama`` or ``qwen2``.
        context: tokens that it was trained for; 0 where the file does not say.
        chat_template: Jinja source; None for a base model.
        bos: text of the begin-of-sequence token; None where the file does not say.
        eos: text of the end-of-sequence token; None where the file does not say.
        special_tokens: texts of its control tokens.
        puts_bos: whether the tokenizer begins a text with ``bos``.
        heads: attention heads of a layer; 0 where the file does not say, or layers differ.
        kv_heads: the same of keys and values.
        tensors: names to shapes, rows first.
        layout: where the parts of the file are; None in a header that was not read from one.
    """

    architecture: str
    context: int
    chat_template: str | None
    bos: str | None
    eos: str | None
    special_tokens: tuple[str, ...]
    puts_bos: bool = False
    heads: int = 0
    kv_heads: int = 0
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    layout: GgufLayout | None = None


def read_header(path: Path) -> GgufHeader:
    """The header of a GGUF file.

    Raises:
        ModelError: it is no GGUF file (version 2 or 3), is cut, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            version, count = _begin(file)
            settings, begin = _bounded(file), file.tell()
            values = dict(_key_value(file) for _ in range(settings))
            end = file.tell()
            tensors = dict(_tensor(file) for _ in range(count))
            alignment = int(values.get("general.alignment", _ALIGNMENT))
            data = -(-file.tell() // alignment) * alignment
            stored = {name: (kind, place) for name, (_, kind, place) in tensors.items()}
            layout = GgufLayout(version, (settings, begin, end), stored, data, alignment)
            header = _header(values, {name: shape for name, (shape, _, _) in tensors.items()}, layout)
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror or error}); give the path of a GGUF file") from error
    except _DAMAGE as error:
        raise ModelError(f"{path} is no complete GGUF file; get or convert it again") from error
    _check_whole(path, tensors, data)
    return header


def _header(values: dict[str, Any], tensors: dict[str, tuple[int, ...]], layout: GgufLayout) -> GgufHeader:
    tokens = values.get("tokenizer.ggml.tokens", [])
    kinds = values.get("tokenizer.ggml.token_type", [])
    architecture = str(values.get("general.architecture", ""))

    def token(key: str) -> str | None:
        place = values.get(f"tokenizer.ggml.{key}_token_id")
        return tokens[place] if isinstance(place, int) and place < len(tokens) else None

    def heads(key: str) -> int:
        count = values.get(f"{architecture}.attention.{key}", 0)
        return count if isinstance(count, int) else 0

    puts_first = values.get("tokenizer.ggml.add_bos_token", values.get("tokenizer.ggml.model") == "llama")
    return GgufHeader(
        architecture=architecture,
        context=int(values.get(f"{architecture}.context_length", 0)),
        chat_template=values.get("tokenizer.chat_template") or None,
        bos=token("bos"),
        eos=token("eos"),
        special_tokens=tuple(text for text, kind in zip(tokens, kinds, strict=False) if kind in (_CONTROL, _UNKNOWN)),
        puts_bos=bool(puts_first),
        heads=heads("head_count"),
        kv_heads=heads("head_count_kv") or heads("head_count"),
        tensors=tensors,
        layout=layout,
    )


def _check_whole(path: Path, tensors: Mapping[str, tuple[tuple[int, ...], int, int]], data: int) -> None:
    """Refuse a file that ends before its last tensor.

    Raises:
        ModelError: it does.
    """
    from gguf import GGML_QUANT_SIZES

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    shape, kind, place = max(tensors.values(), key=lambda tensor: tensor[2], default=((), -1, 0))
    values, size = sizes.get(kind, (1, 0))
    held, end = path.stat().st_size, data + place + math.prod(shape) // values * size
    if held < end:
        raise ModelError(f"{path} is cut off: {held:,} of {end:,} bytes; get or convert it again")


def _begin(file: BinaryIO) -> tuple[int, int]:
    """The version of the format, and the number of tensors."""
    if file.read(4) != MAGIC or (version := int(_number(file, "<I"))) not in (2, 3):
        raise ValueError("no GGUF")
    return version, _bounded(file)


def _tensor(file: BinaryIO) -> tuple[str, tuple[tuple[int, ...], int, int]]:
    """Name, shape, number of the type, and place among the tensors' data."""
    name = _string(file)
    dimensions = _number(file, "<I")
    if dimensions > _MAX_DIMENSIONS:
        raise ValueError("damaged count")
    sizes = [int(_number(file, "<Q")) for _ in range(dimensions)]
    return name, (tuple(reversed(sizes)), int(_number(file, "<I")), int(_number(file, "<Q")))


def _key_value(file: BinaryIO) -> tuple[str, Any]:
    key = _string(file)
    return key, _value(file, _number(file, "<I"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _number(file, _SCALARS[kind])
    inner, count = _number(file, "<I"), _bounded(file)
    if inner == _STRING:
        return [_string(file) for _ in range(count)]
    if inner == _ARRAY:
        return [_value(file, inner) for _ in range(count)]
    form = _SCALARS[inner]
    content = file.read(count * struct.calcsize(form))
    return [value for (value,) in struct.iter_unpack(form, content)] if len(content) else []


def _string(file: BinaryIO) -> str:
    length = _bounded(file)
    content = file.read(length)
    if len(content) < length:
        raise ValueError("cut")
    return content.decode("utf-8", errors="replace")


def _bounded(file: BinaryIO) -> int:
    count = int(_number(file, "<Q"))
    if count > _MAX_ITEMS:
        raise ValueError("damaged count")
    return count


def _number(file: BinaryIO, form: str) -> Any:
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return value


__all__ = ["MAGIC", "GgufHeader", "GgufLayout", "read_header"]
