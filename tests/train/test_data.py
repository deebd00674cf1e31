"""Labelled sentences for training: read, mapped, split."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.config import LabelConfig
from el4ner.errors import InputError
from el4ner.text.documents import Document
from el4ner.text.language import columns
from el4ner.text.spans import Entity
from el4ner.train.config import DataConfig, WindowConfig
from el4ner.train.data import Sentence, joined, read_sentences, split

from .conftest import labelled, write_jsonl


def data_of(path: Path, **settings: Any) -> DataConfig:
    return DataConfig.model_validate({"path": str(path), "language": "en", **settings})


def sentence_of(identity: int, text: str) -> Sentence:
    return Sentence(Document(str(identity), text, ()), "en", 1.0)


def test_types_are_mapped_and_the_others_left_out(tmp_path: Path):
    path = write_jsonl(
        tmp_path / "a.jsonl", [labelled("1", "[Mira|person] saw [Bexley|city] at [noon|time] [...|city]")]
    )
    (sentence,) = read_sentences([data_of(path, map={"person": "PER", "city": "LOC"}, repeat=2.5)])
    assert sentence.document.entities == (Entity(0, 4, "PER"), Entity(9, 15, "LOC"))
    assert (sentence.language, sentence.repeat) == ("en", 2.5)


def test_without_a_map_types_stay(tmp_path: Path):
    path = write_jsonl(tmp_path / "a.jsonl", [labelled("1", "[Mira|person] slept"), labelled("2", "   ")])
    (sentence,) = read_sentences([data_of(path)])
    assert sentence.document.entities == (Entity(0, 4, "person"),)


def test_files_in_different_folders_may_use_the_same_ids(tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "train.jsonl", [labelled("1", f"folder {folder}")])
    sentences = read_sentences([data_of(tmp_path / folder / "train.jsonl") for folder in ("one", "two")])
    assert len({sentence.document.id for sentence in sentences}) == 2


def test_unlabelled_and_empty_files_are_refused(tmp_path: Path):
    (tmp_path / "bare.jsonl").write_text('{"id": "1", "text": "Mira slept"}\n')
    with pytest.raises(InputError, match="no labels"):
        read_sentences([data_of(tmp_path / "bare.jsonl")])
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="hold no sentences"):
        read_sentences([data_of(tmp_path / "empty.jsonl")])


@given(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=40), st.floats(0, 0.49), st.integers(0, 99))
def test_equal_texts_stay_on_one_side_and_nothing_is_lost(texts: list[str], fraction: float, seed: int):
    sentences = [sentence_of(i, text) for i, text in enumerate(texts)]
    train, held_out = split(sentences, fraction, seed)
    sides = [{sentence.document.text for sentence in side} for side in (train, held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(len(set(texts)) * fraction)
    assert sorted([*train, *held_out], key=sentences.index) == sentences
    assert split(sentences[::-1], fraction, seed)[1] == held_out[::-1]


def test_another_seed_holds_out_other_sentences():
    sentences = [sentence_of(i, f"text {i}") for i in range(100)]
    assert split(sentences, 0.1, 1)[1] != split(sentences, 0.1, 2)[1]


def found(sentences: list[Sentence]) -> list[str]:
    return [e.span.surface(s.document.text) for s in sentences for e in s.document.entities or ()]


@given(st.lists(st.sampled_from(["Mira slept.", "Karl saw Mira!", "no name", "Mira" * 30]), max_size=20), st.integers())
def test_windows_hold_every_sentence_once_with_its_mentions_in_place(texts: list[str], seed: int):
    mentions = [tuple(Entity(m.start(), m.end(), "PER") for m in re.finditer("Mira", text)) for text in texts]
    singles = [
        Sentence(Document(str(i), t, m), "en", 1.0) for i, (t, m) in enumerate(zip(texts, mentions, strict=True))
    ]
    windows = joined(singles, WindowConfig(share=1.0, max_columns=60), seed)
    assert [identity for window in windows for identity in window.ids] == [single.document.id for single in singles]
    assert found(windows) == found(singles)
    assert all(columns(window.document.text) <= 60 + len(window.parts) for window in windows if window.parts)
    assert joined(singles, WindowConfig(share=0.0), seed) == singles


def test_windows_hold_sentences_of_one_label_set_and_language():
    labels = (LabelConfig(name="patient", words={"en": "patient"}),)
    alone = [
        sentence_of(1, "A."),
        replace(sentence_of(2, "B."), labels=labels),
        replace(sentence_of(3, "C."), language="zh"),
    ]
    assert joined(alone, WindowConfig(share=1.0), 1) == alone


def test_a_sentence_without_an_end_stands_on_a_line_of_its_own():
    (window,) = joined([sentence_of(1, "Headline"), sentence_of(2, "Text.")], WindowConfig(share=1.0), 1)
    assert window.document.text == "Headline\nText."
