"""A GGUF file with low-rank updates added to its matrices.

Its settings are copied byte for byte: the format's own reader takes sixteen seconds for a vocabulary of 150 thousand tokens.
"""

import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from numpy.typing import NDArray

from el4ner.engines.gguf_header import MAGIC, GgufHeader, GgufLayout
from el4ner.engines.llamacpp_server import cores
from el4ner.errors import ModelError

_FAST = GGMLQuantizationType.Q8_0
"""What quantised matrices of the layers become: nearly exact, and llama.cpp multiplies fast by it."""
_FLOATS = (GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16)
_CHUNK = 1 << 20
"""Values that are dequantised at once: 4 MiB in float32, and a few times that on the way."""
_AT_ONCE = 4
"""Matrices a core that may be in memory."""
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LowRank:
    """An update ``b @ a`` of a matrix: ``b`` ``(rows, rank)``, ``a`` ``(rank, columns)``, float32."""

    b: NDArray[np.float32]
    a: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as it is stored, and the type that it becomes; ``content`` ``(rows, bytes a row)``."""

    name: str
    shape: tuple[int, ...]
    content: Bytes
    kind: GGMLQuantizationType
    wanted: GGMLQuantizationType
    update: LowRank | None

    @property
    def size(self) -> int:
        """Bytes that it becomes."""
        return len(self.content) * _row_bytes(self.shape, self.wanted)


def merge(source: Path, header: GgufHeader, target: Path, updates: Mapping[str, LowRank]) -> None:
    """Write a GGUF file with updates added to some of its matrices.

    Matrices in floating point keep their type. Quantised ones of the layers become Q8_0; other tensors stay as they are.

    Args:
        source: a GGUF file.
        header: of that file.
        target: the file to write.
        updates: by names of matrices, of their shapes.

    Raises:
        ModelError: the source is cut, or of a type that is not known here.
        OSError: it cannot be read, or the target cannot be written.
    """
    layout = header.layout
    assert layout is not None, "the header was not read from a file"
    data = np.asarray(np.memmap(source, np.uint8, "r"))
    tensors = [_tensor(source, data, header, layout, name, updates.get(name)) for name in layout.tensors]
    count, begin, end = layout.settings
    with target.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", layout.version, len(tensors), count))
        file.write(data[begin:end].tobytes() + _infos(tensors, layout.alignment))
        for tensor, content in zip(tensors, _contents(tensors), strict=True):
            file.write(bytes(-file.tell() % layout.alignment))
            file.write(content)
            assert len(content) == tensor.size, "a matrix has another size than its place"
        file.write(bytes(-file.tell() % layout.alignment))


def _tensor(
    source: Path, data: Bytes, header: GgufHeader, layout: GgufLayout, name: str, update: LowRank | None
) -> _Tensor:
    shape, (number, place) = header.tensors[name], layout.tensors[name]
    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise ModelError(f"{source} holds tensors of an unknown type ({number}); take another quantisation") from None
    rows, width = int(np.prod(shape[:-1])), _row_bytes(shape, kind)
    content = data[layout.data + place :][: rows * width]
    if len(content) < rows * width:
        raise ModelError(f"{source} is cut; get it again")
    of_layers = len(shape) > 1 and (name.startswith("blk.") or update is not None)
    wanted = _FAST if of_layers and kind not in _FLOATS else kind
    return _Tensor(name, shape, content.reshape(rows, width), kind, wanted, update)


def _row_bytes(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    block, size = GGML_QUANT_SIZES[kind]
    return shape[-1] // block * size


def _infos(tensors: list[_Tensor], alignment: int) -> bytes:
    """The table of the tensors: names, shapes, types and places."""
    table, place = b"", 0
    for tensor in tensors:
        name, sizes = tensor.name.encode(), tuple(reversed(tensor.shape))
        table += struct.pack("<Q", len(name)) + name + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        table += struct.pack("<IQ", tensor.wanted, place)
        place += -(-tensor.size // alignment) * alignment
    return table


def _contents(tensors: list[_Tensor]) -> Iterator[bytes]:
    """What is written for each tensor; some are computed at once, on all cores."""
    step = _AT_ONCE * cores()
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(tensors), step):
            yield from pool.map(_content, tensors[start : start + step])


def _content(tensor: _Tensor) -> bytes:
    if tensor.update is None and tensor.wanted == tensor.kind:
        return tensor.content.tobytes()
    rows = max(1, _CHUNK // tensor.shape[-1])
    return b"".join(_rows(tensor, start, start + rows) for start in range(0, len(tensor.content), rows))


def _rows(tensor: _Tensor, start: int, end: int) -> bytes:
    values = quants.dequantize(tensor.content[start:end], tensor.kind).astype(np.float32, copy=False)
    if tensor.update is not None:
        values = values + tensor.update.b[start:end] @ tensor.update.a
    return quants.quantize(values, tensor.wanted).tobytes()


__all__ = ["LowRank", "merge"]
