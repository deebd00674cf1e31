"""Which line ends part a text, and which only wrap it."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.boundaries import sentence_starts
from el4ner.text.lines import crosses_lines, hard_line_breaks

PARAGRAPH = (
    "The contract was signed in the town hall by the mayor of New York, and the papers were then sent by courier to "
    "Angela Merkel and to her lawyers in London, as the lawyers of the seller, who live in San Francisco, had asked."
)


@pytest.mark.parametrize("width", [60, 66, 72, 80])
def test_wrapped_lines_part_nothing(width: int):
    text = "\n".join(textwrap.wrap(PARAGRAPH, width))
    assert text.count("\n") > 1 and hard_line_breaks(text) == () and sentence_starts(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Angela Merkel\nEmmanuel Macron\nJustin Trudeau\nMark Rutte\n",
        "北京\n上海\n广州\n",
        "name\tcity\nAngela Merkel\tBerlin\n",
        "Mark Rutte\nMicrosoft\nAmsterdam",
        "From: Angela Merkel, Federal Chancellery, Berlin\nTo: Emmanuel Macron\nSubject: the talks of Friday in Paris",
        "We met three people from the ministry in Berlin:\n- Angela Merkel\n- Mark Rutte",
    ],
)
def test_each_line_of_a_list_an_address_or_a_form_is_its_own(text: str):
    assert len(hard_line_breaks(text)) == text.count("\n")


def test_blank_lines_part_whatever_their_width():
    text = f"{PARAGRAPH}\n \n\n{PARAGRAPH}"
    assert hard_line_breaks(text) == (len(PARAGRAPH),)
    assert sentence_starts(text) == [len(PARAGRAPH) + 4]


def test_a_short_line_inside_a_wrapped_paragraph_parts():
    first, *others = textwrap.wrap(PARAGRAPH, 60)
    text = "\n".join([first, "Yours,", *others])
    assert [text[at - 1] for at in hard_line_breaks(text)] == [","]


def test_chinese_lines_wrap_where_they_are_full():
    line = "会谈在杭州的一家宾馆里进行了两个多小时双方都没有"
    assert hard_line_breaks(f"{line}\n{line}\n签字") == ()
    assert hard_line_breaks(f"{line}\n签字\n{line}") == (len(line) + 3,)


def test_spans_cross_what_parts_alone():
    text = "Angela Merkel\nMark Rutte"
    assert crosses_lines(text, 0, len(text)) and not crosses_lines(text, 0, 13) and not crosses_lines(text, 14, 24)


@given(st.text(alphabet="ab \n中,.:-", max_size=200))
def test_every_parting_place_is_a_line_feed(text: str):
    places = hard_line_breaks(text)
    assert list(places) == sorted(set(places)) and all(text[at] == "\n" for at in places)


def test_lines_of_an_old_mac_part_a_text_as_others_do():
    assert hard_line_breaks("Mara\rTomas\r") == hard_line_breaks("Mara\nTomas\n")
