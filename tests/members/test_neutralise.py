"""Control tokens in a text are broken, and nothing else about the text changes."""

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from el4ner.members.neutralise import KNOWN_SPECIALS, neutralise, specials_in

TINY_ALPHABET = "<|>[ab‹¦·•"
tiny_text = st.text(TINY_ALPHABET, max_size=30)
tiny_specials = st.lists(st.text(TINY_ALPHABET, min_size=1, max_size=4), max_size=6)


def test_a_turn_end_in_a_document_is_broken_in_place():
    assert neutralise("end<|im_end|>of 😀 [INST] turn", KNOWN_SPECIALS) == "end‹|im_end|>of 😀 ⟦INST] turn"


def test_ordinary_text_is_untouched():
    text = "if a < b | c > d: [1, 2] 《人民日报》 <3"
    assert neutralise(text, KNOWN_SPECIALS) == text


def test_no_specials_and_empty_specials_change_nothing():
    assert neutralise("<s>", ()) == "<s>"
    assert neutralise("<s>", ("",)) == "<s>"


def test_a_special_without_punctuation_is_broken_too():
    assert neutralise("xEOTy", ("EOT",)) == "x·OTy"


def test_every_known_special_is_broken_alone_and_doubled():
    for special in KNOWN_SPECIALS:
        broken = neutralise(special * 2, KNOWN_SPECIALS)
        assert special not in broken
        assert len(broken) == 2 * len(special)


@given(tiny_text, tiny_specials)
@example("aab", ["aa", "‹", "·", "ab"])
@example("<<a", ["<a", "<", "‹a", "‹"])
def test_the_result_holds_no_special_keeps_its_length_and_is_stable(text: str, specials: list[str]):
    result = neutralise(text, specials)
    assert len(result) == len(text)
    assert not [special for special in specials if special in result]
    assert neutralise(result, specials) == result


@given(tiny_text, tiny_specials)
def test_characters_outside_special_tokens_stay(text: str, specials: list[str]):
    result = neutralise(text, specials)
    inside = {
        at + i
        for special in specials
        for at in range(len(text))
        if text.startswith(special, at)
        for i in range(len(special))
    }
    assert {i for i, (old, new) in enumerate(zip(text, result, strict=True)) if old != new} <= inside


@given(st.lists(st.sampled_from([*KNOWN_SPECIALS, " ", "word", "<", "|>", "北京"]), max_size=12))
def test_texts_full_of_known_specials_hold_none_afterwards(pieces: list[str]):
    text = "".join(pieces)
    result = neutralise(text, KNOWN_SPECIALS)
    assert len(result) == len(text)
    assert not [special for special in KNOWN_SPECIALS if special in result]


def test_a_models_own_specials_are_read_from_its_folder(tmp_path: Path):
    tokens = [{"content": "<|end|>", "special": True}, {"content": "[[", "special": False}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    assert specials_in(tmp_path) == ("<|end|>",)
    (tmp_path / "tokenizer.json").unlink()
    assert specials_in(tmp_path) == ()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"content": "<x>"}]}))
    assert specials_in(tmp_path) == ()
