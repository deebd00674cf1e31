"""Questions as they are sent: golden files, hashes of released templates, and what all questions about a text share.

To accept a change of the golden files: ``EL4NER_UPDATE_GOLDEN=1 python -m pytest tests/prompts``.
"""

import os
from pathlib import Path

import pytest
import yaml

from el4ner.config import LabelConfig
from el4ner.errors import ConfigError, ParseError
from el4ner.prompts.formats import Mention
from el4ner.prompts.questions import Questions, question_styles
from el4ner.prompts.render import styles
from el4ner.text.documents import Document

from .test_templates import LABELS, SHOWN, TEXTS, UPDATE

GOLDEN = Path(__file__).parent / "golden" / "mrc"
SETS = sorted((Path(__file__).parents[2] / "configs" / "labels").glob("*.yaml"))
RELEASED = {"compact": "mrc-v1/compact@7803e93e2f73", "full": "mrc-v1/full@399cbccb9167"}
"""A released version is never edited: a change of a template is a new version."""
ASKED = (
    LABELS[0].model_copy(update={"questions": {"en": "Who is named?", "zh": "提到了谁？"}}),
    LABELS[1],
    LabelConfig(name="ORG", words={"en": "organization", "zh": "机构"}),
)
CASES = [(style, language, n) for style in question_styles() for language in ("en", "zh") for n in (1, 2)]


def questions(style: str, types_per_call: int = 1, *, marked: bool = False) -> Questions:
    return Questions(style, ASKED, types_per_call, marked=marked)


def surfaces(read: dict[str, list[Mention]]) -> dict[str, list[str]]:
    return {name: [mention.surface for mention in mentions] for name, mentions in read.items()}


@pytest.mark.parametrize(("style", "language", "types_per_call"), CASES)
def test_questions_are_as_in_their_golden_files(style: str, language: str, types_per_call: int):
    ours, shown = questions(style, types_per_call), SHOWN[language]
    asked = [ours.ask(language, TEXTS[language], group, shown) for group in ours.groups]
    answers = [ours.answer(language, shown[0], group) for group in ours.groups]
    parts = [f"[{message.role}]\n{message.content}" for messages in asked for message in messages]
    content = "\n".join([*parts, "[answers about the first example]", *answers]) + "\n"
    path = GOLDEN / f"{style}.{language}.{types_per_call}.txt"
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert path.is_file(), f"no golden file {path.name}; set {UPDATE}=1 to write it, and read it"
    assert content == path.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_case():
    assert {path.stem for path in GOLDEN.glob("*")} == {f"{style}.{language}.{n}" for style, language, n in CASES}


def test_released_templates_never_change():
    assert {style: questions(style).identity for style in question_styles()} == RELEASED


def test_there_are_questions_in_every_style_of_prompts():
    assert question_styles() == styles()


@pytest.mark.parametrize("style", question_styles())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_questions_about_a_text_begin_alike_up_to_the_question(style: str, language: str):
    ours, text = questions(style), TEXTS[language]
    asked = [ours.ask(language, text, group, SHOWN[language]) for group in ours.groups]
    assert len({messages[:-1] for messages in asked}) == 1
    asked_last = [messages[-1].content for messages in asked]
    shared = asked_last[0][: asked_last[0].index(text) + len(text)]
    assert all(content.startswith(shared) and len(content) > len(shared) for content in asked_last)
    assert all(document.text in shared for document in SHOWN[language])
    assert shared.index(text) > shared.index(SHOWN[language][-1].text)


@pytest.mark.parametrize("style", question_styles())
@pytest.mark.parametrize("types_per_call", [1, 2, 3])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_right_answers_are_read_back(style: str, types_per_call: int, language: str):
    ours = questions(style, types_per_call)
    for document in SHOWN[language]:
        read = {}
        for group in ours.groups:
            read |= ours.read(language, ours.answer(language, document, group), document.text, group)
        gold = {label.name: [] for label in ASKED}
        for entity in document.entities:
            gold[entity.type].append(document.text[entity.start : entity.end])
        assert surfaces(read) == gold


@pytest.mark.parametrize("language", ["en", "zh"])
def test_marked_answers_show_the_mentions_of_one_type_in_their_places(language: str):
    ours = questions("compact", marked=True)
    for document in SHOWN[language]:
        for group in ours.groups:
            answer = ours.answer(language, document, group)
            gold = [entity.span for entity in document.entities if entity.type == group[0]]
            assert answer.replace("[[", "").replace("]]", "") == document.text
            assert [m.span for m in ours.read(language, answer, document.text, group)[group[0]]] == gold


def test_instructions_that_ask_for_a_list_refuse_marks():
    with pytest.raises(ConfigError, match="marked needs prompt_style: compact"):
        questions("full", marked=True)


def test_types_are_asked_about_in_groups_in_order():
    assert questions("full").groups == (("PER",), ("LOC",), ("ORG",))
    assert questions("full", 2).groups == (("PER", "LOC"), ("ORG",))
    assert questions("full", 9).groups == (("PER", "LOC", "ORG"),)


def test_a_line_about_a_type_that_was_not_asked_about_is_left_out():
    read = questions("full", 2).read("en", "person: Lena Brandt\norganization: Graz", TEXTS["en"], ("PER", "LOC"))
    assert surfaces(read) == {"PER": ["Lena Brandt"]}


def test_the_word_for_none_is_written_and_understood():
    ours = Questions("full", ASKED)
    empty = Document("d", "It rained.", ())
    assert ours.answer("en", empty, ("PER",)) == "none"
    assert ours.read("en", "None.", empty.text, ("PER",)) == {"PER": []}
    with pytest.raises(ParseError):
        ours.read("en", "", empty.text, ("PER",))


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "a & <b>", "{# gone #}x"])
def test_a_text_is_never_a_template(text: str):
    assert text in questions("compact").ask("en", text, ("PER",), ())[-1].content


def test_an_unknown_style_is_refused():
    with pytest.raises(ConfigError, match="compact, full"):
        questions("fuller")


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_every_label_set_that_ships_has_its_own_questions_in_both_languages(path: Path):
    labels = [LabelConfig.model_validate(label) for label in yaml.safe_load(path.read_text(encoding="utf-8"))]
    for language, end in (("en", "?"), ("zh", "？")):
        asked = [label.question(language) for label in labels]
        assert all(question.endswith(end) for question in asked) and len(set(asked)) == len(labels)
        assert all(label.definitions[language] for label in labels)
        words = [label.word(language).casefold() for label in labels]
        assert len(set(words)) == len(words) and not {"none", "无"} & set(words)


def test_the_usual_schemas_ship():
    assert {path.stem for path in SETS} >= {"cluener", "conll03", "msra", "resume", "weibo", "wnut17"}
