"""Low-rank updates added to the matrices of a GGUF file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from el4ner.engines.gguf_header import read_header
from el4ner.engines.gguf_merge import LowRank, merge
from el4ner.errors import ModelError
from el4ner.models.checkpoint import Checkpoint
from el4ner.models.requantise import requantise
from tests.models.tiny_gguf import write_gguf


def dequantised(file: Checkpoint, name: str) -> Any:
    return gguf.quants.dequantize(file.tensors[name].data, file.tensors[name].tensor_type)


def test_a_merged_file_holds_the_sum_and_leaves_the_rest(tmp_path: Path):
    source, target = tmp_path / "q8.gguf", tmp_path / "merged.gguf"
    requantise(write_gguf(tmp_path / "m.gguf", "llama"), source, "Q8_0")
    before, name = Checkpoint(source), "blk.0.ffn_down.weight"
    rows, columns = dequantised(before, name).shape
    update = LowRank(np.full((rows, 2), 0.5, np.float32), np.full((2, columns), 3.0, np.float32))
    merge(source, read_header(source), target, {name: update})
    after = Checkpoint(target)
    assert {key: tensor.tensor_type for key, tensor in after.tensors.items()} == {
        key: tensor.tensor_type for key, tensor in before.tensors.items()
    }
    assert np.abs(dequantised(after, name) - dequantised(before, name) - 3.0).max() < 0.02
    others = [key for key in before.tensors if key != name]
    assert all(np.array_equal(after.tensors[key].data, before.tensors[key].data) for key in others)


def test_quantised_layers_become_fast_ones_and_floats_stay(tmp_path: Path):
    plain, coarse = write_gguf(tmp_path / "m.gguf", "llama"), tmp_path / "q4.gguf"
    requantise(plain, coarse, "Q4_0")
    for source, layers, head in ((plain, "F32", "F32"), (coarse, "Q8_0", "Q4_0")):
        merge(source, read_header(source), tmp_path / "merged.gguf", {})
        after = Checkpoint(tmp_path / "merged.gguf").tensors
        assert after["blk.0.ffn_down.weight"].tensor_type.name == layers
        assert after["token_embd.weight"].tensor_type.name == head
        assert after["blk.0.attn_norm.weight"].tensor_type.name == "F32"


def test_settings_stay(tmp_path: Path):
    source, target = write_gguf(tmp_path / "m.gguf", "llama"), tmp_path / "merged.gguf"
    merge(source, read_header(source), target, {})
    before, after = Checkpoint(source), Checkpoint(target)
    assert {key: before.value(key) for key in before.reader.fields if not key.startswith("GGUF.")} == {
        key: after.value(key) for key in after.reader.fields if not key.startswith("GGUF.")
    }
    assert target.read_bytes() == source.read_bytes()


def test_a_cut_file_is_refused(tmp_path: Path):
    source = write_gguf(tmp_path / "m.gguf", "llama")
    header = read_header(source)
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="is cut"):
        merge(source, header, tmp_path / "merged.gguf", {})


def test_unknown_types_are_refused(tmp_path: Path):
    source = write_gguf(tmp_path / "m.gguf", "llama")
    header = read_header(source)
    assert header.layout is not None
    strange = {name: (999, place) for name, (_, place) in header.layout.tensors.items()}
    header = replace(header, layout=replace(header.layout, tensors=strange))
    with pytest.raises(ModelError, match="unknown type"):
        merge(source, header, tmp_path / "merged.gguf", {})
