"""The regular expression that holds a copy: it takes every marked copy of a text, and nothing that changes the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.members.base import Message, Request
from el4ner.members.structured import choice_pattern, copy_pattern, structured_outputs
from el4ner.prompts.copying import read_copy, write_copy
from el4ner.text.spans import Span

TEXTS = [
    "Angela Merkel's team (Berlin) met Acme-Corp.",
    "张三在北京大学工作。",
    "a+b [c] {d} ^e$ \\ | 7/8 ?",
    "naïve_İ 😀\n\tx",
]


def words(text: str) -> list[Span]:
    return [Span(match.start(), match.end()) for match in re.finditer(r"[^\W_]+", text)]


@pytest.mark.parametrize("text", TEXTS)
def test_every_marked_copy_is_taken_and_read_back(text: str):
    pattern = re.compile(copy_pattern(text))
    assert pattern.fullmatch(text)
    for span in words(text):
        copy = write_copy(text, [span])
        assert pattern.fullmatch(copy)
        assert [found for _, found in read_copy(copy, text)] == [span]
    assert pattern.fullmatch(write_copy(text, words(text)))


@given(st.text(alphabet="ab. -(张é\n", min_size=1, max_size=40), st.text(alphabet="abx", min_size=1, max_size=3))
def test_a_copy_is_held_to_its_text(text: str, more: str):
    pattern = re.compile(copy_pattern(text))
    assert pattern.fullmatch(text.strip())
    assert not pattern.fullmatch(text.strip() + more)


def test_a_mark_stands_at_each_chinese_character_but_in_no_english_word():
    assert re.fullmatch(copy_pattern("北京大学"), "北京[[大]]学")
    assert not re.fullmatch(copy_pattern("Berlin"), "Ber[[lin]]")


def test_choices_are_taken_with_and_without_their_space_and_nothing_else():
    pattern = re.compile(choice_pattern(["person", "n/a (none)", "人名"]))
    for choice in ("person", " person", "n/a (none)", " 人名"):
        assert pattern.fullmatch(choice)
    for other in ("", " ", "  person", "persons", "PERSON", "n", "person|人名"):
        assert not pattern.fullmatch(other)


def test_exactly_one_kind_of_constraint():
    request = Request("extract", (Message("user", "a"),), 8, copy_of="a")
    kinds = {"choice", "json", "regex", "grammar", "json_object", "structural_tag"}
    for asked in (request, Request("classify", request.messages, 8, choices=("x", "y"))):
        for answer_format in ("inline", "json"):
            found = structured_outputs(asked, True, answer_format, ())
            assert found is not None and len(kinds & set(found)) == 1
    assert structured_outputs(request, False, "inline", ()) is None
    assert structured_outputs(request, True, "lines", ()) is None
    assert structured_outputs(request, "choices", "inline", ()) is None
