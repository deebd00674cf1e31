"""A GGUF file as what el4ner needs of it: its settings and its tensors, read from a memory map."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from el4ner.errors import ModelError

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
"""Kinds of tokens that are looked for in a text before anything is split."""
_DAMAGED = (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError)
"""What the reader of the package gguf raises on a file that is damaged or something else."""
_CHUNK = 1 << 22
"""Values that are dequantised at once: 16 MiB in float32, and a few times that on the way."""


class Checkpoint:
    """One GGUF file.

    Raises:
        ModelError: it is missing, damaged, or no GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.reader = gguf.GGUFReader(path)
            self.architecture = str(self.value("general.architecture"))
        except OSError as error:
            raise ModelError(f"cannot read {path}: {error.strerror or error}; give the path of a GGUF file") from None
        except _DAMAGED as error:
            raise ModelError(f"{path} is damaged or no GGUF file ({type(error).__name__}); get it again") from None

    def value(self, key: str, default: Any = None) -> Any:
        """A setting: a number, a text, a list; ``default`` where the file does not have it."""
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def setting(self, key: str) -> Any:
        """A setting of the architecture, for instance ``block_count``.

        Raises:
            ModelError: the file does not have it.
        """
        found = self.value(f"{self.architecture}.{key}")
        if found is None:
            raise ModelError(f"{self.path} has no {self.architecture}.{key}; convert it from its source again")
        return found

    @cached_property
    def tokens(self) -> list[str]:
        """The vocabulary, by id."""
        return list(self.value("tokenizer.ggml.tokens", []))

    @cached_property
    def tensors(self) -> dict[str, gguf.ReaderTensor]:
        """Tensors by name; their data stay on disk until they are read."""
        return {tensor.name: tensor for tensor in self.reader.tensors}


def shape_of(tensor: gguf.ReaderTensor) -> tuple[int, ...]:
    """Its shape as PyTorch has it: rows first."""
    return tuple(int(size) for size in reversed(tensor.shape))


def row_blocks(tensor: gguf.ReaderTensor) -> Iterator[NDArray[np.float32]]:
    """The values of a tensor in float32, some rows at a time, so that a large one is never whole in memory."""
    shape = shape_of(tensor)
    rows = max(1, _CHUNK // int(np.prod(shape[1:]))) if len(shape) > 1 else shape[0]
    data = np.asarray(tensor.data)  # slices of a memory map itself are slow
    for start in range(0, shape[0], rows):
        values = gguf.quants.dequantize(data[start : start + rows], tensor.tensor_type)
        yield values.astype(np.float32, copy=False)
