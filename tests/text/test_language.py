import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.language import columns, detect, is_cjk, is_mark, is_word_char


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("12:30 !?", "en"),
        ("The ferry to Malmö left late.", "en"),
        ("The harbour of Ningbo (宁波) is large.", "en"),
        ("她在宁波工作。", "zh"),
        ("他在 Blue Harbor Systems 工作过三年", "zh"),
        ("𠮷野家", "zh"),
    ],
)
def test_detect_counts_ideographs_against_words(text: str, language: str) -> None:
    assert detect(text) == language


@pytest.mark.parametrize(
    ("text", "wide"), [("", 0), ("abc", 3), ("宁波", 4), ("ＡＢ", 4), ("a，b", 4), ("é", 1), ("😀", 2)]
)
def test_columns(text: str, wide: int) -> None:
    assert columns(text) == wide


@given(st.text(), st.text())
def test_columns_add_up(left: str, right: str) -> None:
    assert columns(left + right) == columns(left) + columns(right)
    assert len(left) <= columns(left) <= 2 * len(left)


def test_character_classes() -> None:
    assert [is_cjk(char) for char in "中のa1，각"] == [True, True, False, False, False, False]
    assert [is_word_char(char) for char in "aя9\u0301中の각 -_"] == [True] * 4 + [False] * 6
    assert is_mark("\u0301") and not is_mark("e")
