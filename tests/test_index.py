"""``python -m el4ner.index``: the pool indexed by gold and by pre-extracted spans."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted_members import LABELS, ScriptedMember, marking, member

from el4ner import index
from el4ner.config import Config, load_config
from el4ner.demos.build import build_retriever, load_pool
from el4ner.demos.embed import build_embedder
from el4ner.demos.index import SpanIndex
from el4ner.errors import ConfigError, MemberError
from el4ner.text.spans import Span

POOL = [
    {"id": "1", "text": "Lena Brandt lives in Graz.", "entities": [{"start": 21, "end": 25, "type": "LOC"}]},
    {"id": "2", "text": "The [[ferry]] leaves Oslo.", "entities": [{"start": 21, "end": 25, "type": "LOC"}]},
    {"id": "3", "text": "It rained all day.", "entities": []},
]


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(record) + "\n" for record in POOL))
    return _write(tmp_path / "config.yaml", {})


def _write(path: Path, pool: dict[str, Any], **settings: Any) -> Path:
    data = {
        "labels": LABELS,
        "members": [
            {"name": n, "engine": "http", "model": n, "endpoint": "http://127.0.0.1:9/v1", "prompt_style": "compact"}
            for n in ("a", "b")
        ],
        "pool": {"path": "pool.jsonl"} | pool,
    }
    path.write_text(yaml.safe_dump(data | settings))
    return path


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedMember]:
    """Scripted engines in the place of the endpoints."""
    scripted = [member("a", ["Lena Brandt", "ferry"]), member("b", ["Graz", "Lena Brandt"])]
    monkeypatch.setattr("el4ner.pipeline.build_engines", lambda *_: {m.name: m for m in scripted})
    return scripted


def _load(config: Config, folder: Path) -> SpanIndex:
    return SpanIndex.load(folder, load_pool(config), build_embedder(config.embedder))


def test_gold_spans_need_no_member(config_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert index.main(["--config", str(config_path), "--output", str(tmp_path / "i"), "--quiet"]) == 0
    assert _load(load_config(config_path), tmp_path / "i").manifest.spans == {"en": 2}
    assert capsys.readouterr().out.startswith("3 sentences, 2 different gold spans -> ")


def test_pre_extracted_spans_are_the_union_of_all_members(config_path: Path, tmp_path: Path, members, capsys):
    config = load_config(config_path)
    index.build(config, tmp_path / "i", "pre-extracted", quiet=True)
    assert _load(config, tmp_path / "i").manifest.spans == {"en": 3}
    assert _load(config, tmp_path / "i").manifest.source == "pre-extracted"
    assert "3 different pre-extracted spans" in capsys.readouterr().out
    assert [m.stages() for m in members] == [["pre-extract"] * 3] * 2
    assert all(m.closed for m in members)
    assert all(len(request.messages) == 1 for m in members for request in m.asked)


def test_a_pipeline_retrieves_by_the_index_that_was_built(config_path: Path, tmp_path: Path, members):
    index.build(load_config(config_path), tmp_path / "i", "pre-extracted", quiet=True)
    _write(config_path, {"index": "i"}, demonstrations={"k": 1, "weights": "uniform"})
    retriever = build_retriever(load_config(config_path))
    assert retriever is not None
    found = retriever.retrieve("A ferry came.", [Span(2, 7)], "en")
    assert ([document.id for document in found.demonstrations], found.method_used) == (["2"], "span")


@pytest.mark.parametrize("mrc", [{}, {"k": 2}, {"lookup": 2}])
def test_there_is_a_retriever_where_something_is_shown_or_looked_up(config_path: Path, mrc: dict[str, int]):
    _write(config_path, {}, demonstrations={"k": 0, "weights": "uniform"}, mrc=mrc)
    assert (build_retriever(load_config(config_path)) is None) == (not mrc)
    _write(config_path, {}, demonstrations={"method": "none", "weights": "uniform"}, mrc=mrc)
    assert (build_retriever(load_config(config_path)) is None) == ("lookup" not in mrc)


def test_one_member_may_fail_but_not_all(config_path: Path, tmp_path: Path, members):
    config = load_config(config_path)
    members[0] = member("a", extract=MemberError("a", "gone"))
    index.build(config, tmp_path / "i", "pre-extracted", quiet=True)
    assert _load(config, tmp_path / "i").manifest.spans == {"en": 2}
    members[1] = member("b", extract=MemberError("b", "gone too"))
    with pytest.raises(ConfigError, match=r"pool sentence 1: a, pre-extract: gone; b, pre-extract: gone too"):
        index.build(config, tmp_path / "j", "pre-extracted", quiet=True)
    assert not (tmp_path / "j").exists()
    assert members[1].closed


def test_a_sentence_that_no_member_takes_is_named(config_path: Path, tmp_path: Path, members):
    with (tmp_path / "pool.jsonl").open("a") as pool:
        pool.write(json.dumps({"id": "zh", "text": "昨天下雨。", "entities": []}) + "\n")
    data = yaml.safe_load(config_path.read_text())
    for settings in data["members"]:
        settings["languages"] = ["en"]
    config_path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match="pool sentence zh: no member takes its language, zh"):
        index.build(load_config(config_path), tmp_path / "i", "pre-extracted", quiet=True)


def test_mistakes_end_with_2_and_one_line_without_text(config_path: Path, tmp_path: Path, capsys, members):
    members[:] = [member(n, extract=MemberError(n, "gone")) for n in ("a", "b")]
    arguments = ["--config", str(config_path), "--output", str(tmp_path / "i"), "--spans", "pre-extracted"]
    assert index.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("el4ner.index: no member answered")
    assert "Graz" not in error
    assert index.main([*arguments, "--pool", str(tmp_path / "none.jsonl")]) == 2


def test_pre_extraction_keeps_few_windows_under_way(config_path: Path, tmp_path: Path, members):
    _write(config_path, {}, batch={"windows_in_flight": 1})
    order: list[str] = []

    def noting(request):
        order.append(request.copy_of)
        return marking("Graz")(request)

    members[:] = [member(n, extract=noting) for n in ("a", "b")]
    index.build(load_config(config_path), tmp_path / "i", "pre-extracted", quiet=True)
    assert order == [text for record in POOL for text in [record["text"].replace("[[", "⟦⟦").replace("]]", "⟧⟧")] * 2]
