"""Configurations: all that ship load, and every mistake is named at once, with its place and the nearest known key."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from el4ner.config import Section, bundled_path, load_config, parse_config
from el4ner.config.base import warn_once
from el4ner.errors import ConfigError

ROOT = Path(__file__).parent.parent
CONFIGS = [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "configs" / "medication" / "medication.yaml"]
MINIMAL: dict[str, Any] = {
    "labels": [{"name": "PER", "words": {"en": "person"}}, {"name": "LOC", "words": {"en": "place"}}],
    "members": [
        {"name": "a", "engine": "local", "model": "models/a"},
        {"name": "b", "engine": "http", "model": "b", "endpoint": "http://127.0.0.1:8001/v1"},
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The minimal configuration with one value set; ``members.0.name`` is the way there."""
    data = copy.deepcopy(MINIMAL)
    *way, last = path.split(".")
    at: Any = data
    for part in way:
        at = at[int(part)] if part.isdigit() else at.setdefault(part, {})
    at[last] = value
    return data


def problems(data: Any) -> list[str]:
    """The lines of the one error that a configuration ends in."""
    with pytest.raises(ConfigError) as raised:
        parse_config(data, base=Path())
    head, *lines = str(raised.value).splitlines()
    assert head == f"configuration has {len(lines)} problem(s):"
    return [line.removeprefix("  - ") for line in lines]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_that_ships_loads_without_a_warning(path: Path, caplog: pytest.LogCaptureFixture):
    warn_once.cache_clear()
    config = load_config(path)
    assert not caplog.records
    assert config.type_names
    assert {member.name for member in config.members} >= {config.verify.member or config.members[0].name}
    assert config.hash() == load_config(path).hash()


def test_some_configurations_ship():
    assert {path.name for path in CONFIGS} >= {"default.yaml", "el4ner-paper.yaml"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mebers", "mebers: unknown key; did you mean 'members'?"),
        ("windows.max_column", "windows.max_column: unknown key; did you mean 'max_columns'?"),
        ("members.0.modle", "members.0.modle: unknown key; did you mean 'model'?"),
        ("members.1.endpont", "members.1.endpont: unknown key; did you mean 'endpoint'?"),
        ("labels.1.definition", "labels.1.definition: unknown key; did you mean 'definitions'?"),
        ("verify.on_rejct", "verify.on_rejct: unknown key; did you mean 'on_reject'?"),
        ("entities.zzz", "entities.zzz: unknown key; known keys: document_consistency, nested"),
        ("labels.0.words.fr", "labels.0.words.fr.[key]: Input should be 'en' or 'zh'"),
    ],
)
def test_an_unknown_key_is_refused_at_every_depth(path: str, message: str):
    assert problems(changed(path, "x")) == [message]


def test_all_problems_are_reported_at_once():
    data = changed("members.0.modle", "x")
    data |= {"windows": {"max_columns": 10, "overlap": 3}, "verify": {"mode": "maybe"}, "seed": "thirteen"}
    data["members"][1]["endpoint"] = None
    places = {line.split(":")[0] for line in problems(data)}
    assert places == {"members.0.modle", "windows.max_columns", "windows.overlap", "verify.mode", "seed", "members.1"}


def test_more_labels_than_any_prompt_can_hold_are_refused():
    data = changed("seed", 13)
    data["labels"] = [{"name": f"L{n}", "words": {"en": f"w{n}", "zh": f"词{n}"}} for n in range(1001)]
    assert problems(data) == ["labels: Tuple should have at most 1000 items after validation, not 1001"]


def test_problems_between_sections_are_one_a_line():
    data = changed("verify.member", "c")
    data["extract"] = {"pre_extract": False, "few_shot": False}
    data["batch"] = {"quorum": 5}
    lines = problems(data)
    assert len(lines) == 4
    assert lines[0] == "top level: verify.member 'c' is no member; members are a, b"
    assert all(line.startswith("top level: ") for line in lines)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("members.1.endpoint", None, "engine http needs an endpoint"),
        ("members.0.endpoint", "http://127.0.0.1/v1", "engine local takes no endpoint"),
        ("members.1.adapter", "adapters/x", "adapter is for engine local"),
        ("members.0.languages", [], "languages is empty"),
        ("members.0.name", "a member", "should match pattern"),
        ("members.1.name", "a", "member 'a' stands twice"),
        ("members.0.role", "judge", "Input should be 'el4ner', 'single-pass' or 'mrc'"),
        ("labels.0.questions", {"en": "Who?\nWhere?"}, "should match pattern"),
        ("mrc.types_per_call", 0, "greater than or equal to 1"),
        ("members", [], "at least 1 item"),
        ("labels", [], "at least 1 item"),
        ("labels.1.name", "PER", "label 'PER' stands twice"),
        ("labels.1.words", {"en": "Person"}, "en label word 'person' stands twice"),
        ("labels.1.words", {"en": "none"}, "en label word 'none' stands twice"),
        ("labels.1.words", {}, "at least 1 item"),
        ("labels.1.words", {"en": ""}, "at least 1 character"),
        ("labels.1.words", {"en": "a\nb"}, "should match pattern"),
        ("windows.overlap_columns", 700, "at most half of max_columns"),
        ("verify.member", "c", "is no member; members are a, b"),
        ("batch.quorum", 3, "but there are 2 members"),
        ("extract.pre_extract", False, "method span needs extract.pre_extract"),
        ("demonstrations.k", 65, "less than or equal to 64"),
        ("classify.rule", "borda", "'plurality', 'majority', 'probability', 'two-stage' or 'combiner'"),
        ("classify.rule", "combiner", "rule: combiner and combiner: FILE belong together"),
    ],
)
def test_each_rule_is_checked(path: str, value: Any, message: str):
    assert any(message in line for line in problems(changed(path, value)))


def test_the_old_name_of_the_engine_still_works_and_is_said_once(caplog: pytest.LogCaptureFixture):
    warn_once.cache_clear()
    data = changed("members.1.engine", "vllm")
    data["members"].append(data["members"][1] | {"name": "c"})
    assert [member.engine for member in parse_config(data, base=Path()).members] == ["local", "http", "http"]
    assert len([record for record in caplog.records if "engine: http" in record.message]) == 1


def test_the_former_name_of_a_key_still_works_and_is_said_once(caplog: pytest.LogCaptureFixture):
    warn_once.cache_clear()
    data = changed("classify.trust_unfound", 0.5)
    assert [parse_config(data, base=Path()).classify.unextracted_vote_discount for _ in range(2)] == [0.5, 0.5]
    (warning,) = [record.message for record in caplog.records if "trust_unfound" in record.message]
    assert "unextracted_vote_discount" in warning and "\n" not in warning
    assert data == changed("classify.trust_unfound", 0.5)


def test_a_key_under_both_of_its_names_is_refused():
    data = changed("classify.weigh", False)
    data["classify"]["rescore_disputed"] = True
    assert problems(data) == ["classify: weigh is now called rescore_disputed; delete weigh"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("demonstrations.fallback", "sentence"),
        ("demonstrations.seed", 7),
        ("extract.min_members", 1),
        ("embedder.kind", "static"),
        ("windows.overlap_at", "cuts"),
        ("batch.documents_in_flight", 9),
        ("none_words", {"en": "none", "zh": "无"}),
        ("serving", {}),
    ],
)
def test_a_deleted_key_whose_value_changes_nothing_is_ignored(path: str, value: Any, caplog: pytest.LogCaptureFixture):
    warn_once.cache_clear()
    assert parse_config(changed(path, value), base=Path()) == parse_config(MINIMAL, base=Path())
    (warning,) = [record.message for record in caplog.records]
    assert f"key {path.split('.')[-1]} is ignored and can be deleted: " in warning


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "demonstrations.diversity",
            0.5,
            "demonstrations: diversity can no longer be set: demonstrations are ranked by",
        ),
        ("demonstrations.index", "hnsw", "demonstrations: index can no longer be set: the index is exact"),
        ("pool.spans", "pre-extracted", "pool: spans can no longer be set: the index says which spans it holds"),
        ("verify.threshold", 0.7, "verify: threshold can no longer be set"),
        ("serving", {"state": "here"}, "top level: serving can no longer be set: python -m el4ner.serve start --help"),
        ("none_words", {"en": "other"}, "top level: none_words can no longer be set"),
        (
            "members.1.revision",
            "v2",
            "members.1: revision can no longer be set: give other weights another served name",
        ),
    ],
)
def test_a_deleted_key_that_would_change_something_is_refused(path: str, value: Any, message: str):
    (line,) = problems(changed(path, value))
    assert line.startswith(message) and line.endswith("; delete it")


def test_quantization_is_a_dtype_now(caplog: pytest.LogCaptureFixture):
    served = {"model": "/models/m", "quantization": "fp8"}
    (a, b) = parse_config(changed("members.1.serve", served), base=Path()).members
    assert a.serve is None and b.serve is not None and b.serve.dtype == "fp8"
    (line,) = problems(changed("members.1.serve", served | {"dtype": "bfloat16"}))
    assert line == "members.1.serve: quantization and dtype are one key now; write dtype: fp8 alone"


def test_windows_of_single_pass_members_overlap_where_a_sentence_is_cut():
    assert parse_config(MINIMAL, base=Path()).overlap_at == "all"
    data = copy.deepcopy(MINIMAL)
    data["members"] = [member | {"role": "single-pass"} for member in data["members"]]
    assert parse_config(data, base=Path()).overlap_at == "cuts"


def test_former_names_of_keys_lead_to_present_ones():
    sections = Section.__subclasses__()
    assert sum(len(section.former_keys) for section in sections) > 3
    assert sum(len(section.deleted_keys) for section in sections) > 20
    for section in sections:
        assert section.deleted_keys.keys().isdisjoint([*section.model_fields, *section.former_keys])
        assert section.former_keys.keys().isdisjoint(section.model_fields)
        assert set(section.former_keys.values()) <= section.model_fields.keys()


def test_both_extraction_passes_cannot_be_off():
    data = MINIMAL | {"extract": {"pre_extract": False, "few_shot": False}, "demonstrations": {"method": "none"}}
    assert problems(data) == [
        "top level: extract.pre_extract and extract.few_shot are both off; nothing would be found"
    ]


def test_doubt_about_spans_needs_the_pass_that_tells_of_it():
    data = MINIMAL | {
        "extract": {"pre_extract": False, "few_shot": "doubtful"},
        "demonstrations": {"method": "sentence"},
    }
    assert problems(data) == [
        "top level: extract.few_shot: doubtful needs extract.pre_extract: true; or use few_shot: true"
    ]


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_a_file_without_keys_is_refused(data: Any):
    with pytest.raises(ConfigError, match="expected keys and values"):
        parse_config(data, base=Path())


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00"])
def test_what_is_no_yaml_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not YAML in UTF-8"):
        load_config(path)


def test_the_label_set_may_lie_in_a_file_of_its_own(tmp_path: Path):
    (tmp_path / "labels.yaml").write_text(
        "- {name: PER, words: {en: person}, questions: {en: Who is it}}", encoding="utf-8"
    )
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(MINIMAL | {"labels": "labels.yaml"}))
    config = load_config(tmp_path / "c.yaml")
    assert config.type_names == ("PER",)
    assert (config.labels[0].question("en"), config.labels[0].question("zh")) == ("Who is it", "")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(MINIMAL | {"labels": "gone.yaml"}))
    with pytest.raises(ConfigError, match=r"cannot read .*gone"):
        load_config(tmp_path / "c.yaml")


def test_yaml_builds_no_objects(tmp_path: Path):
    path = tmp_path / "c.yaml"
    path.write_text("seed: !!python/object/apply:os.getpid []")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.yaml")


def test_relative_paths_are_taken_from_the_file_and_bundled_ones_from_the_package(tmp_path: Path):
    data = changed("pool", {"path": "bundled:pool", "index": "pool.index"})
    data["members"][0]["adapter"] = "/adapters/a"
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(data))
    config = load_config(path)
    assert config.members[0].model == str(tmp_path / "models" / "a")
    assert config.members[0].adapter == "/adapters/a"
    assert config.members[1].model == "b"
    assert config.pool.path == str(bundled_path("pool.jsonl"))
    assert config.pool.index == str(tmp_path / "pool.index")
    assert config.embedder.path == str(bundled_path("embedder"))
    assert Path(config.pool.path).is_file() and Path(config.embedder.path).is_dir()


def test_words_and_definitions_fall_back_to_the_other_language():
    config = parse_config(changed("labels.0.definitions", {"zh": "人"}), base=Path())
    per, loc = config.labels
    assert (per.word("zh"), per.definition("en"), loc.definition("en")) == ("person", "人", "")


def test_the_hash_follows_the_content_alone():
    config = parse_config(MINIMAL, base=Path())
    assert config.hash() == parse_config(copy.deepcopy(MINIMAL), base=Path()).hash()
    assert config.hash() != parse_config(changed("seed", 14), base=Path()).hash()


def test_a_configuration_is_frozen():
    config = parse_config(MINIMAL, base=Path())
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
