"""What the headers of safetensors files say: names, types, shapes and sizes, without reading a weight."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from el4ner.errors import ModelError
from el4ner.text.files import load_json

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Types that a server casts to its own; others are quantised weights and stay as they are."""
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Tensor:
    """One stored tensor; ``size`` in bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    size: int

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def served_size(self, value_bytes: int) -> int:
        """Bytes once it is loaded in a precision of ``value_bytes`` a value."""
        return self.count * value_bytes if self.kind in FLOATS else self.size


def read_tensors(folder: Path) -> tuple[Tensor, ...]:
    """All tensors of a model folder; of the files that its index names, where it has one.

    Raises:
        ModelError: a file is missing, cut off, or no safetensors file.
    """
    return tuple(tensor for path in _files(folder) for tensor in read_header(path))


def read_header(path: Path) -> list[Tensor]:
    """The tensors of one file.

    Raises:
        ModelError: the file is missing, cut off, or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > _LONGEST_HEADER:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        tensors = [_tensor(name, entry) for name, entry in header.items() if name != "__metadata__"]
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; the download of the model is not complete") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; fix the path or its permissions") from None
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise ModelError(f"{path} is no safetensors file; fetch the model again") from None
    held = path.stat().st_size - 8 - length
    if held < end:
        raise ModelError(f"{path} is cut off: {held} of {end} bytes of weights; fetch the model again")
    return tensors


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(name, str(entry["dtype"]), tuple(int(n) for n in entry["shape"]), int(end) - int(start))


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = set(load_json(index)["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ModelError(f"{index} is no index of weights; fetch the model again") from None
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise ModelError(f"{index} names files outside its folder; use another copy of the model")
        return [folder / name for name in sorted(names)]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
