"""Tuned members are asked about what they were tuned on, and about nothing else in silence."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.config import Config, load_config, parse_config
from el4ner.engines.tuning_record import TuningRecord, check_labels, read_tuning_record, write_tuning_record
from el4ner.errors import ConfigError, ModelError
from el4ner.models.weights import TUNING_RECORD_FILE
from el4ner.run import main
from el4ner.train.card import tuning_record_of
from el4ner.train.config import TrainConfig

ROOT = Path(__file__).parents[2]
PER = {"name": "PER", "words": {"en": "person", "zh": "人名"}, "definitions": {"en": "names of people"}}
DRUG = {"name": "DRUG", "words": {"en": "drug"}, "definitions": {"en": "names of medicines"}}
BARE = {"name": "DOSE", "words": {"en": "amount"}}
COMPACT = TuningRecord("compact", ("person",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tuning_record(tmp_path, COMPACT)
    return tmp_path


def config_of(folder: Path, *labels: dict[str, Any], **member: Any) -> Config:
    settings = {"name": "small", "engine": "local", "model": str(folder), "prompt_style": "compact", **member}
    content = {"labels": list(labels), "members": [settings], "pool": {"path": str(folder / "pool.jsonl")}}
    return parse_config(content, base=folder)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_labels_that_were_shown_are_fine(folder: Path, caplog: pytest.LogCaptureFixture):
    check_labels(config_of(folder, {**PER, "name": "ANY", "words": {"en": "Person"}}))
    assert not warned(caplog)


@pytest.mark.parametrize("labels", [[DRUG, BARE], [PER, DRUG, BARE]])
def test_labels_that_no_prompt_explains_are_refused(folder: Path, labels: list[dict[str, Any]]):
    with pytest.raises(ConfigError, match=r"small: DRUG, DOSE \(amount\) \(it was tuned on: person\)") as refused:
        check_labels(config_of(folder, *labels))
    assert "configs/default.yaml" in str(refused.value) and "el4ner.train" in str(refused.value)


def test_definitions_in_the_prompt_turn_it_into_a_warning(folder: Path, caplog: pytest.LogCaptureFixture):
    check_labels(config_of(folder, PER, DRUG, prompt_style="full", languages=["en"]))
    (line,) = warned(caplog)
    assert "member small was never tuned on DRUG and" in line
    with pytest.raises(ConfigError, match="DOSE"):
        check_labels(config_of(folder, PER, BARE, prompt_style="full", languages=["en"]))


def test_another_style_than_the_tuned_one_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture):
    check_labels(config_of(folder, PER, prompt_style="full", languages=["en"]))
    assert warned(caplog) == ["member small was tuned on prompts of style compact and is asked in style full"]


def test_words_count_in_the_languages_that_the_member_reads(folder: Path, caplog: pytest.LogCaptureFixture):
    check_labels(config_of(folder, PER))  # compact prompts have English words in every language
    assert not warned(caplog)
    check_labels(config_of(folder, PER, role="mrc", languages=["en"]))
    assert not warned(caplog)
    check_labels(config_of(folder, PER, role="mrc"))
    assert warned(caplog) == ["member small was never shown the label words of zh; leave zh out of its languages"]
    with pytest.raises(ConfigError, match=r"PER \(人名\)"):
        check_labels(config_of(folder, PER, role="mrc", languages=["zh"]))


def test_a_member_that_is_asked_nothing_is_left_alone(folder: Path, caplog: pytest.LogCaptureFixture):
    check_labels(config_of(folder, DRUG, languages=["zh"]).model_copy(update={"language": "en"}))
    assert not warned(caplog)


def test_an_untuned_model_and_one_of_any_labels_are_never_complained_about(folder: Path, tmp_path_factory: Any):
    check_labels(config_of(folder, DRUG, allow_unseen_labels=True))
    check_labels(config_of(tmp_path_factory.mktemp("untuned"), DRUG))
    check_labels(config_of(folder, DRUG, engine="http", model="far", endpoint="http://127.0.0.1:9/v1"))


def test_an_adapter_adds_to_its_base(folder: Path, tmp_path: Path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    write_tuning_record(adapter, TuningRecord("full", ("drug",)))
    check_labels(config_of(folder, PER, DRUG, adapter=str(adapter), languages=["en"], prompt_style="full"))
    assert read_tuning_record(folder, adapter) == TuningRecord("full", ("drug", "person"))
    (adapter / "model.gguf").write_bytes(b"")
    assert read_tuning_record(folder / "none", adapter / "model.gguf", None) == TuningRecord("full", ("drug",))


def test_served_members_are_checked_where_their_folders_are_at_hand(folder: Path):
    endpoint = {"engine": "http", "model": "far", "endpoint": "http://127.0.0.1:9/v1"}
    with pytest.raises(ConfigError, match="small: DRUG"):
        check_labels(config_of(folder, DRUG, **endpoint, serve={"model": str(folder)}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2, "prompt_style": "x", "words": []}'])
def test_a_note_that_cannot_be_read_is_named(tmp_path: Path, content: str):
    (tmp_path / TUNING_RECORD_FILE).write_text(content)
    with pytest.raises(ModelError, match=TUNING_RECORD_FILE):
        read_tuning_record(tmp_path)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ({}, ("drug", "person")),
        ({"extract": 0, "classify": 0, "verify": 0, "mrc": 1}, ("drug", "person", "人名")),
    ],
)
def test_training_notes_the_words_that_its_prompts_show(tasks: dict[str, float], words: tuple[str, ...]):
    data = [{"path": f"{language}.jsonl", "language": language} for language in ("en", "zh")]
    given = {"model": "m", "output": "o", "prompt_style": "compact", "labels": [PER, DRUG], "data": data}
    tuned = tuning_record_of(TrainConfig.model_validate({**given, "tasks": tasks}))
    assert tuned == TuningRecord("compact", words)


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.yaml")), ids=lambda path: path.name)
def test_shipped_configurations_ask_what_was_tuned(path: Path, caplog: pytest.LogCaptureFixture):
    check_labels(load_config(path))
    assert not warned(caplog)


@pytest.mark.parametrize("mode", ["--fresh", "--dry-run"])
def test_a_run_refuses_labels_that_nothing_explains(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
):
    member = {"name": "small", "engine": "local", "model": str(folder / "model.gguf"), "prompt_style": "compact"}
    (folder / "model.gguf").write_bytes(b"")
    (tmp_path / "note.txt").write_text("She takes aspirin.")
    content = {"labels": [DRUG, BARE], "members": [member]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    words = ["--config", tmp_path / "own.yaml", "--input", tmp_path / "note.txt", "--output", tmp_path / "out", mode]
    assert main([str(word) for word in words]) == 2
    assert "  - small: DRUG, DOSE (amount)" in capsys.readouterr().err
    assert not list(tmp_path.glob("out/predictions*")) or not (tmp_path / "out/predictions.jsonl").read_bytes()
