import pytest

from el4ner.errors import AlignmentError
from el4ner.text.documents import Window
from el4ner.text.spans import Span, check_surface, crosses, is_nested


def test_surface_counts_code_points() -> None:
    assert Span(2, 4).surface("😀 𠮷野") == "𠮷野"


@pytest.mark.parametrize("span", [Span(0, 0), Span(-1, 2), Span(2, 9), Span(3, 2)])
def test_surface_refuses_spans_outside_the_text(span: Span) -> None:
    with pytest.raises(AlignmentError):
        span.surface("abcd")


def test_wrong_surface_is_refused_without_naming_the_text() -> None:
    with pytest.raises(AlignmentError) as caught:
        check_surface("Mara met Tomas", Span(0, 4), "Tomas", "doc 7")
    assert "doc 7" in str(caught.value) and "Mara" not in str(caught.value) and "Tomas" not in str(caught.value)


def test_relations_between_spans() -> None:
    assert crosses(Span(0, 4), Span(2, 6))
    assert not crosses(Span(0, 6), Span(2, 4)) and not crosses(Span(0, 2), Span(2, 4))
    assert is_nested([Span(0, 9), Span(1, 2), Span(4, 5)]) and not is_nested([Span(0, 2), Span(2, 4), Span(0, 2)])


def test_a_window_owns_by_first_character() -> None:
    window = Window("d", 1, start=10, text="0123456789", own_start=13, own_end=16, language="en")
    assert window.end == 20
    assert [window.owns(Span(start, 9)) for start in range(2, 7)] == [False, True, True, True, False]


def test_spans_contain_overlap_and_move() -> None:
    outer = Span(2, 6)
    assert [outer.contains(Span(*places)) for places in ((2, 6), (3, 6), (1, 4), (4, 7))] == [True, True, False, False]
    assert [outer.overlaps(Span(*places)) for places in ((0, 2), (0, 3), (5, 9), (6, 9))] == [False, True, True, False]
    assert outer.shift(3) == Span(5, 9) and outer.shift(-2) == Span(0, 4)
    assert not is_nested([]) and not is_nested([Span(0, 2)]) and is_nested([Span(0, 5), Span(0, 4)])
    assert is_nested([Span(0, 9), Span(1, 2), Span(8, 12)]) and not crosses(Span(0, 4), Span(0, 4))
