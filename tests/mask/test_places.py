"""Where a document is masked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.mask.places import Place, Surfaces, joined, parts


def found(surfaces, text):
    types = {surface: "PER" for surface in surfaces}
    return [text[place.start : place.end] for place in Surfaces(types).places(text)]


@pytest.mark.parametrize(
    ("surfaces", "text", "places"),
    [
        (["Ada"], "Ada saw Ada's hat; Adam did not.", ["Ada", "Ada"]),
        (
            ["Ada Moss"],
            "ADA MOSS, Ada\nMoss, ada moss, Ada\u200b Moss",
            ["ADA MOSS", "Ada\nMoss", "ada moss", "Ada\u200b Moss"],
        ),
        (["Bill"], "Bill and BILL paid the bill.", ["Bill", "BILL"]),
        (["iPhone", "de Boer"], "IPHONE of De Boer", ["IPHONE", "De Boer"]),
        (["张三"], "张三和李四,张 三在此。", ["张三", "张 三"]),
        (["ＡＢ公司"], "AB公司", ["AB公司"]),
        (["王"], "王国", []),
        (["New York", "New York City"], "New York City, New York", ["New York City", "New York"]),
        (["Straße"], "STRASSE", ["STRASSE"]),
        ([], "Ada", []),
        (["..", " "], "a .. b", [".."]),
    ],
)
def test_a_surface_is_found_however_it_is_written(surfaces, text, places):
    assert found(surfaces, text) == places


@given(
    st.lists(st.text(alphabet="ab 张三", min_size=2, max_size=4).filter(str.strip), max_size=4),
    st.text(alphabet="ab 张三"),
)
def test_places_lie_in_the_text_between_word_borders(surfaces, text):
    for place in Surfaces(dict.fromkeys(surfaces, "X")).places(text):
        assert 0 <= place.start < place.end <= len(text)
        assert not (text[place.start - 1 : place.start].isascii() and text[place.start - 1 : place.start].isalpha()
                    and text[place.start].isascii() and text[place.start].isalpha())  # fmt: skip


def test_overlapping_places_become_one_with_the_type_of_the_longest():
    places = [Place(5, 9, "LOC"), Place(0, 6, "PER"), Place(9, 12, "ORG"), Place(9, 12, "PER", "surface")]
    assert joined(places) == [Place(0, 9, "PER"), Place(9, 12, "ORG")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Dr Angela van Moss-Reed", ["Angela", "Moss-Reed"]),
        ("Moss", []),
        ("李小明", ["小明"]),
        ("李明", []),
        ("欧阳小明", []),
        ("Li Bo", ["Li", "Bo"]),
    ],
)
def test_parts_of_a_name(name, words):
    assert parts(name) == words
