"""Label sets with sentences of their own in one file: what is read, and what is refused with the line."""

from pathlib import Path

import pytest
import yaml

from el4ner.errors import ConfigError, InputError
from el4ner.text.spans import Entity
from el4ner.train.config import load_train_config
from el4ner.train.data import read_sentences
from el4ner.train.label_sets import read_label_sets

ROOT = Path(__file__).parents[2]
WRITTEN = sorted((ROOT / "configs" / "train" / "written").glob("*.marks"))
TWO = """# ward en
- patient: people who are treated
- medicine: names of medicines
Mrs [[Adaeze Holloway|patient]] refused her [[ramipril|medicine]] again.

The physiotherapist calls on Tuesday.
# 病房 zh
- 患者: 接受治疗的人
[[林晓梅|患者]]今天出院。
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "own.marks"
    path.write_text(text, encoding="utf-8")
    return path


def test_sets_have_their_labels_and_sentences(tmp_path: Path):
    ward, chinese = read_label_sets(write(tmp_path, TWO))
    assert (ward.name, ward.language, chinese.language) == ("ward", "en", "zh")
    assert [(label.name, label.definition("en")) for label in ward.labels] == [
        ("patient", "people who are treated"),
        ("medicine", "names of medicines"),
    ]
    first, second = ward.documents
    assert first.text == "Mrs Adaeze Holloway refused her ramipril again."
    assert first.entities == (Entity(4, 19, "patient"), Entity(32, 40, "medicine"))
    assert (second.text, second.entities) == ("The physiotherapist calls on Tuesday.", ())
    assert chinese.documents[0].entities == (Entity(0, 3, "患者"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "own.marks:1: a set begins with"),
        ("a sentence\n", "own.marks:1: a set begins with"),
        ("# ward fr\n- a: b\n", "own.marks:1: .*en or zh"),
        ("# ward en\na sentence\n", "own.marks:1: the set ward has no types"),
        ("# ward en\n- a\n", "own.marks:2: '- TYPE: DEFINITION'"),
        ("# ward en\n- a: b\n[[x|c]]\n", "own.marks:3: the set ward has no type 'c'"),
        ("# ward en\n- a: b\n[[x|a]\n", "own.marks:3: a mark is broken"),
        ("# ward en\n- a: b\n# ward en\n- a: b\n", "two sets are called ward"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str, tmp_path: Path):
    with pytest.raises(InputError, match=said):
        read_label_sets(write(tmp_path, text))


def recipe(folder: Path, data: list[dict[str, object]]) -> Path:
    tasks = {"extract": 0, "classify": 0, "verify": 0, "mark": 1}
    content = {
        "model": "m",
        "output": "o",
        "labels": [{"name": "X", "words": {"en": "x"}}],
        "tasks": tasks,
        "data": data,
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_recipe_learns_from_all_sets_of_a_file(tmp_path: Path):
    write(tmp_path, TWO)
    config = load_train_config(recipe(tmp_path, [{"path": "own.marks", "repeat": 3}]), tmp_path / "elsewhere")
    assert [(data.section, data.language, data.repeat) for data in config.data] == [
        ("ward", "en", 3),
        ("病房", "zh", 3),
    ]
    sentences = read_sentences(config.data)
    assert [len(sentence.labels or ()) for sentence in sentences] == [2, 2, 1]
    assert sentences[2].document.text == "林晓梅今天出院。"


def test_a_recipe_may_take_one_set(tmp_path: Path):
    write(tmp_path, TWO)
    config = load_train_config(recipe(tmp_path, [{"path": "own.marks", "section": "ward"}]))
    assert [data.section for data in config.data] == ["ward"]
    with pytest.raises(ConfigError, match=r"own\.marks has no set none; it has: ward, 病房"):
        load_train_config(recipe(tmp_path, [{"path": "own.marks", "section": "none"}]))


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_written_sets_are_whole(path: Path):
    """Enough sentences and mentions of every type; no sentence stands twice."""
    sets = read_label_sets(path)
    texts = [document.text for one in sets for document in one.documents]
    assert len(sets) >= 8 and len(texts) == len(set(texts))
    for one in sets:
        types = [entity.type for document in one.documents for entity in document.entities or ()]
        assert all(types.count(label.name) >= 3 for label in one.labels), one.name


def test_written_sets_leave_out_what_is_kept_for_measuring():
    """Labels of CrossNER's music and literature are to be unseen."""
    words = {label.name.casefold() for path in WRITTEN for one in read_label_sets(path) for label in one.labels}
    assert not words & {
        "song",
        "album",
        "band",
        "musical artist",
        "music genre",
        "book",
        "poem",
        "writer",
        "literary genre",
    }
