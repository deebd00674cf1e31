"""A GGUF file in another quantisation, for engines that have no fast way with its own; or with an adapter merged into it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from el4ner.models.checkpoint import Checkpoint, row_blocks, shape_of
from el4ner.models.registry import Shape

_FILE_TYPE = "general.file_type"
_FAST = gguf.GGMLQuantizationType.Q8_0
"""What matrices of the layers become in a merged file: nearly exact, and llama.cpp multiplies fast by it."""
_FLOATS = tuple(gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "BF16"))


@dataclass(frozen=True, slots=True)
class LowRank:
    """An update ``b @ a`` of a matrix: ``b`` ``(rows, rank)``, ``a`` ``(rank, columns)``, float32."""

    b: NDArray[np.float32]
    a: NDArray[np.float32]


def requantise(source: Path, target: Path, kind: str) -> None:
    """Write a GGUF file with all matrices in another quantisation; vectors and settings stay as they are.

    Args:
        source: a GGUF file.
        target: the file to write.
        kind: a quantisation of llama.cpp that the package gguf can write, for instance Q8_0.

    Raises:
        ModelError: the source is no GGUF file.
    """
    wanted, file = gguf.GGMLQuantizationType[kind], Checkpoint(source)
    _write(file, target, {name: wanted if _is_matrix(tensor) else None for name, tensor in file.tensors.items()}, {})


def merge(source: Path, target: Path, updates: Mapping[str, LowRank]) -> None:
    """Write a GGUF file with updates added to some of its matrices.

    Matrices in floating point keep their type. Quantised ones of the layers become Q8_0; other tensors stay as they are.

    Args:
        source: a GGUF file.
        target: the file to write.
        updates: by names of tensors, of their shapes.

    Raises:
        ModelError: the source is no GGUF file.
    """
    file = Checkpoint(source)
    kinds = {
        name: _FAST if _is_matrix(tensor) and (name.startswith("blk.") or name in updates) else None
        for name, tensor in file.tensors.items()
        if tensor.tensor_type not in _FLOATS
    }
    _write(file, target, kinds, updates)


def _is_matrix(tensor: gguf.ReaderTensor) -> bool:
    return len(shape_of(tensor)) > 1


def _write(
    file: Checkpoint,
    target: Path,
    kinds: Mapping[str, gguf.GGMLQuantizationType | None],
    updates: Mapping[str, LowRank],
) -> None:
    """The file with its tensors in other types (None: its own), one after the other."""
    writer = gguf.GGUFWriter(target, file.architecture)
    _copy_settings(file, writer)
    known = {name: kinds.get(name) or tensor.tensor_type for name, tensor in file.tensors.items()}
    most = max(known.values(), key=list(known.values()).count)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{most.name}" if most.name != "F32" else "ALL_F32"])
    for name, tensor in file.tensors.items():
        block, size = gguf.GGML_QUANT_SIZES[known[name]]
        count = int(tensor.n_elements) // block * size
        writer.add_tensor_info(name, shape_of(tensor), np.dtype(np.float32), count, raw_dtype=known[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in file.tensors.items():
        same = known[name] == tensor.tensor_type and name not in updates
        rows = [tensor.data] if same else list(_rows(tensor, known[name], updates.get(name)))
        writer.write_tensor_data(np.concatenate(rows))
    writer.close()


def _rows(
    tensor: gguf.ReaderTensor, kind: gguf.GGMLQuantizationType, update: LowRank | None
) -> Iterator[NDArray[np.uint8]]:
    """The rows of a tensor in another type, an update added to them."""
    start = 0
    for rows in row_blocks(tensor):
        added = rows if update is None else rows + update.b[start : start + len(rows)] @ update.a
        yield gguf.quants.quantize(added, kind)
        start += len(rows)


def requantised_size(shape: Shape) -> int:
    """Bytes of a model in Q8_0: blocks of 32 values with a scale in 16 bits; vectors in float32."""
    return (shape.values - shape.rest) // 32 * 34 + shape.rest * 4


def _copy_settings(file: Checkpoint, writer: gguf.GGUFWriter) -> None:
    for name, field in file.reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", _FILE_TYPE):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
