import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import ConfigError
from el4ner.text.boundaries import clause_starts, sentence_starts, word_starts
from el4ner.text.documents import Document, Window
from el4ner.text.language import columns
from el4ner.text.windows import cut_windows

PIECES = [
    "word ",
    "A. ",
    "Mr. ",
    "。",
    "他说：“好。”",
    ", ",
    "——",
    "\n\n",
    "\r\n",
    " ",
    "😀\u200d",
    "e\u0301",
    "x" * 30,
    "3.5 ",
    "\u2028",
    "!?",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=60).map("".join))


def cut(text: str, widest: int, overlap: int) -> list[Window]:
    return cut_windows(Document("d", text), widest, overlap)


def owned(text: str, windows: list[Window]) -> list[str]:
    return [text[window.own_start : window.own_end] for window in windows]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *sentence_starts(text), len(text)])]


@given(TEXTS, st.integers(2, 80), st.integers(0, 40))
def test_owned_stretches_partition_the_document(text: str, widest: int, overlap: int) -> None:
    windows = cut(text, widest, overlap)
    if not text.strip():
        assert windows == []
        return
    assert "".join(owned(text, windows)) == text
    assert [window.own_start for window in windows] == [0, *(window.own_end for window in windows[:-1])]
    assert windows[-1].own_end == len(text)
    assert [window.index for window in windows] == list(range(len(windows)))


@given(TEXTS, st.integers(2, 80), st.integers(0, 40))
def test_windows_hold_the_document_s_text_within_their_width(text: str, widest: int, overlap: int) -> None:
    for window in cut(text, widest, overlap):
        assert window.text == text[window.start : window.end]
        assert window.start <= window.own_start < window.own_end <= window.end
        assert columns(text[window.own_start : window.own_end]) <= widest
        assert columns(text[window.start : window.own_start]) <= overlap
        assert columns(text[window.own_end : window.end]) <= overlap


@given(TEXTS, st.integers(2, 80), st.integers(0, 40))
def test_a_stretch_ends_at_the_farthest_boundary_of_the_best_kind_that_fits(
    text: str, widest: int, overlap: int
) -> None:
    """Compared with a search through every boundary."""
    kinds = [sentence_starts(text), clause_starts(text), word_starts(text)]

    def ahead(start: int, room: int) -> int | None:
        if columns(text[start:]) <= room:
            return len(text)
        fit = ([p for p in kind if p > start and columns(text[start:p]) <= room] for kind in kinds)
        return next((max(places) for places in fit if places), None)

    def back(end: int, room: int) -> int | None:
        if columns(text[:end]) <= room:
            return 0
        fit = ([p for p in kind if p < end and columns(text[p:end]) <= room] for kind in kinds)
        return next((min(places) for places in fit if places), None)

    for window in cut(text, widest, overlap):
        assert ahead(window.own_start, widest) in (window.own_end, None)
        assert ahead(window.own_end, overlap) in (window.end, None)
        assert back(window.own_start, overlap) in (window.start, None)


@pytest.mark.parametrize(
    ("text", "overlap", "edges"),
    [
        ("x" * 25, 3, [(0, 13), (7, 23), (17, 25)]),
        ("x" * 25, 0, [(0, 10), (10, 20), (20, 25)]),
        ("中" * 12, 3, [(0, 6), (4, 11), (9, 12)]),
        ("中" * 12, 4, [(0, 7), (3, 12), (8, 12)]),
    ],
)
def test_context_without_boundaries_is_as_wide_as_it_may_be(
    text: str, overlap: int, edges: list[tuple[int, int]]
) -> None:
    assert [(window.start, window.end) for window in cut(text, 10, overlap)] == edges


@pytest.mark.parametrize(("overlap", "context"), [(15, "Tomas stayed. "), (14, "Tomas stayed. "), (13, "stayed. ")])
def test_a_sentence_that_just_fits_is_context(overlap: int, context: str) -> None:
    text = "Mara left. Tomas stayed. Rain fell all night. Nobody came."
    second = cut(text, 25, overlap)[1]
    assert text[second.start : second.own_start] == context


@pytest.mark.parametrize(("widest", "first"), [(25, "Mara left. Tomas stayed. "), (24, "Mara left. ")])
def test_a_sentence_that_just_fits_is_owned(widest: int, first: str) -> None:
    text = "Mara left. Tomas stayed. Rain fell all night. Nobody came."
    assert owned(text, cut(text, widest, 0))[0] == first


@given(TEXTS)
def test_boundaries_ascend_inside_the_text(text: str) -> None:
    for starts in (sentence_starts(text), clause_starts(text)):
        assert starts == sorted(set(starts))
        assert all(0 < start < len(text) for start in starts)


@pytest.mark.parametrize(
    "text",
    [
        "Dr. J. R. Stone met Mrs. Hill in the U.S. Embassy at 3.5 degrees.",
        "See Fig. 3, No. 5 and the Nordvik Corp. Annual Report, e.g. Table B.",
        "She paid Lund & Sons Ltd. Quickly.",
        "the firm yahoo! is old, it says... and so on",
    ],
)
def test_full_stops_that_end_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    "parts",
    [
        ["He said: “No.” ", "Then they left... ", "Slowly! ", "(Why?) ", "It was no. ", "Rain fell."],
        ["Title\r\n", "Body text here\r\n\r\n", "More"],
        ["他说：“你好。”", "然后走了！", "我们……", "不知道；", "版本v2.0很好。", "（完。）", "结束"],
        ["“真的吗？」", "是的!", "好。 ", "A"],
        ["He paid.\n", "then he left"],
    ],
)
def test_sentences(parts: list[str]) -> None:
    assert sentences("".join(parts)) == parts


def test_whole_sentences_are_packed() -> None:
    text = "Mara left. Tomas stayed. Rain fell all night. Nobody came."
    assert owned(text, cut(text, 26, 0)) == ["Mara left. Tomas stayed. ", "Rain fell all night. ", "Nobody came."]


def test_a_long_sentence_is_cut_at_clauses_then_words_then_characters() -> None:
    clauses = "when the rain, which was cold, stopped falling they left"
    assert owned(clauses, cut(clauses, 32, 0)) == ["when the rain, which was cold, ", "stopped falling they left"]
    words = "one two three four five"
    assert owned(words, cut(words, 10, 0)) == ["one two ", "three ", "four five"]
    assert owned("x" * 25, cut("x" * 25, 10, 0)) == ["x" * 10, "x" * 10, "x" * 5]
    assert owned("张三来自宁波，李四来自南京", cut("张三来自宁波，李四来自南京", 16, 0)) == [
        "张三来自宁波，",
        "李四来自南京",
    ]


def test_numbers_and_hyphens_hold_no_clause_end() -> None:
    assert clause_starts("at 10:30 the well-known Lund–Berg firm paid 1,000 crowns in 1990–1995") == []


def test_clauses_end_at_commas_colons_and_dashes() -> None:
    text = "Rain, wind: both – or so - she said—fell；雨，风、雪"
    parts = [text[start:end] for start, end in pairwise([0, *clause_starts(text), len(text)])]
    assert parts == ["Rain, ", "wind: ", "both – ", "or so - ", "she said—", "fell；雨，", "风、", "雪"]


def test_hard_cuts_spare_words_and_clusters() -> None:
    mixed = "我们现在使用PyTorch训练模型"
    assert owned(mixed, cut(mixed, 16, 0)) == ["我们现在使用", "PyTorch训练模型"]
    accents = "e\u0301" * 10
    assert all(len(piece) % 2 == 0 for piece in owned(accents, cut(accents, 5, 0)))
    flags = "🇸🇪🇫🇮🇳🇴"
    assert all(len(piece) % 2 == 0 for piece in owned(flags, cut(flags, 3, 0)))


def test_context_is_whole_sentences_where_they_fit() -> None:
    text = "Mara left. Tomas stayed. Rain fell all night. Nobody came."
    middle = cut(text, 26, 20)[1]
    assert middle.text == "Tomas stayed. Rain fell all night. Nobody came."
    first = cut(text, 26, 8)[0]
    assert first.text == "Mara left. Tomas stayed. Rain "


@given(TEXTS, st.integers(2, 60), st.integers(0, 30))
def test_context_at_cuts_alone_leaves_whole_sentences_as_they_are(text: str, widest: int, overlap: int) -> None:
    everywhere = cut(text, widest, overlap)
    windows = cut_windows(Document("d", text), widest, overlap, overlap_at="cuts")
    sentences = {*sentence_starts(text), len(text)}
    assert owned(text, windows) == owned(text, everywhere)
    for window, other in zip(windows, everywhere, strict=True):
        whole_start, whole_end = window.own_start in sentences, window.own_end in sentences
        assert window.start == (window.own_start if whole_start else other.start)
        end = window.start + len(window.text)
        assert end == (window.own_end if whole_end else other.start + len(other.text))


def test_language_is_detected_per_window_or_given() -> None:
    text = "The ferry left at noon. 她在宁波的港口工作了很多年。"
    assert [window.language for window in cut(text, 40, 0)] == ["en", "zh"]
    assert {window.language for window in cut_windows(Document("d", text), 40, 0, "zh")} == {"zh"}


@pytest.mark.parametrize(("widest", "overlap"), [(1, 0), (0, 0), (40, -1)])
def test_useless_widths_are_refused(widest: int, overlap: int) -> None:
    with pytest.raises(ConfigError, match="max_columns"):
        cut("text", widest, overlap)


@pytest.mark.parametrize("unit", ["x", "中", ".", ".)", ",", "a ", "’", "\u0301", " -", "A. ", "\n"])
def test_the_time_to_cut_a_text_without_good_boundaries_grows_in_proportion(unit: str) -> None:
    """Eight times the text takes some 8 times the time; steps that grew with its square would take 64 times."""

    def seconds(length: int) -> float:
        text = unit * (length // len(unit)) + "x"
        began = time.process_time()
        windows = cut(text, 1200, 200)
        taken = time.process_time() - began
        assert sum(window.own_end - window.own_start for window in windows) == len(text)
        return taken

    short = min(seconds(12_000) for _ in range(3))
    assert seconds(96_000) < 24 * short + 0.1
