"""The index: exact against brute force, saved, loaded, refused where it does not fit."""

import json
import stat

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from el4ner.demos import partition
from el4ner.demos.embed import normalise
from el4ner.demos.index import SpanIndex, gold_spans
from el4ner.demos.partition import Partition
from el4ner.demos.ragged import Ragged
from el4ner.demos.similarity import span_sim
from el4ner.errors import ConfigError

from .conftest import TableEmbedder, document


def synthetic(seed, n_spans, n_sentences, dim=8, clustered=False):
    """A partition over random unit vectors; every sentence holds 0 to 4 of them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_spans, dim))
    if clustered:
        vectors = 0.4 * vectors + rng.normal(size=(5, dim))[rng.integers(5, size=n_spans)]
    rows = [rng.choice(n_spans, size=min(n_spans, rng.integers(0, 5)), replace=False) for _ in range(n_sentences)]
    sentences = normalise(rng.normal(size=(n_sentences, dim)).astype(np.float32))
    return Partition.build(range(n_sentences), normalise(vectors.astype(np.float32)), sentences, Ragged.of(rows))


def brute_force(part, inputs, weights, excluded):
    """Scores by the paper's formula, one sentence after the other."""
    scores = {}
    for place in set(range(len(part.positions))) - set(excluded):
        spans = part.spans_of.take(np.array([place])).values
        score = span_sim(inputs, part.vectors[spans], weights)
        if score is not None:
            scores[place] = score
    return scores


@pytest.fixture
def faiss_first(monkeypatch):
    """Let indexes ask FAISS even where the pool is small."""
    monkeypatch.setattr(partition, "EXHAUSTIVE_SPANS", 0)


@pytest.mark.usefixtures("faiss_first")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    seed=st.integers(0, 10_000),
    n_spans=st.integers(1, 120),
    weights=st.lists(st.sampled_from([0.0, 1.0, 4.0]), min_size=1, max_size=4).filter(any),
    k=st.integers(1, 12),
    candidates=st.integers(1, 40),
    clustered=st.booleans(),
    excluded=st.sets(st.integers(0, 39), max_size=4),
)
def test_flat_equals_brute_force(seed, n_spans, weights, k, candidates, clustered, excluded):
    part = synthetic(seed, n_spans, 40, clustered=clustered)
    weights = np.array(weights, dtype=np.float32)
    inputs = normalise(np.random.default_rng(seed + 1).normal(size=(len(weights), 8)).astype(np.float32))
    found = part.by_spans(inputs, weights, k, excluded, candidates)
    expected = brute_force(part, inputs, weights, excluded)
    assert len(found) == min(k, len(expected)) and len({place for place, _ in found}) == len(found)
    assert [score for _, score in found] == pytest.approx(sorted(expected.values(), reverse=True)[:k], abs=2e-5)
    assert all(score == pytest.approx(expected[place], abs=2e-5) for place, score in found)


@pytest.mark.usefixtures("faiss_first")
def test_the_bound_spares_the_exhaustive_search_and_gives_its_answer(monkeypatch):
    part = synthetic(3, 2000, 1500)
    inputs, weights = part.vectors[:1], np.ones(1, np.float32)
    expected = part.exhaustive(inputs, weights, 3, ())
    monkeypatch.delattr(Partition, "exhaustive")
    assert part.by_spans(inputs, weights, 3, (), candidates=64) == expected


@pytest.mark.parametrize("n_inputs", [1, 2, 3])
def test_large_flat_index_equals_the_exhaustive_search(n_inputs):
    part = synthetic(8, partition.EXHAUSTIVE_SPANS + 500, 9000, dim=16, clustered=n_inputs == 2)
    rng = np.random.default_rng(9)
    for _ in range(15):
        inputs = normalise(
            part.vectors[rng.integers(20_000, size=n_inputs)] + rng.normal(size=16, scale=0.1).astype("f4")
        )
        weights = rng.choice(np.array([1, 2, 4], dtype=np.float32), size=n_inputs)
        found, exact = part.by_spans(inputs, weights, 5, ()), part.exhaustive(inputs, weights, 5, ())
        assert [score for _, score in found] == pytest.approx([score for _, score in exact], abs=2e-6)


def test_round_trip(pool, embedder, tmp_path):
    built = SpanIndex.build(pool, gold_spans(pool), embedder)
    built.save(tmp_path / "index")
    loaded = SpanIndex.load(tmp_path / "index", pool, embedder)
    assert loaded.manifest.model_copy(update={"hashes": {}}) == built.manifest
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "index").iterdir()} == {0o600}
    inputs, weights = embedder.encode(["Porto", "Anna Weber"]), np.ones(2, np.float32)
    for index in (built, loaded):
        assert index.by_spans(inputs, weights, 3) == built.exhaustive(inputs, weights, 3)
        assert index.by_sentence(embedder.encode(["It rained."])[0], 1)[0][0] == 4


def test_no_document_text_is_in_the_saved_files(pool, embedder, tmp_path):
    SpanIndex.build(pool, gold_spans(pool), embedder).save(tmp_path)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"Harbour" not in content and "远山".encode() not in content


def test_mismatches_are_named_and_say_what_to_do(pool, embedder, tmp_path):
    SpanIndex.build(pool, gold_spans(pool), embedder).save(tmp_path)
    other = TableEmbedder({}, dim=embedder.dim, fingerprint="other")
    changed = [*pool[:-1], document("zh-rain", "今天没有下雨。")]
    for arguments, word in [
        ((pool, other), "the embedder"),
        ((changed, embedder), "the pool"),
    ]:
        with pytest.raises(ConfigError, match=rf"{word}.*python -m el4ner.index"):
            SpanIndex.load(tmp_path, *arguments)


def test_missing_and_damaged_files_are_config_errors(pool, embedder, tmp_path):
    with pytest.raises(ConfigError, match="no complete index"):
        SpanIndex.load(tmp_path, pool, embedder)
    SpanIndex.build(pool, gold_spans(pool), embedder).save(tmp_path)
    for name in ("en.spans.faiss", "en.safetensors"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ConfigError, match="damaged"):
            SpanIndex.load(tmp_path, pool, embedder)
        (tmp_path / name).write_bytes(whole)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for other in ({"version": 1}, {"kind": "hnsw"}):
        (tmp_path / "manifest.json").write_text(json.dumps(manifest | other))
        with pytest.raises(ConfigError, match="another version"):
            SpanIndex.load(tmp_path, pool, embedder)


@pytest.mark.parametrize("name", ["en.spans.faiss", "en.sentences.faiss", "zh.safetensors"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_a_damaged_index_never_answers(pool, embedder, tmp_path, name, place):
    """One changed bit of a vector would only change which demonstrations are found."""
    SpanIndex.build(pool, gold_spans(pool), embedder).save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"damaged \({name} has changed\)"):
        SpanIndex.load(tmp_path, pool, embedder)


def test_languages_are_apart(pool, embedder):
    index = SpanIndex.build(pool, gold_spans(pool), embedder)
    inputs, weights = embedder.encode(["Lisbon"]), np.ones(1, np.float32)
    assert index.positions("en") == [0, 1, 2, 3, 4, 5] and index.positions("zh") == [6, 7, 8]
    assert {place for place, _ in index.by_spans(inputs, weights, 9, language="zh")} == {6, 7}
    assert len(index.by_spans(inputs, weights, 9)) == 7
    assert index.by_spans(inputs, weights, 9, language="fr") == []


def test_a_pool_without_spans_can_be_indexed(embedder):
    pool = [document("a", "It rained."), document("b", "Nothing happened.")]
    index = SpanIndex.build(pool, gold_spans(pool), embedder)
    assert index.by_spans(embedder.encode(["Lisbon"]), np.ones(1, np.float32), 2) == []
    assert [place for place, _ in index.by_sentence(embedder.encode(["It was raining."])[0], 1)] == [0]
