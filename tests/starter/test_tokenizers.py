"""The starter's tokenizers: marks are tokens, words are cut alike with and without them, nothing gets lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

from tiny_models import SENTENCES
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from el4ner.starter.tokenizers import (
    ASSISTANT,
    CAPITALS,
    END,
    PAD,
    TITLE,
    USER,
    byte_pairs,
    cased_word_pieces,
    encoder_pieces,
    uncased_word_pieces,
    wrap,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = {
    piece: row
    for row, piece in enumerate(
        ["[PAD]", "[UNK]", *LETTERS, *(f"##{c}" for c in LETTERS), *".,-'[]", "bakery", "##ery", "mira", "林", "青"]
    )
}
TOKENIZERS = {
    "uncased": uncased_word_pieces(SENTENCES, VOCABULARY, 300),
    "cased": cased_word_pieces(SENTENCES, 300),
    "bytes": byte_pairs(SENTENCES, 420),
}
KINDS = sorted(TOKENIZERS)
WORDS = ("Mira", "bakery", "opened", "OLD", "Harrow", ",", ".", "林晓梅", "青岛", "A", "it")
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(words=words, data=st.data())
def test_words_are_cut_alike_with_and_without_marks(kind: str, words: list[str], data: st.DataObject):
    tokenizer = TOKENIZERS[kind]
    marked = {at for at in range(len(words)) if data.draw(st.booleans())}
    text = " ".join(words)
    with_marks = " ".join(f"[[{word}]]" if at in marked else word for at, word in enumerate(words))
    marks = [tokenizer.token_to_id(mark) for mark in ("[[", "]]")]
    ids = ids_of(tokenizer, with_marks)
    assert [token for token in ids if token not in marks] == ids_of(tokenizer, text)
    assert [ids.count(mark) for mark in marks] == [len(marked)] * 2


def test_the_vocabulary_keeps_to_its_size(tokenizer: Tokenizer):
    ids = tokenizer.get_vocab().values()
    assert len(set(ids)) == len(ids) == tokenizer.get_vocab_size() == max(ids) + 1
    assert tokenizer.get_vocab_size() <= 420


@pytest.mark.parametrize("size", [40, 80])
def test_a_small_vocabulary_holds_letters_and_signs_first(size: int):
    small = uncased_word_pieces(SENTENCES, VOCABULARY, size)
    assert small.get_vocab_size() <= size
    assert set(LETTERS) <= set(small.get_vocab())


def test_control_tokens_and_marks_are_one_token_each(tokenizer: Tokenizer):
    for token in (END, PAD, USER, ASSISTANT, "[[", "]]"):
        assert ids_of(tokenizer, f"a{token}b").count(tokenizer.token_to_id(token)) == 1
        assert len(ids_of(tokenizer, token)) == 1


def test_marks_survive_decoding_and_control_tokens_do_not(tokenizer: Tokenizer):
    text = tokenizer.decode(ids_of(tokenizer, f"[[Mira]] opened{END}"), skip_special_tokens=True)
    assert squeezed(text).lower() == "[[mira]]opened"


def test_case_is_marked_before_lower_cased_words():
    tokens = TOKENIZERS["uncased"].encode("Mira saw OLD (Bexley) at McDo it", add_special_tokens=False).tokens
    text = " ".join(tokens).replace(" ##", "")
    assert text.startswith(f"{TITLE} mira saw {CAPITALS} old")
    assert f"{TITLE} bexley" in text
    assert text.endswith("it") and f"{TITLE} it" not in text


@settings(max_examples=60)
@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=30))
def test_byte_pairs_write_everything(text: str):
    tokenizer = TOKENIZERS["bytes"]
    written = tokenizer.decode(ids_of(tokenizer, text))
    assert squeezed(written) == squeezed(text.replace("\ufffd", ""))


def test_unknown_characters_are_written_as_such():
    for kind in ("uncased", "cased"):
        tokenizer = TOKENIZERS[kind]
        assert "\ufffd" in tokenizer.decode(ids_of(tokenizer, "Mira 😀"), skip_special_tokens=False)


@pytest.mark.parametrize(
    ("token", "pieces"),
    [
        ("bakery", ["bakery"]),
        ("Bakery", ["bakery"]),
        ("##ery", ["##ery"]),
        ("\u2581mira", ["mira"]),
        ("Mirab", ["mira", "##b"]),
        ("##mira", ["##m", "##i", "##r", "##a"]),
        ("林", ["林"]),
        ("海", []),
        ("mira海", []),
        ("", []),
    ],
)
def test_encoder_pieces_spell_a_token(token: str, pieces: list[str]):
    assert encoder_pieces(token, VOCABULARY) == pieces


def test_a_wrapped_tokenizer_is_the_same_after_saving(tokenizer: Tokenizer, tmp_path: Path):
    wrapped = wrap(tokenizer, 99)
    wrapped.save_pretrained(tmp_path)
    loaded: Any = AutoTokenizer.from_pretrained(tmp_path)
    text = "[[Mira]] opened 林晓梅 OLD"
    assert loaded(text)["input_ids"] == wrapped(text)["input_ids"] == ids_of(tokenizer, text)
    assert (loaded.eos_token, loaded.pad_token, loaded.model_max_length) == (END, PAD, 99)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert loaded.apply_chat_template(turns, tokenize=False) == f"{USER}a{ASSISTANT}b{END}{USER}c{ASSISTANT}"


def test_tokenizers_are_made_alike_every_time():
    makers: list[Callable[[], Tokenizer]] = [
        lambda: uncased_word_pieces(SENTENCES, VOCABULARY, 200),
        lambda: byte_pairs(SENTENCES, 380),
    ]
    for make in makers:
        assert make().get_vocab() == make().get_vocab()
