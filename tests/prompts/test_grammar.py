"""What an answer is held to: every right answer fits its grammar, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.prompts.copying import write_copy
from el4ner.prompts.formats import answer_format
from el4ner.prompts.grammar import ListForm, copy_grammar, list_grammar
from el4ner.text.lines import crosses_lines
from el4ner.text.spans import Span
from tests.prompts.gbnf import matches

WORDS = ["Ada", "Lovelace", "met", "Karl", "in", "北", "京", "St", "x9", "Zürich"]
SIGNS = [" ", "-", "'", '"', "\\", "/", ", ", ". ", "\n", "👍"]
FORMATS = ["lines", "json"]


@st.composite
def texts_with_spans(draw):
    """A text of words and signs, and spans from the beginning of a word to the end of one, apart and in order."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8))
    signs = draw(st.lists(st.sampled_from(SIGNS), min_size=len(words), max_size=len(words)))
    places, text = [], ""
    for word, sign in zip(words, signs, strict=True):
        places.append((len(text), len(text) + len(word)))
        text += word + sign
    spans, at = [], 0
    while at < len(places):
        last = draw(st.integers(at, len(places) - 1))
        if draw(st.booleans()):
            spans.append(Span(places[at][0], places[last][1]))
        at = last + 1
    text = text.strip()
    return text, [span for span in spans if not crosses_lines(text, span.start, span.end)]


@given(texts_with_spans())
def test_every_marked_copy_fits(case):
    text, spans = case
    assert matches(copy_grammar(text), write_copy(text, spans))
    assert matches(copy_grammar(text, "\n\n"), write_copy(text, spans) + "\n\n")


@given(texts_with_spans(), st.sampled_from(FORMATS))
def test_every_list_of_mentions_fits(case, name):
    text, spans = case
    form = answer_format(name).list_form(text)
    different = {span.surface(text): span for span in reversed(spans)}
    if len(different) == len(spans):
        assert matches(list_grammar(form), answer_format(name).write(text, spans))


@pytest.mark.parametrize(
    "answer",
    ["Ada met Karl", "[[Ada met Karl.", "[[Ada]] met [[Karl.", "[[[[Ada]]]] met Karl.", "A[[da]] met Karl.", "[[]]Ada met Karl."],
)  # fmt: skip
def test_a_copy_that_is_none_does_not_fit(answer):
    assert not matches(copy_grammar("Ada met Karl."), answer)


@pytest.mark.parametrize("answer", ["Karl\nAda", "Ada\nAda", "da", "Bob", "Ada,", ", Karl", "", "Ada\n", "Ada\nnone"])
def test_a_list_of_something_else_does_not_fit(answer):
    assert not matches(list_grammar(ListForm("Ada, Karl", "\n", "none")), answer)


def test_no_mention_goes_over_the_end_of_a_paragraph_or_a_chinese_clause():
    for lines in ("Ada\n\nKarl", "Ada\nKarl"):
        assert not matches(copy_grammar(lines), f"[[{lines}]]")
        assert matches(copy_grammar(lines), lines.replace("Ada", "[[Ada]]").replace("Karl", "[[Karl]]"))
    wrapped = "They met the whole of the old party board in San\nFrancisco on the day before"
    assert matches(copy_grammar(wrapped), wrapped.replace("San\nFrancisco", "[[San\nFrancisco]]"))
    assert not matches(list_grammar(ListForm("北京，上海", "\n", "无")), "北京，上海")
    assert matches(list_grammar(ListForm("北京，上海", "\n", "无")), "北京\n上海")


@pytest.mark.parametrize("text", ["", "...", "— (", "🙂 🙂", "\n"])
def test_a_text_without_words_has_nothing_to_name(text):
    assert matches(list_grammar(ListForm(text, "\n", "none")), "none")
    assert matches(copy_grammar(text), text.strip())


def test_signs_that_no_grammar_may_hold_as_they_are_are_escaped():
    text = 'a"b\\c\td\x07e\u2028f'
    assert matches(copy_grammar(text), text)
