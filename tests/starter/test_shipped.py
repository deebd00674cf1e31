"""What ships: pool, examples, embedder and members are complete, correctly labelled, small enough, and good enough."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from el4ner.config import bundled_path, load_config
from el4ner.demos.embed import StaticEmbedder
from el4ner.demos.pool import check_pool_labels, read_pool
from el4ner.members.meter import Meter
from el4ner.models.weights import check_model_folder
from el4ner.pipeline import build_pipeline
from el4ner.scoring.counts import micro, strict_counts
from el4ner.serving.adapters import read_adapter
from el4ner.serving.shape import read_model
from el4ner.text.formats import read_labelled
from el4ner.text.language import detect
from el4ner.text.spans import Entity, is_nested
from el4ner.text.windows import cut_windows

ROOT = Path(__file__).parents[2]
CONFIG = load_config(ROOT / "configs/starter.yaml")
MODELS = [Path(member.model) for member in CONFIG.members]
ADAPTERS = [Path(member.adapter) for member in CONFIG.members if member.adapter]
BASELINE = json.loads((Path(__file__).parent / "baseline.json").read_text(encoding="utf-8"))
GOLD = {language: ROOT / f"tests/examples/gold.{language}.jsonl" for language in ("en", "zh")}


def test_the_pool_is_large_enough_and_uses_the_configured_labels():
    pool = read_pool(bundled_path("bundled:pool.jsonl"))
    check_pool_labels(pool, CONFIG.type_names)
    languages = Counter(detect(document.text) for document in pool)
    assert languages["en"] >= 150 and languages["zh"] >= 80
    assert len({document.id for document in pool}) == len(pool)


def test_labels_of_pool_and_examples_cover_whole_words_and_do_not_overlap():
    for path in (bundled_path("bundled:pool.jsonl"), *GOLD.values()):
        for document in read_labelled(path):
            entities = document.entities or ()
            assert not is_nested(entity.span for entity in entities), document.id
            for entity in entities:
                surface = document.text[entity.start : entity.end]
                assert surface == surface.strip(), document.id
                assert entity.type in CONFIG.type_names, document.id


@pytest.mark.parametrize(("language", "least"), [("en", 30), ("zh", 15)])
def test_gold_examples_are_the_example_files_to_the_letter(language, least):
    documents = list(read_labelled(GOLD[language]))
    files = sorted((ROOT / "examples" / language).glob("*.txt"))
    assert len(files) >= least
    assert {document.id for document in documents} == {f"{language}/{path.stem}" for path in files}
    for document in documents:
        assert document.text.encode() == (ROOT / "examples" / f"{document.id}.txt").read_bytes()


def test_members_differ_in_architecture_and_tokenizer():
    architectures, vocabularies = set(), set()
    for folder in MODELS:
        check_model_folder(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architectures.add(config["architectures"][0])
        vocabularies.add((folder / "tokenizer.json").read_bytes())
        assert "licence" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(architectures) == len(MODELS) == 4
    assert len(vocabularies) == 3  # the GLM began with the Qwen3's


def test_the_reader_is_a_glm_with_an_adapter_that_can_be_served():
    (reader,) = (member for member in CONFIG.members if member.role == "mrc")
    adapter = read_adapter(Path(reader.adapter), read_model(Path(reader.model)))
    assert "Glm4ForCausalLM" in (Path(reader.model) / "config.json").read_text(encoding="utf-8")
    assert adapter.rank <= 64 and "gate_up_proj" not in adapter.targets
    settings = json.loads((Path(reader.adapter) / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == Path(reader.model).name


def test_members_are_small_and_hold_no_pickle():
    files = [path for folder in MODELS + ADAPTERS for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 80_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}


def test_the_embedder_knows_what_is_alike():
    embedder = StaticEmbedder(bundled_path("bundled:embedder"))
    paris, rome, lawyer, beijing, beijing_city = embedder.encode(["Paris", "Rome", "lawyer", "北京", "北京市"])
    assert paris @ rome > paris @ lawyer
    assert beijing @ beijing_city > beijing @ paris


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_quality_on_examples_is_not_below_the_baseline(language):
    """Strict micro-F1 of the starter ensemble on the first example documents, against the checked-in figure."""
    documents = list(read_labelled(GOLD[language]))[: BASELINE["documents"]]
    predicted = asyncio.run(_predict(documents))
    gold = [set(document.entities or ()) for document in documents]
    f1 = 100 * micro(strict_counts(gold, predicted)).f1
    assert f1 >= BASELINE[language] - BASELINE["tolerance"], f"{language}: {f1:.1f}"


async def _predict(documents):
    pipeline = build_pipeline(CONFIG, Meter())
    settings = CONFIG.windows
    try:
        results = []
        for document in documents:
            windows = cut_windows(document, settings.max_columns, settings.overlap_columns, "auto", settings.overlap_at)
            found = await asyncio.gather(*map(pipeline.find, windows))
            results.append(
                {
                    Entity(window.start + entity.start, window.start + entity.end, entity.type)
                    for window, result in zip(windows, found, strict=True)
                    for entity in result.entities
                    if window.owns(entity.span)
                }
            )
        return results
    finally:
        await pipeline.close()
