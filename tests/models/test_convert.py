"""GGUF to safetensors: the very weights, the same answers as Transformers' own reading of the file, llama.cpp's ids."""

import json
import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from el4ner.errors import ModelError
from el4ner.models.checkpoint import Checkpoint
from el4ner.models.convert import convert
from el4ner.models.requantise import requantise
from el4ner.models.tokenizer import build_tokenizer
from el4ner.models.weights import check_model_folder
from tests.models.tiny_gguf import MERGES, byte_letters, weights, write_gguf

KINDS = [("llama", True), ("llama", False), ("qwen2", True), ("qwen2", False), ("gemma3", True)]
IDS = torch.tensor([[5, 40, 41, 99, 7, 120, 200, 33, 60, 11, 12, 13]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(("kind", "tied"), KINDS)
def test_the_weights_are_those_before_llama_cpp_changed_them(kind: str, tied: bool, tmp_path: Path, folder: Path):
    convert(write_gguf(tmp_path / "m.gguf", kind, pre="qwen2", tied=tied), folder)
    found = load_file(folder / "model.safetensors")
    expected = weights(kind, found["model.embed_tokens.weight"].shape[0], tied, seed=1)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float16
        # 1 was added to norms and taken off again in float32, which rounds once
        assert np.allclose(found[name], values, rtol=0, atol=2**-12 if "norm" in name else 0), name


@pytest.mark.parametrize(("kind", "tied"), KINDS)
def test_answers_are_those_of_transformers_reading_the_file(kind: str, tied: bool, tmp_path: Path, folder: Path):
    convert(write_gguf(tmp_path / "m.gguf", kind, pre="qwen2", tied=tied), folder)
    check_model_folder(folder)
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    assert type(ours) is type(theirs)
    assert torch.allclose(ours(IDS).logits, theirs(IDS).logits, atol=1e-3)


@pytest.mark.parametrize(("kind", "ends"), [("llama", [2, 0]), ("gemma3", [1, 4])])
def test_an_answer_ends_at_every_control_token_that_ends_one(kind: str, ends: list[int], tmp_path: Path, folder: Path):
    """Gemma's </s> is a tag of HTML, no control token."""
    convert(write_gguf(tmp_path / "m.gguf", kind), folder)
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == ends


def test_the_chat_template_comes_along_where_there_is_one(tmp_path: Path, folder: Path):
    convert(write_gguf(tmp_path / "m.gguf", "llama"), folder)
    asked = [{"role": "user", "content": "hi"}]
    text = AutoTokenizer.from_pretrained(folder).apply_chat_template(asked, tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"
    (tmp_path / "base").mkdir()
    convert(write_gguf(tmp_path / "g.gguf", "gemma3"), tmp_path / "base")
    assert AutoTokenizer.from_pretrained(tmp_path / "base").chat_template is None


def test_a_large_tensor_is_read_some_rows_at_a_time(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_gguf(tmp_path / "m.gguf", "llama")
    convert(source, folder)
    (tmp_path / "again").mkdir()
    monkeypatch.setattr("el4ner.models.checkpoint._CHUNK", 100)
    convert(source, tmp_path / "again")
    assert (folder / "model.safetensors").read_bytes() == (tmp_path / "again" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"rope.scaling.type": "yarn"}, "positions are scaled")],
)
def test_what_would_compute_something_else_is_refused(settings: dict, said: str, tmp_path: Path, folder: Path):
    source = write_gguf(tmp_path / "m.gguf", "llama", extra=settings)
    with pytest.raises(ModelError, match=said):
        convert(source, folder)


@pytest.mark.parametrize("old", [b"llama", b"smollm", b"blk.1.ffn_up"])
def test_other_architectures_tokenizers_and_tensors_are_refused(old: bytes, tmp_path: Path, folder: Path):
    source = write_gguf(tmp_path / "m.gguf", "llama")
    source.write_bytes(source.read_bytes().replace(old, old[::-1]))
    with pytest.raises(ModelError, match=r"cannot be converted|cannot be written"):
        convert(source, folder)


def test_weights_beyond_float16_are_refused(tmp_path: Path, folder: Path):
    source = write_gguf(tmp_path / "m.gguf", "llama")
    reader = gguf.GGUFReader(source, "r+")
    next(tensor for tensor in reader.tensors if tensor.name == "output_norm.weight").data[0] = 1e6
    reader.data.flush()
    with pytest.raises(ModelError, match="does not fit float16"):
        convert(source, folder)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 200, b"PK\x03\x04" + b"x" * 100])
def test_what_is_no_gguf_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"no GGUF file|cannot read"):
        Checkpoint(tmp_path / "m.gguf")


@given(cut=st.integers(0, 20_000))
def test_a_file_cut_anywhere_is_refused(cut: int, gguf_data: bytes, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("cut") / "m.gguf"
    path.write_bytes(gguf_data[: len(gguf_data) - 1 - cut])
    with pytest.raises(ModelError):
        Checkpoint(path)


def test_requantised_weights_are_near_and_settings_stay(tmp_path: Path):
    source, target = write_gguf(tmp_path / "m.gguf", "llama"), tmp_path / "q8.gguf"
    requantise(source, target, "Q8_0")
    before, after = Checkpoint(source), Checkpoint(target)
    assert after.tokens == before.tokens
    assert after.value("tokenizer.chat_template") == before.value("tokenizer.chat_template")
    assert after.value("general.file_type") == gguf.LlamaFileType.MOSTLY_Q8_0
    assert list(after.tensors) == list(before.tensors)
    for name, tensor in after.tensors.items():
        old = before.tensors[name]
        assert tensor.tensor_type.name == ("Q8_0" if len(old.shape) > 1 else "F32")
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.abs(values - old.data).max() <= np.abs(old.data).max() / 127 / 2 + 1e-3


def tokenizer_of(path: Path, kind: str, pre: str = "smollm") -> Tokenizer:
    return build_tokenizer(Checkpoint(write_gguf(path / f"{kind}-{pre}.gguf", kind, pre=pre)))


@pytest.fixture(scope="module", params=["smollm", "qwen2"])
def bytes_tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tokenizer_of(tmp_path_factory.mktemp("tokenizer"), "llama", request.param)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_byte_pairs_give_every_text_back(text: str, bytes_tokenizer: Tokenizer):
    assert bytes_tokenizer.decode(bytes_tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_byte_pairs_merge_and_control_tokens_stay_whole(bytes_tokenizer: Tokenizer):
    merged = [merge.replace(" ", "") for merge in MERGES]
    letters = byte_letters()
    found = bytes_tokenizer.encode("in the<|im_end|>12").tokens
    assert found == ["in", "Ġthe", "<|im_end|>", letters[ord("1")], letters[ord("2")]]
    assert set(found[:2]) <= set(merged)


def test_sentence_pieces_merge_by_score_and_fall_back_to_bytes(tmp_path: Path):
    built = tokenizer_of(tmp_path, "gemma3")
    assert built.encode("in the").tokens == ["<bos>", "in", "▁the"]  # by way of th, the: better scores than ▁t and he
    assert built.encode("é").tokens == ["<bos>", "<0xC3>", "<0xA9>"]
    assert built.encode("a  人\n\n<end_of_turn>").tokens == ["<bos>", "a", "  ", "人", "\n\n", "<end_of_turn>"]
    assert built.decode(built.encode("in the 人é").ids) == "in the 人é"


def test_the_converted_folder_is_written_with_usual_modes(tmp_path: Path, folder: Path):
    old = os.umask(0o022)
    try:
        convert(write_gguf(tmp_path / "m.gguf", "llama"), folder)
    finally:
        os.umask(old)
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o644"}
