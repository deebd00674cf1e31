import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from el4ner.batch.prediction import Prediction
from el4ner.batch.report import MAX_SURFACES, Tally
from el4ner.batch.terminal import MAX_CHARS, ExamplePrinter, highlight
from el4ner.commands import visible
from el4ner.vote.entities import VotedEntity

TYPES = ("PER", "LOC")


def marked(text, *spans):
    return highlight(text, [VotedEntity(*span) for span in spans], TYPES, colour=False).plain


def test_marks_stand_around_entities():
    assert marked("Anna in Rome", (0, 4, "PER"), (8, 12, "LOC")) == "[Anna](PER) in [Rome](LOC)"


def test_nested_entities_stand_in_one_another():
    assert marked("Bank of Rome", (0, 12, "PER"), (8, 12, "LOC")) == "[Bank of [Rome](LOC)](PER)"


def test_neighbours_do_not_run_into_each_other():
    assert marked("张三北京", (0, 2, "PER"), (2, 4, "LOC")) == "[张三](PER)[北京](LOC)"


def test_colours_tell_types_apart():
    text = highlight("Anna Rome", [VotedEntity(0, 4, "PER"), VotedEntity(5, 9, "LOC")], TYPES, colour=True)
    assert text.plain == "Anna PER  Rome LOC "
    assert len({str(span.style) for span in text.spans if span.end - span.start == 4}) == 2


@given(st.text(max_size=60), st.booleans())
def test_no_control_character_reaches_the_terminal_and_no_other_is_lost(text, colour):
    shown = highlight(text, [], TYPES, colour=colour).plain
    assert visible(shown.replace("\n", "")) == shown.replace("\n", "")
    assert len(shown) == len(text.replace("\r\n", "\n"))


def test_long_documents_are_shown_in_part():
    stream = io.StringIO()
    showcase = ExamplePrinter(1, TYPES)
    showcase.offer("a" * 10_000, Prediction("d", "ok"))
    showcase.print(Console(file=stream, width=80))
    assert stream.getvalue().count("a") < MAX_CHARS + 100
    assert "2,000 characters are shown" in stream.getvalue()


def test_the_first_document_of_a_further_language_is_shown_too():
    stream = io.StringIO()
    showcase = ExamplePrinter(1, TYPES)
    for text, identity in (
        ("The tide is out.", "a"),
        ("Nobody came.", "b"),
        ("今天没有下雨。", "c"),
        ("明天见。", "d"),
    ):
        showcase.offer(text, Prediction(identity, "ok"))
    showcase.print(Console(file=stream, width=80))
    assert "The tide" in stream.getvalue() and "今天" in stream.getvalue()
    assert "Nobody" not in stream.getvalue() and "明天" not in stream.getvalue()


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "─"), ("ascii", "-")])
def test_a_rule_stands_above_each_document_on_every_terminal(encoding, sign):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    showcase = ExamplePrinter(1, TYPES)
    showcase.offer("The tide is out.", Prediction("stdin", "ok"))
    showcase.print(Console(file=stream, width=80))
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding).splitlines()[0] == f"stdin {sign * 74}"


def test_surfaces_are_counted_in_bounded_memory():
    tally = Tally()
    for number in range(MAX_SURFACES + 10):
        names = ("Anna", f"n{number}")
        tally.add(Prediction(str(number), "ok", (VotedEntity(0, 1, "PER"),) * 2, names))
    assert len(tally.surfaces) <= MAX_SURFACES
    assert tally.forgot
    assert tally.top_surfaces("PER")[0] == ("Anna", MAX_SURFACES + 10)
    assert tally.types["PER"] == 2 * (MAX_SURFACES + 10)


@pytest.mark.parametrize(
    "sign", ["\x1b", "\x9b", "\u061c", "\u200f", "\u2028", "\u2029", "\u202e", "\u2066", "\u2069", "\U000e0041"]
)
def test_what_steers_a_terminal_is_replaced_wherever_it_stands(sign):
    assert visible(f"a{sign}b") == "a\N{REPLACEMENT CHARACTER}b"
    assert sign not in highlight(f"a{sign}b", [], TYPES, colour=False).plain
