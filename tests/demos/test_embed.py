"""The static embedder that ships, its files, and refusals."""

import importlib
import json
import shutil

import numpy as np
import pytest

from el4ner.config import EmbedderConfig
from el4ner.demos.cache import SpanCache
from el4ner.demos.embed import SentenceTransformersEmbedder, StaticEmbedder, build_embedder
from el4ner.errors import ConfigError, ModelError

from .conftest import EMBEDDER_FOLDER, TableEmbedder


def test_rows_have_length_one_or_are_zero(embedder):
    rows = embedder.encode(["Lisbon", "University of Graz", "南京市", "🙂", ""])
    assert rows.shape == (5, embedder.dim) and rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1).round(5).tolist() == [1, 1, 1, 0, 0]


def test_no_texts_give_no_rows(embedder):
    assert embedder.encode([]).shape == (0, embedder.dim)


def test_related_spans_are_nearer_than_unrelated_ones(embedder):
    city, town, drug = embedder.encode(["Lisbon", "Porto", "ibuprofen"])
    assert city @ town > city @ drug + 0.1


def test_chinese_spans_that_share_characters_are_nearer(embedder):
    whole, part, other = embedder.encode(["南京大学", "南京", "张伟"])
    assert whole @ part > 0.4 > whole @ other + 0.2


def test_case_and_accents_do_not_matter_but_word_order_is_not_seen_either(embedder):
    first, second, third = embedder.encode(["Zürich Bank", "ZURICH bank", "bank zurich"])
    assert first @ second == pytest.approx(1) and first @ third == pytest.approx(1)


def test_a_long_text_is_not_cut(embedder):
    head, whole = embedder.encode(["rain " * 600, "rain " * 600 + "Lisbon Lisbon " * 600])
    assert head @ whole < 0.95


def test_bundled_folder_is_small_and_holds_no_pickle():
    files = [file for file in EMBEDDER_FOLDER.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 6_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".md", ".txt"}


def test_build_finds_the_bundled_folder(embedder):
    built = build_embedder(EmbedderConfig())
    assert built.fingerprint == embedder.fingerprint and built.dim == embedder.dim


def test_fingerprint_follows_the_content(embedder, tmp_path):
    folder = shutil.copytree(EMBEDDER_FOLDER, tmp_path / "copy")
    assert StaticEmbedder(folder).fingerprint == embedder.fingerprint
    (folder / "config.json").write_text("{}")
    (folder / "sha256.txt").unlink()
    assert StaticEmbedder(folder).fingerprint != embedder.fingerprint


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vectors.safetensors"])
@pytest.mark.parametrize("place", [0.001, 0.5, 0.999])
def test_a_damaged_embedder_never_answers(tmp_path, name, place):
    folder = shutil.copytree(EMBEDDER_FOLDER, tmp_path / "copy")
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"is damaged: its files are not those of sha256\.txt"):
        StaticEmbedder(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "vectors.safetensors"])
def test_an_embedder_without_a_hash_that_cannot_be_read_is_a_model_error(tmp_path, name):
    folder = shutil.copytree(EMBEDDER_FOLDER, tmp_path / "copy")
    (folder / "sha256.txt").unlink()
    (folder / name).write_bytes((folder / name).read_bytes()[:500])
    with pytest.raises(ModelError, match="is damaged"):
        StaticEmbedder(folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"lacks config.json, tokenizer.json, vectors.safetensors"):
        StaticEmbedder(tmp_path)


def test_sentence_transformers_needs_a_folder(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        SentenceTransformersEmbedder(tmp_path / "absent")


def test_sentence_transformers_refuses_remote_code(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match="remote code"):
        SentenceTransformersEmbedder(tmp_path)


def test_sentence_transformers_missing_package_says_how_to_install(tmp_path, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(ConfigError, match="-m pip install sentence-transformers"):
        build_embedder(EmbedderConfig(path=str(tmp_path)))


def test_cache_encodes_each_text_once_and_stays_bounded():
    inner = TableEmbedder({"a": [1, 0], "b": [0, 1], "c": [1, 1]}, dim=2)
    cache = SpanCache(inner, limit=2)
    assert cache.encode(["a", "b", "a"]).tolist() == [[1, 0], [0, 1], [1, 0]]
    cache.encode(["a", "c"])
    assert inner.encoded == ["a", "b", "c"] and len(cache) == 2
    cache.encode(["b"])
    assert inner.encoded == ["a", "b", "c", "b"]
