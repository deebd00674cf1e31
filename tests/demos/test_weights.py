"""Span weights: uniform, part of speech (with a stand-in tagger), label statistics worked by hand."""

import importlib
from types import SimpleNamespace

import pytest

from el4ner.config import DemonstrationConfig
from el4ner.demos.weights import LabelWeights, PosWeights, UniformWeights, build_weights
from el4ner.errors import ConfigError
from el4ner.text.spans import Span

from .conftest import document, span_of


def test_uniform():
    assert UniformWeights().weigh("abc", [Span(0, 1), Span(1, 3)], "en").tolist() == [1, 1]


def test_label_statistics_worked_by_hand():
    pool = [
        document("1", "Ada met us in May today", PER="Ada"),
        document("2", "we ask Ada in Rome", LOC="Rome"),
    ]
    weights = LabelWeights.learn(pool)
    # "ada": once entity, once context (two before Rome); "in": once other (three after Ada), once context.
    expected = {"Ada": (1 + 0.5) / 2, "in": (0.01 + 0.5) / 2, "met": 0.5, "today": 0.01, "Rome": 1.0, "Lima": 1.0}
    assert {token: pytest.approx(weights.token_weight(token)) for token in expected} == expected
    text = "ADA in Lima"
    spans = [Span(0, 3), Span(0, 6), Span(0, 11)]
    assert weights.weigh(text, spans, "en").tolist() == pytest.approx(
        [0.75, (0.75 + 0.255) / 2, (0.75 + 0.255 + 1) / 3]
    )


def test_label_statistics_take_chinese_characters_as_tokens():
    pool = [document("1", "张伟来了北京", PER="张伟"), document("2", "天很冷很冷")]
    weights = LabelWeights.learn(pool)
    assert weights.token_weight("张") == 1.0 and weights.token_weight("冷") == pytest.approx(0.01)
    assert weights.weigh("张冷", [Span(0, 2)], "zh").tolist() == pytest.approx([(1 + 0.01) / 2])


def fake_spacy(monkeypatch, tagged):
    """A spaCy whose pipeline gives the words of ``tagged`` their part of speech."""

    class Token(SimpleNamespace):
        def __len__(self):
            return self.length

    def pipeline(text):
        return [Token(idx=text.index(word), length=len(word), pos_=tag) for word, tag in tagged.items()]

    real = importlib.import_module
    fake = SimpleNamespace(load=lambda name, exclude: pipeline)
    monkeypatch.setattr(importlib, "import_module", lambda name: fake if name == "spacy" else real(name))


def test_pos_takes_the_highest_token_of_a_span(monkeypatch):
    fake_spacy(monkeypatch, {"the": "DET", "river": "NOUN", "Danube": "PROPN", "it": "PRON", "crossed": "VERB"})
    text = "it crossed the river Danube"
    spans = [span_of(text, s) for s in ("it", "crossed", "the river", "the river Danube")]
    assert PosWeights({"en": "any"}).weigh(text, spans, "en").tolist() == [1, 0, 2, 4]


def test_pos_without_spacy_says_how_to_install_it(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match="-m pip install spacy"):
        PosWeights({"en": "en_core_web_sm"})


def test_pos_without_the_pipeline_says_how_to_install_it(monkeypatch):
    def load(name, exclude):
        raise OSError("[E050] no such model")

    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(load=load))
    with pytest.raises(ConfigError, match="-m spacy download en_core_web_sm"):
        PosWeights({"en": "en_core_web_sm"})


def test_pos_needs_a_pipeline_for_the_language(monkeypatch):
    fake_spacy(monkeypatch, {})
    with pytest.raises(ConfigError, match="no spaCy pipeline for zh"):
        PosWeights({"en": "any"}).weigh("张伟", [Span(0, 2)], "zh")


def test_build_weights_follows_the_configuration(pool):
    assert isinstance(build_weights(DemonstrationConfig(weights="uniform"), pool), UniformWeights)
    built = build_weights(DemonstrationConfig(weights="labels"), pool)
    assert isinstance(built, LabelWeights) and built.token_weight("ibuprofen") == 1.0
