"""Prompts as they are sent: golden files for every style, language, stage and format, and hashes of released templates.

To accept a change of the golden files: ``EL4NER_UPDATE_GOLDEN=1 python -m pytest tests/prompts``.
"""

import os
from pathlib import Path

import pytest

from el4ner.config import LabelConfig
from el4ner.errors import ConfigError
from el4ner.prompts.demonstrated import demonstrated_candidates
from el4ner.prompts.formats import answer_format
from el4ner.prompts.render import STAGES, Prompts, styles
from el4ner.text.documents import Document
from el4ner.text.spans import Entity, Span

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "EL4NER_UPDATE_GOLDEN"
RELEASED = {"compact": "v1/compact@13431245851f", "full": "v1/full@7c3796c5ab28"}
"""A released version is never edited: a change of a template is a new version."""
LABELS = (
    LabelConfig(
        name="PER",
        words={"en": "person", "zh": "人名"},
        definitions={"en": "names of people", "zh": "人的姓名"},
    ),
    LabelConfig(name="LOC", words={"en": "location", "zh": "地名"}),
)
TEXTS = {"en": "Lena Brandt left Graz.", "zh": "张伟离开了南京。"}
SHOWN = {
    "en": (
        Document("1", "Tom met Ann in Oslo.", (Entity(0, 3, "PER"), Entity(8, 11, "PER"), Entity(15, 19, "LOC"))),
        Document("2", "It rained all day.", ()),
    ),
    "zh": (
        Document("3", "李娜住在上海。", (Entity(0, 2, "PER"), Entity(4, 6, "LOC"))),
        Document("4", "昨天下雨。", ()),
    ),
}
SPANS = {"en": Span(0, 11), "zh": Span(0, 2)}
CASES = [
    (style, language, stage, fmt)
    for style in styles()
    for language in ("en", "zh")
    for stage in STAGES
    for fmt in (("inline", "lines", "json") if stage == "extract" else ("",))
]


def prompts(style: str) -> Prompts:
    return Prompts(style, LABELS)


def rendered(style: str, language: str, stage: str, fmt: str) -> str:
    ours, text, span = prompts(style), TEXTS[language], SPANS[language]
    if stage == "extract":
        messages = ours.extract(language, text, SHOWN[language], answer_format(fmt))
    elif stage == "classify":
        messages = ours.classify(language, text, span, demonstrated_candidates(SHOWN[language], span.surface(text)))
    else:
        messages = ours.verify(language, text, span, "PER")
    return "\n".join(f"[{message.role}]\n{message.content}" for message in messages) + "\n"


@pytest.mark.parametrize(("style", "language", "stage", "fmt"), CASES)
def test_prompts_are_as_in_their_golden_files(style: str, language: str, stage: str, fmt: str):
    path = GOLDEN / f"{'.'.join(filter(None, (style, language, stage, fmt)))}.txt"
    content = rendered(style, language, stage, fmt)
    if os.environ.get(UPDATE):
        path.write_text(content, encoding="utf-8")
    assert path.is_file(), f"no golden file {path.name}; set {UPDATE}=1 to write it, and read it"
    assert content == path.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_case():
    names = {".".join(filter(None, case)) for case in CASES}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == names


def test_released_templates_never_change():
    assert {style: prompts(style).identity for style in styles()} == RELEASED


@pytest.mark.parametrize("style", styles())
def test_the_instructions_come_first_and_the_question_last(style: str):
    for language, text in TEXTS.items():
        zero = prompts(style).extract(language, text, (), answer_format("inline"))
        shown = prompts(style).extract(language, text, SHOWN[language], answer_format("inline"))
        assert (shown[: len(zero) - 1], shown[-1]) == (zero[:-1], zero[-1])
        assert [message.role for message in shown[len(zero) - 1 :]] == ["user", "assistant"] * 2 + ["user"]


@pytest.mark.parametrize("style", styles())
@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "a & <b>", "{# gone #}x"])
def test_a_text_is_never_a_template(style: str, text: str):
    assert text in prompts(style).extract("en", text, (), answer_format("inline"))[-1].content
    assert f"[[{text}]]" in prompts(style).classify("en", text, Span(0, len(text)), ())[-1].content


def test_choices_speak_the_language_of_the_style():
    assert prompts("full").choices("zh") == {"人名": "PER", "地名": "LOC", "无": None}
    assert prompts("full").choices("en") == {"person": "PER", "location": "LOC", "none": None}
    assert prompts("compact").choices("zh") == prompts("compact").choices("en")
    assert (prompts("full").true_false_words("zh"), prompts("compact").true_false_words("zh")) == (
        ("是", "否"),
        ("yes", "no"),
    )


def test_label_words_lead_there_and_back():
    for style in styles():
        for language in ("en", "zh"):
            ours = prompts(style)
            for word, name in ours.choices(language).items():
                assert ours.label_word(language, name) == word


def test_an_unknown_type_or_style_is_refused():
    with pytest.raises(ConfigError, match="is no label"):
        prompts("full").label_word("en", "GPE")
    with pytest.raises(ConfigError, match="compact, full"):
        prompts("fuller")
