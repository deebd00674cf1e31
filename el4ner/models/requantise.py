"""A GGUF file in another quantisation, for engines that have no fast way with its own."""

from pathlib import Path

import gguf
import numpy as np

from el4ner.models.checkpoint import Checkpoint, row_blocks, shape_of
from el4ner.models.registry import Shape

_FILE_TYPE = "general.file_type"


def requantise(source: Path, target: Path, kind: str) -> None:
    """Write a GGUF file with all matrices in another quantisation; vectors and settings stay as they are.

    Args:
        source: a GGUF file.
        target: the file to write.
        kind: a quantisation of llama.cpp that the package gguf can write, for instance Q8_0.

    Raises:
        ModelError: the source is no GGUF file.
    """
    wanted = gguf.GGMLQuantizationType[kind]
    file = Checkpoint(source)
    writer = gguf.GGUFWriter(target, file.architecture)
    _copy_settings(file, writer)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    kinds = {name: wanted if len(shape_of(tensor)) > 1 else tensor.tensor_type for name, tensor in file.tensors.items()}
    for name, tensor in file.tensors.items():
        block, size = gguf.GGML_QUANT_SIZES[kinds[name]]
        count = int(tensor.n_elements) // block * size
        writer.add_tensor_info(name, shape_of(tensor), np.dtype(np.float32), count, raw_dtype=kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in file.tensors.items():
        same = kinds[name] == tensor.tensor_type
        blocks = [tensor.data] if same else [gguf.quants.quantize(rows, kinds[name]) for rows in row_blocks(tensor)]
        writer.write_tensor_data(np.concatenate(blocks))
    writer.close()


def requantised_size(shape: Shape) -> int:
    """Bytes of a model in Q8_0: blocks of 32 values with a scale in 16 bits; vectors in float32."""
    return (shape.values - shape.rest) // 32 * 34 + shape.rest * 4


def _copy_settings(file: Checkpoint, writer: gguf.GGUFWriter) -> None:
    for name, field in file.reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", _FILE_TYPE):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
