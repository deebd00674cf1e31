"""Answers that list mentions: what is written is read back, and what models make of the format is read all the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import ParseError
from el4ner.prompts.listing import before_repeats, read_lines, read_mentions, write_line, write_mentions
from el4ner.text.align import find
from el4ner.text.spans import Span

TEXT = "Ada Lovelace met 1. FC Köln, Washington, D.C. and (Mr) Okoro; none of them wrote [sic] 'Odd; Ltd'."
ZH = "张三和李四在无锡的海风公司工作，无人缺席。"
WORDS = ["person", "job title", "人名", "机构"]


def spans(text: str, *surfaces: str) -> list[Span]:
    return [Span(text.index(surface), text.index(surface) + len(surface)) for surface in surfaces]


def test_mentions_are_written_once_in_order_with_the_delimiter_of_the_language():
    assert write_mentions("b a b", [Span(2, 3), Span(0, 1), Span(4, 5)], "en", "none") == "b; a"
    assert write_mentions(ZH, spans(ZH, "李四", "张三"), "zh", "无") == "张三；李四"
    assert write_mentions(ZH, [], "zh", "无") == "无"
    assert write_mentions("New\nYork", [Span(0, 8)], "en", "none") == "New York"
    assert write_mentions(TEXT, spans(TEXT, "Odd; Ltd", "Okoro"), "en", "none") == 'Okoro; "Odd; Ltd"'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Ada; Bo; Bo; B", "Ada; Bo;"),
        ("张三；李四；张三；李四；张", "张三；李四；"),
        ("张 三 ； 张 三 ； 张", "张 三 ；"),
        ("Ada\nBo\nAda\nB", "Ada\nBo\n"),
        ("Ada; Bo; Ad", None),
        ("Ada; Ada", None),
        ("Ada; ; ; Bo", None),
        ("person: Ada\nlocation: Ada\n", None),
        ("", None),
    ],
)
def test_a_list_that_was_cut_counts_until_an_item_comes_again(answer: str, said: str | None):
    assert before_repeats(answer) == said


@pytest.mark.parametrize(
    ("answer", "surfaces"),
    [
        ("Ada Lovelace; Okoro", ["Ada Lovelace", "Okoro"]),
        ("Ada Lovelace；Okoro；", ["Ada Lovelace", "Okoro"]),
        ("Ada Lovelace\nOkoro\n", ["Ada Lovelace", "Okoro"]),
        ("1. Ada Lovelace\n2) Okoro", ["Ada Lovelace", "Okoro"]),
        ("- Ada Lovelace\n• Okoro", ["Ada Lovelace", "Okoro"]),
        ("1. FC Köln", ["1. FC Köln"]),
        ("“Ada Lovelace”; 'Okoro'", ["Ada Lovelace", "Okoro"]),
        ("**Ada Lovelace**", ["Ada Lovelace"]),
        ("Ada Lovelace, Okoro", ["Ada Lovelace", "Okoro"]),
        ("Washington, D.C.", ["Washington, D.C."]),
        ("Washington, D.C., Okoro", ["Washington, D.C.", "Okoro"]),
        ('"Odd; Ltd"; Okoro', ["Odd; Ltd", "Okoro"]),
        ("[sic]", ["[sic]"]),
        ('["Ada Lovelace", "Okoro"]', ["Ada Lovelace", "Okoro"]),
        ('```json\n["Okoro"]\n```', ["Okoro"]),
        ("<think>perhaps Okoro</think>\nAda Lovelace", ["Ada Lovelace"]),
        ("The people are: Ada Lovelace; Okoro.", ["Ada Lovelace", "Okoro"]),
        ("Answer: Okoro", ["Okoro"]),
        ("Okoro; Okoro; none", ["Okoro"]),
        ("none", []),
        ("None.", []),
        ("none. There are no people in it.", []),
        ("none of them", ["none of them"]),
        ("[]", []),
    ],
)
def test_what_models_make_of_a_list_is_read(answer: str, surfaces: list[str]):
    assert read_mentions(answer, TEXT) == surfaces


@pytest.mark.parametrize(
    ("answer", "surfaces"),
    [
        ("张三；李四", ["张三", "李四"]),
        ("张 三 ； 李 四", ["张 三", "李 四"]),
        ("张三、李四", ["张三", "李四"]),
        ("张三，李四。", ["张三", "李四"]),
        ("答案：张三；李四", ["张三", "李四"]),
        ("无", []),
        ("无。文中没有地名", []),
        ("无锡", ["无锡"]),
        ("没有", []),
        ("（空）", []),
    ],
)
def test_chinese_lists_are_read(answer: str, surfaces: list[str]):
    assert read_mentions(answer, ZH, ["无", "（空）"]) == surfaces
    assert all(find(surface, ZH) for surface in surfaces)


def test_what_does_not_stand_in_the_text_is_handed_on_to_be_counted():
    assert read_mentions("Okoro; Boston\nI hope this helps!", TEXT) == ["Okoro", "Boston", "I hope this helps!"]


@pytest.mark.parametrize("answer", ["", "  ", "<think>Okoro", "```\n```"])
def test_an_answer_that_says_nothing_at_all_is_no_empty_list(answer: str):
    with pytest.raises(ParseError):
        read_mentions(answer, TEXT)
    with pytest.raises(ParseError):
        read_lines(answer, TEXT, WORDS)


NAMES = (
    st.text("abcdeXYZ 李四;；'\".", min_size=1, max_size=9)
    .map(str.strip)
    .filter(lambda s: s and any(c.isalpha() for c in s))
)


@given(
    st.lists(NAMES.filter(lambda s: '"' not in s), min_size=1, max_size=5, unique=True), st.sampled_from(["en", "zh"])
)
def test_planted_mentions_come_back_at_their_places(names: list[str], language: str):
    text = " | ".join(names)
    starts = [sum(len(name) + 3 for name in names[:at]) for at in range(len(names))]
    planted = [Span(start, start + len(name)) for start, name in zip(starts, names, strict=True)]
    read = read_mentions(write_mentions(text, planted, language, "none"), text)
    for name, span in zip(names, planted, strict=True):
        assert any(span in find(surface, text) for surface in read), name


def test_lines_are_written_and_read_by_type():
    lines = [write_line("person", "Ada Lovelace; Okoro", "en"), write_line("job title", "none", "en")]
    assert lines == ["person: Ada Lovelace; Okoro", "job title: none"]
    assert read_lines("\n".join(lines), TEXT, WORDS) == {"person": ["Ada Lovelace", "Okoro"], "job title": []}
    assert write_line("人名", "张三", "zh") == "人名：张三"


@pytest.mark.parametrize(
    ("answer", "listed"),
    [
        ("Person：Ada Lovelace\nJOB TITLE = none", {"person": ["Ada Lovelace"], "job title": []}),
        ("- **person**: Ada Lovelace", {"person": ["Ada Lovelace"]}),
        ('"person": Okoro\n"job title": Ada Lovelace', {"person": ["Okoro"], "job title": ["Ada Lovelace"]}),
        ("person : Okoro = job title : none", {"person": ["Okoro"], "job title": []}),
        ("person:\njob title: Okoro", {"person": [], "job title": ["Okoro"]}),
        ("person: Okoro\nperson: Ada Lovelace", {"person": ["Okoro", "Ada Lovelace"]}),
        ("none", {word: [] for word in WORDS}),
    ],
)
def test_lines_are_read_tolerantly(answer: str, listed: dict[str, list[str]]):
    assert read_lines(answer, TEXT, WORDS) == listed


def test_spaces_that_a_tokenizer_puts_between_characters_do_not_matter():
    assert read_lines("人 名 ： 张 三 机 构 ： 海 风 公 司", ZH, WORDS) == {"人名": ["张 三"], "机构": ["海 风 公 司"]}


def test_mentions_before_the_first_type_are_not_lost():
    with pytest.raises(ParseError, match="before its first type"):
        read_lines("Ada Lovelace\nperson: Okoro", TEXT, WORDS)
    assert read_lines("Here is what I found:\n- person: Okoro", TEXT, WORDS) == {"person": ["Okoro"]}


def test_a_list_without_types_is_no_answer_about_several():
    with pytest.raises(ParseError, match="one line a type"):
        read_lines("Ada Lovelace; Okoro", TEXT, WORDS)
