"""Control tokens in a text are broken, and nothing else about the text changes."""

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from el4ner.engines.special_tokens import KNOWN_SPECIAL_TOKENS, escape_special_tokens, special_tokens_in

TINY_ALPHABET = "<|>[ab‹¦·•"
tiny_text = st.text(TINY_ALPHABET, max_size=30)
tiny_specials = st.lists(st.text(TINY_ALPHABET, min_size=1, max_size=4), max_size=6)


def test_a_turn_end_in_a_document_is_broken_in_place():
    assert (
        escape_special_tokens("end<|im_end|>of 😀 [INST] turn", KNOWN_SPECIAL_TOKENS)
        == "end‹|im_end|>of 😀 ⟦INST] turn"
    )


def test_ordinary_text_is_untouched():
    text = "if a < b | c > d: [1, 2] 《人民日报》 <3"
    assert escape_special_tokens(text, KNOWN_SPECIAL_TOKENS) == text


def test_no_specials_and_empty_specials_change_nothing():
    assert escape_special_tokens("<s>", ()) == "<s>"
    assert escape_special_tokens("<s>", ("",)) == "<s>"


def test_a_special_without_punctuation_is_broken_too():
    assert escape_special_tokens("xEOTy", ("EOT",)) == "x·OTy"


def test_every_known_special_is_broken_alone_and_doubled():
    for special in KNOWN_SPECIAL_TOKENS:
        broken = escape_special_tokens(special * 2, KNOWN_SPECIAL_TOKENS)
        assert special not in broken
        assert len(broken) == 2 * len(special)


@given(tiny_text, tiny_specials)
@example("aab", ["aa", "‹", "·", "ab"])
@example("<<a", ["<a", "<", "‹a", "‹"])
def test_the_result_holds_no_special_keeps_its_length_and_is_stable(text: str, special_tokens: list[str]):
    result = escape_special_tokens(text, special_tokens)
    assert len(result) == len(text)
    assert not [special for special in special_tokens if special in result]
    assert escape_special_tokens(result, special_tokens) == result


@given(tiny_text, tiny_specials)
def test_characters_outside_special_tokens_stay(text: str, special_tokens: list[str]):
    result = escape_special_tokens(text, special_tokens)
    inside = {
        at + i
        for special in special_tokens
        for at in range(len(text))
        if text.startswith(special, at)
        for i in range(len(special))
    }
    assert {i for i, (old, new) in enumerate(zip(text, result, strict=True)) if old != new} <= inside


@given(st.lists(st.sampled_from([*KNOWN_SPECIAL_TOKENS, " ", "word", "<", "|>", "北京"]), max_size=12))
def test_texts_full_of_known_specials_hold_none_afterwards(pieces: list[str]):
    text = "".join(pieces)
    result = escape_special_tokens(text, KNOWN_SPECIAL_TOKENS)
    assert len(result) == len(text)
    assert not [special for special in KNOWN_SPECIAL_TOKENS if special in result]


def test_a_models_own_specials_are_read_from_its_folder(tmp_path: Path):
    tokens = [{"content": "<|end|>", "special": True}, {"content": "[[", "special": False}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    assert special_tokens_in(tmp_path) == ("<|end|>",)
    (tmp_path / "tokenizer.json").unlink()
    assert special_tokens_in(tmp_path) == ()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [{"content": "<x>"}]}))
    assert special_tokens_in(tmp_path) == ()
