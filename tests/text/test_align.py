import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.align import find, occurrences, stands_at
from el4ner.text.spans import Span


def surfaces(surface: str, text: str) -> list[str]:
    return [span.surface(text) for span in find(surface, text)]


@pytest.mark.parametrize(
    ("surface", "text", "starts"),
    [
        ("art", "art at a party, art.", [0, 16]),
        ("Ann", "Anna, Ann and JoAnn; Ann's", [6, 21]),
        ("5", "15 5 50 5.", [3, 8]),
        ("GPT", "我们用GPT训练GPT4", [3]),
        ("哈哈", "哈哈哈哈哈", [0, 2]),
        ("中国", "爱中国人民的中国", [1, 6]),
        ("서울", "서울에서", [0]),
        ("C++", "C++11 or C++", [0, 9]),
        ("caf", "cafe caf\u0301 caf", [10]),
        ("😀", "a😀b", [1]),
        ("a a", "ba a a", [3]),
        ("a a", "a a a a", [0, 4]),
        ("x", "", []),
        ("", "abc", []),
        (" ", "a b", []),
    ],
)
def test_occurrences(surface: str, text: str, starts: list[int]) -> None:
    assert occurrences(surface, text) == [Span(start, start + len(surface)) for start in starts]


@given(st.text(alphabet="ab中 ̇.", min_size=1, max_size=4), st.text(alphabet="ab中 ̇.", max_size=40))
def test_occurrences_are_all_places_that_fit_from_the_left_without_overlaps(surface: str, text: str) -> None:
    starts: list[int] = []
    for start in range(len(text)) if surface.strip() else ():
        if stands_at(surface, text, start) and (not starts or start >= starts[-1] + len(surface)):
            starts.append(start)
    assert occurrences(surface, text) == [Span(start, start + len(surface)) for start in starts]


@pytest.mark.parametrize(
    ("surface", "text", "start", "stands"),
    [
        ("art", "art", 0, True),
        ("art", "a part", 3, False),
        ("art", "an art", 2, False),
        ("art", "arts", 0, False),
        ("中", "爱中国", 1, True),
    ],
)
def test_a_surface_stands_at_a_place_between_word_boundaries(surface: str, text: str, start: int, stands: bool) -> None:
    assert stands_at(surface, text, start) is stands


@given(st.lists(st.sampled_from(["İ", "ß", "😀", "中", "Straße", "ﬁ", "\u200b"])), st.lists(st.sampled_from("İß😀中 ")))
def test_a_planted_surface_is_found_where_it_is(before: list[str], after: list[str]) -> None:
    left, right = "".join(before), "".join(after)
    text = f"{left} Nordvik {right}"
    expected = Span(len(left) + 1, len(left) + 8)
    assert occurrences("Nordvik", text) == [expected]
    assert find("NORDVIK", text) == [expected]


@pytest.mark.parametrize(
    ("surface", "text", "found"),
    [
        ("nordvik ab", "the NORDVIK\n  AB works", ["NORDVIK\n  AB"]),
        ("istanbul", "in İstanbul today", ["İstanbul"]),
        ("Strasse", "die Straße", ["Straße"]),
        ("s", "ß", []),
        ("ＡＢＣ", "an ABC book", ["ABC"]),
        ("ABC公司", "ＡＢＣ公司成立", ["ＡＢＣ公司"]),
        ("Mara's Inn", "at Mara’s Inn.", ["Mara’s Inn"]),
        ("Lund-Berg", "near Lund–Berg", ["Lund–Berg"]),
        ("王 小明", "王小明来了", ["王小明"]),
        ("王小明", "王\n小明来了", ["王\n小明"]),
        ("王 小明", "王 \n 小明来了", ["王 \n 小明"]),
        ("Café", "the Cafe\u0301 here", ["Cafe\u0301"]),
        ("soft ware", "software", []),
        ("software", "soft\u00adware", ["soft\u00adware"]),
        ("ART", "at a party", []),
        ("  Mara ", "met Mara", ["Mara"]),
        ("\u200b", "abc", []),
        ("A A", "ba a a", ["a a"]),
        ("A A", "a a a a", ["a a", "a a"]),
        ("哈 哈", "哈哈哈哈哈", ["哈哈", "哈哈"]),
    ],
)
def test_tolerant_find_covers_the_text_as_written(surface: str, text: str, found: list[str]) -> None:
    assert surfaces(surface, text) == found


def test_exact_occurrences_win_over_tolerant_ones() -> None:
    assert surfaces("US", "us in the US") == ["US"]
    assert find("Us", "us in the US", tolerant=False) == []
    assert surfaces("Us", "us in the US") == ["us", "US"]


@given(st.text(max_size=6), st.text(max_size=30))
def test_find_never_leaves_the_text(surface: str, text: str) -> None:
    for span in find(surface, text):
        assert 0 <= span.start < span.end <= len(text)
