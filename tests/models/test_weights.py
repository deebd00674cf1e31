"""What a model folder must hold, what it must not, and what its hash covers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from el4ner.engines.tuning_record import TuningRecord, write_tuning_record
from el4ner.errors import ModelError
from el4ner.models.weights import check_adapter_folder, check_model_folder, hash_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "opt"}')
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_a_complete_folder_is_accepted(folder: Path):
    check_model_folder(folder)


def test_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="is no folder; give the path of a downloaded model"):
        check_model_folder(tmp_path / "meta-llama")


def test_pickled_weights_alone_are_refused(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are refused"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder: Path, name: str):
    (folder / name).write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Evil"}}))
    with pytest.raises(ModelError, match=rf"{name} asks for remote code"):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("content", "said"), [(b'{"a"', "is not JSON"), (b"[]", "is not a JSON object"), (b"\xff\xfe\x00", "is not JSON")]
)
def test_broken_json_is_refused(folder: Path, name: str, content: bytes, said: str):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=said):
        check_model_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_missing_or_unreadable_part_is_refused(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is missing"):
        check_model_folder(folder)
    (folder / name).mkdir()
    with pytest.raises(ModelError, match=rf"cannot read .*{name}"):
        check_model_folder(folder)


def test_an_adapter_needs_safetensors_and_its_configuration(tmp_path: Path):
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        check_adapter_folder(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"adapter_config\.json is missing"):
        check_adapter_folder(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    check_adapter_folder(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "chat_template.jinja", "vocab.txt"])
def test_the_hash_follows_what_changes_answers(folder: Path, name: str):
    before = hash_folder(folder)
    (folder / name).write_bytes(b'{"changed": 1}')
    assert hash_folder(folder) != before


def test_the_hash_ignores_the_card_and_the_place(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    before = hash_folder(folder)
    (folder / "README.md").write_text("# a model")
    write_tuning_record(folder, TuningRecord("compact", ("person",)))
    elsewhere = shutil.copytree(folder, tmp_path_factory.mktemp("copies") / "other-name")
    assert hash_folder(folder) == hash_folder(elsewhere) == before


def test_content_cannot_move_between_files_unnoticed(folder: Path):
    (folder / "a.txt").write_text("one")
    (folder / "b.txt").write_text("two")
    before = hash_folder(folder)
    (folder / "a.txt").write_text("two")
    (folder / "b.txt").write_text("one")
    assert hash_folder(folder) != before


def test_saved_models_pass(tiny_model: Callable[..., Path]):
    pytest.importorskip("torch")
    check_model_folder(tiny_model("bloom"))
