"""Tokens of a text, and a text of tokens."""

import pytest

from el4ner.text.tokens import join_tokens, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("  ", []),
        ("Mara met Bo.", ["Mara", "met", "Bo", "."]),
        ("don't", ["don", "'", "t"]),
        ("GPT4用了2天", ["GPT4", "用", "了", "2", "天"]),
        ("cafe\u0301 x", ["cafe\u0301", "x"]),
        ("(a)", ["(", "a", ")"]),
        ("a \u0301b", ["a", "\u0301", "b"]),
        ("中\u0301国", ["中\u0301", "国"]),
        ("a. b", ["a", ".", "b"]),
    ],
)
def test_words_ideographs_and_signs_are_tokens(text: str, tokens: list[str]) -> None:
    assert [span.surface(text) for span in tokenize(text)] == tokens


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ([], ""),
        (["Mara", "met", "Bo", "."], "Mara met Bo ."),
        (["王", "明", "a", "b"], "王明ab"),
        (["a", "b"], "a b"),
        (["王明", "met", "李四"], "王明 met 李四"),
        (["王明", "，", "李四"], "王明，李四"),
        (["王明", "“", "李四", "”", "said"], "王明“李四” said"),
        (["Bo", "…", "王明"], "Bo …王明"),
        (["王明", "…", "Bo"], "王明… Bo"),
        (["王明", "\u3000", "\u303f", "李四"], "王明\u3000\u303f李四"),
        (["王明", "\uff00", "\uff65", "李四"], "王明\uff00\uff65李四"),
        (["王明", "\u2fff", "李四"], "王明 \u2fff 李四"),
        (["Ａｂ", "\u3001", "x y"], "Ａｂ、 x y"),
    ],
)
def test_tokens_are_joined_as_their_script_is_written(tokens: list[str], text: str) -> None:
    joined, spans = join_tokens(tokens)
    assert joined == text
    assert [span.surface(joined) for span in spans] == tokens
