import pytest

from el4ner.errors import ConfigError
from el4ner.scoring.labels import TypeSelection, nearest, parse_renaming, selection_notes, unknown_type_notes
from el4ner.text.spans import Entity


def test_renaming_dropping_and_selecting():
    selection = TypeSelection(parse_renaming(["PERSON=PER", "MISC=", "A=B", "B=A"]), frozenset({"PER", "A"}))
    entities = [Entity(0, 1, kind) for kind in ("PERSON", "PER", "MISC", "A", "LOC")] + [Entity(2, 3, "B")]
    assert selection.apply(entities) == {Entity(0, 1, "PER"), Entity(2, 3, "A")}


@pytest.mark.parametrize("item", ["PERSON", "=PER", ""])
def test_malformed_renamings_are_refused(item):
    with pytest.raises(ConfigError, match="expected OLD=NEW"):
        parse_renaming([item])


def test_contradicting_renamings_are_refused():
    assert parse_renaming(["A=B", "A=B"]) == {"A": "B"}
    with pytest.raises(ConfigError, match="keep one"):
        parse_renaming(["A=B", "A=C"])


def test_notes_name_what_no_file_has():
    selection = TypeSelection({"PERSN": "PER", "ORG": "LOC"}, frozenset({"LOC", "PERSO"}))
    notes = selection_notes(selection, {"PERSON", "ORG"})
    assert notes == [
        "--map PERSN=PER: no file has the type 'PERSN'; did you mean 'PERSON'?",
        "--types PERSO: no file has this type; did you mean 'PERSON'?",
    ]


def test_unknown_types_come_with_the_nearest_and_the_remedy():
    assert unknown_type_notes("a", {"PER": 3, "person": 2}, {"PER", "LOC"}) == [
        "a: 2 prediction(s) of type 'person', which gold never has, count as wrong; "
        "did you mean 'PER'? (--map person=PER)"
    ]
    assert nearest("XYZ", {"PER"}) == ""
