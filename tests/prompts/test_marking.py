"""Mentions with their types in one copy of the text: what is asked, written and read back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.config import LabelConfig
from el4ner.errors import ParseError
from el4ner.prompts.copying import is_typed_copy, read_typed_copy, write_typed_copy
from el4ner.prompts.formats import Mention
from el4ner.prompts.grammar import copy_grammar
from el4ner.prompts.marking import Marking, marking_styles
from el4ner.prompts.render import styles
from el4ner.text.documents import Document
from el4ner.text.lines import crosses_lines
from el4ner.text.spans import Entity, Span
from tests.prompts.gbnf import matches

TEXT = "Ada Brook of Mill|House met Bo in Oslo."
LABELS = [
    LabelConfig(name="PER", words={"en": "person", "zh": "人名"}, definitions={"en": "names of people"}),
    LabelConfig(name="ORG", words={"en": "band or group", "zh": "机构"}, definitions={"en": "names of groups"}),
]
RELEASED = {"compact": "marks-v1/compact@c6af3f774351", "full": "marks-v1/full@64012bfd7607"}
KINDS = ("person", "band or group")


def labelled(text: str, **surfaces: str) -> Document:
    entities = [Entity(text.index(s), text.index(s) + len(s), kind) for kind, s in surfaces.items()]
    return Document("d", text, tuple(sorted(entities)))


def marking(style: str = "full") -> Marking:
    return Marking(style, LABELS)


def test_the_answer_is_the_text_with_typed_marks():
    document = labelled(TEXT, PER="Ada Brook", ORG="Mill|House")
    answer = marking().answer("en", document)
    assert answer == "[[Ada Brook|person]] of [[Mill|House|band or group]] met Bo in Oslo."
    assert marking().read("en", answer, TEXT) == {
        "PER": [Mention("Ada Brook", Span(0, 9))],
        "ORG": [Mention("Mill|House", Span(13, 23))],
    }


def test_of_entities_that_overlap_the_outermost_is_marked_and_other_types_are_not():
    document = Document("d", TEXT, (Entity(0, 3, "PER"), Entity(0, 9, "PER"), Entity(34, 38, "LOC")))
    assert marking().answer("en", document) == "[[Ada Brook|person]] of Mill|House met Bo in Oslo."


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("[[Ada Brook|Person]] of Mill|House met [[Bo| person ]] in Oslo.", {"PER": ["Ada Brook", "Bo"]}),
        ("```\n[[ada brook|person]] of Mill|House met Bo in Oslo.\n```", {"PER": ["ada brook"]}),
        ("[[Ada Brook|person]] of Mill|House met [[Bo|pet]] in Oslo.", {"PER": ["Ada Brook"]}),
        (
            "[[[[Ada|person]] Brook|band or group]] of Mill|House met Bo in Oslo.",
            {"PER": ["Ada"], "ORG": ["Ada Brook"]},
        ),
        (TEXT, {}),
    ],
)
def test_answers_are_read_with_tolerance(answer: str, found: dict[str, list[str]]):
    read = marking().read("en", answer, TEXT)
    assert {name: [m.surface for m in mentions] for name, mentions in read.items() if mentions} == found


@pytest.mark.parametrize(
    "answer",
    ["The people are Ada Brook and Bo.", "[[Ada Brook|pet]] of Mill|House met Bo in Oslo.", "[[Ada Brook]] of", ""],
)
def test_what_is_no_marked_copy_is_an_error_and_not_an_empty_answer(answer: str):
    with pytest.raises(ParseError):
        marking().read("en", answer, TEXT)


def test_demonstrations_are_solved_turns_before_the_text():
    shown = labelled("Lin sang in Riga.", PER="Lin")
    system, question, solved, asked = marking().ask("en", TEXT, [shown])
    assert "- person: names of people\n- band or group: names of groups" in system.content
    assert (question.content, solved.content) == ("Lin sang in Riga.", "[[Lin|person]] sang in Riga.")
    assert (solved.role, asked.role, asked.content) == ("assistant", "user", TEXT)


@pytest.mark.parametrize("style", marking_styles())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_style_names_all_types(style: str, language: str):
    system = marking(style).ask(language, "x", ())[0].content
    assert all(word in system for word in marking(style).words(language)) and "[[" in system


def test_every_prompt_style_can_mark_and_released_templates_stay():
    assert marking_styles() == styles()
    assert {style: marking(style).identity for style in marking_styles()} == RELEASED


@st.composite
def texts_with_mentions(draw):
    """Words with signs between them, and typed mentions from word to word, apart and in order."""
    words = draw(st.lists(st.sampled_from(["Ada", "met", "北", "京", "x|y", "Zürich"]), min_size=1, max_size=7))
    places, text = [], ""
    for word in words:
        places.append((len(text), len(text) + len(word)))
        text += word + draw(st.sampled_from([" ", "-", ", ", "\n"]))
    mentions, at = [], 0
    while at < len(places):
        last = draw(st.integers(at, len(places) - 1))
        if draw(st.booleans()):
            mentions.append((Span(places[at][0], places[last][1]), draw(st.sampled_from(KINDS))))
        at = last + 1
    text = text.strip()
    return text, [(span, kind) for span, kind in mentions if not crosses_lines(text, span.start, span.end)]


@given(texts_with_mentions())
def test_what_is_written_is_read_back_and_fits_the_grammar(case):
    text, mentions = case
    answer = write_typed_copy(text, mentions)
    assert is_typed_copy(answer, text)
    assert [(span, kind) for _, span, kind in read_typed_copy(answer, text)] == mentions
    assert matches(copy_grammar(text, types=KINDS), answer)


@pytest.mark.parametrize("answer", ["[[Ada]] met Bo", "[[Ada|pet]] met Bo", "[[Ada|person met Bo", "Ada|person met Bo"])
def test_a_mark_without_a_type_of_the_label_set_does_not_fit(answer: str):
    assert not matches(copy_grammar("Ada met Bo", types=KINDS), answer)


def tokens_of(*pieces: tuple[str, float]) -> tuple[str, list[tuple[int, float]]]:
    """An answer, and of each of its tokens the bytes and the log-probability."""
    return "".join(piece for piece, _ in pieces), [(len(piece.encode()), math.log(share)) for piece, share in pieces]


MARKED = (
    ("在 [[", 0.8), ("Ada", 1.0), (" Brook|", 0.5), ("person", 0.75), ("]] of", 0.9), (" Mill|House", 0.1), (" met", 1.0),
    (" [[", 1.0), ("Bo", 1.0), ("|", 1.0), ("person]]", 1.0), (" in Oslo.", 1.0),
)  # fmt: skip


def test_a_mark_is_as_probable_as_its_tokens():
    answer, tokens = tokens_of(*MARKED)
    marked = marking().probabilities("en", answer, "在 Ada Brook of Mill|House met Bo in Oslo.", tokens)
    type_share = 0.75 * 0.9
    first = {"PER": 0.4 * type_share, "ORG": 0.4 * (1 - type_share), None: 0.6}
    assert marked == {Span(2, 11): pytest.approx(first), Span(30, 32): pytest.approx({"PER": 1, "ORG": 0, None: 0})}


def test_without_other_types_what_a_type_leaves_is_for_no_entity():
    answer, tokens = tokens_of(("[[Bo|", 0.5), ("person", 0.5), ("]]", 1.0))
    (found,) = Marking("full", LABELS[:1]).probabilities("en", answer, "Bo", tokens).values()
    assert found == pytest.approx({"PER": 0.25, None: 0.75})


@pytest.mark.parametrize("text", ["在 Ada Brook of Mill|House met Bo in Rome.", "Ada"])
def test_what_is_no_exact_copy_has_no_probabilities(text: str):
    answer, tokens = tokens_of(*MARKED)
    assert marking().probabilities("en", answer, text, tokens) == {}


def test_tokens_that_end_before_the_answer_tell_nothing():
    answer, tokens = tokens_of(*MARKED)
    text = "在 Ada Brook of Mill|House met Bo in Oslo."
    assert marking().probabilities("en", answer, text, tokens[:-1]) == {}
    assert marking().probabilities("en", answer, text, []) == {}
    assert marking().probabilities("en", answer, text, [*tokens, (10, -1.0)]) != {}
