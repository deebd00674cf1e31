"""What is sure in one place of a document, and where else it is taken for the same."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.vote.document_consistency import found_elsewhere
from el4ner.vote.entities import VotedEntity

STORY = (
    "The ferry was late, and Halvard waited. A gull watched Halvard from the rail. Later on Halvard slept. "
    "In the morning nobody could find Halvard, so the crew called Halvard by name."
)


def entities(text: str, *found: tuple[str, int, str, float]) -> list[VotedEntity]:
    """The n-th occurrence of each surface, with type and score."""
    places = [([m.span() for m in re.finditer(re.escape(surface), text)][n], *rest) for surface, n, *rest in found]
    return [VotedEntity(start, end, kind, score) for (start, end), kind, score in places]


def added(text: str, *found: tuple[str, int, str, float]) -> list[tuple[str, int]]:
    return [(text[e.start : e.end], e.start) for e in found_elsewhere(text, entities(text, *found))]


def test_a_name_found_once_is_added_in_its_other_places_with_a_score_and_its_source():
    result = found_elsewhere(STORY, entities(STORY, ("Halvard", 1, "PER", 0.9)))
    assert [entity.start for entity in result] == [
        m.start() for n, m in enumerate(re.finditer("Halvard", STORY)) if n != 1
    ]
    assert {(entity.type, entity.score, entity.source) for entity in result} == {("PER", 0.54, "document")}
    assert not any(entity.votes or entity.verdicts for entity in result)


@pytest.mark.parametrize(("score", "number"), [(0.79, 0), (0.8, 4), (None, 0)])
def test_one_place_must_be_sure(score: float | None, number: int):
    assert len(added(STORY, ("Halvard", 0, "PER", score))) == number


def test_the_type_must_be_clear():
    both = [("Halvard", 0, "PER", 0.9), ("Halvard", 1, "LOC", 0.9)]
    assert added(STORY, *both) == []
    most = [("Halvard", n, "PER", 0.9) for n in range(3)] + [("Halvard", 3, "LOC", 0.9)]
    result = found_elsewhere(STORY, entities(STORY, *most))
    assert [entity.type for entity in result] == ["PER"]


def test_words_in_lower_case_are_added_only_where_most_of_them_were_found():
    text = "She took aspirin. More aspirin came, then aspirin again, and aspirin at night."
    assert added(text, ("aspirin", 0, "DRUG", 0.95)) == []
    assert added(text, *[("aspirin", n, "DRUG", 0.95) for n in (0, 1)]) == []
    assert len(added(text, *[("aspirin", n, "DRUG", 0.95) for n in (0, 1, 3)])) == 1


def test_a_capital_at_the_beginning_of_a_sentence_is_no_sign_of_a_name():
    text = "They hope. We met Hope at noon. Hope is free. It was cold, but Hope smiled. “Hope,” he wrote, “is dear.”"
    assert added(text, ("Hope", 0, "PER", 0.9)) == [("Hope", text.index("Hope smiled"))]
    plain = "Puddings were sold. Puddings were bought. Puddings were eaten."
    assert added(plain, ("Puddings", 0, "ORG", 0.9)) == []
    assert len(added(plain, ("Puddings", 0, "ORG", 0.9), ("Puddings", 1, "ORG", 0.9))) == 1


def test_what_was_read_and_left_unmarked_nearly_everywhere_stays_so():
    text = " ".join(f"On day {n} the boat left on Monday with the tide." for n in range(30))
    assert added(text, ("Monday", 0, "ORG", 1.0)) == []
    assert len(added(text, *[("Monday", n, "ORG", 1.0) for n in range(3)])) == 27


def test_a_name_that_a_longer_one_holds_is_added_however_rarely_it_was_found():
    """One of 40 places is enough: the surname was found alone, and in the full name."""
    text = "Ida Amsel came. " + " ".join(f"On day {n} they asked Amsel again, and Monday came." for n in range(40))
    full, alone = ("Ida Amsel", 0, "PER", 0.9), ("Amsel", 7, "PER", 0.9)
    assert added(text, alone) == []
    assert len(added(text, full, alone)) == 39
    assert added(text, full, ("Monday", 3, "PER", 0.9)) == []
    assert added(text, ("Ida Amsel", 0, "ORG", 0.9), alone) == []
    assert added(text, ("Ida Amsel", 0, "PER", 0.7), alone) == []
    assert added(text, full) == []


def test_a_part_of_a_longer_name_is_not_added():
    text = "The road goes to Selby. The train to Selby Fork is slow. In winter New Selby has no road, but Selby has."
    assert added(text, ("Selby", 0, "LOC", 0.9)) == [("Selby", text.rindex("Selby"))]
    titled = "We saw Dr. Amsel there. He thanked Dr. Amsel warmly. Then Amsel left."
    assert len(added(titled, ("Amsel", 0, "PER", 0.9))) == 2


def test_only_whole_words_count_and_the_longer_surface_goes_first():
    text = "We like Ana. The Anatomy of Ana-Lena is by Ana and Ana Ruiz; they say Ana Ruiz paints."
    assert [start for _, start in added(text, ("Ana Ruiz", 0, "PER", 0.9))] == [text.rindex("Ana Ruiz")]
    result = added(text, ("Ana", 0, "PER", 0.9), ("Ana Ruiz", 0, "PER", 0.9))
    assert ("Ana Ruiz", text.rindex("Ana Ruiz")) in result and ("Ana", text.index("Ana and")) in result
    assert ("Ana", text.index("Anatomy")) not in result


def test_nothing_is_added_where_nobody_read():
    unread = [(STORY.index("Later"), STORY.index("In the morning"))]
    result = found_elsewhere(STORY, entities(STORY, ("Halvard", 0, "PER", 0.9)), unread)
    assert len(result) == 3 and STORY.index("Halvard slept") not in [entity.start for entity in result]


def test_scripts_without_case_go_by_the_members_alone():
    text = "陈牧来了。陈牧走了。后来陈牧又来。"
    assert added(text, ("陈牧", 0, "PER", 0.9)) == []
    assert len(added(text, ("陈牧", 0, "PER", 0.9), ("陈牧", 1, "PER", 0.9))) == 1


@given(
    st.lists(st.sampled_from(["Bo", "Bo Bo", "hill", "Nils", "Nils Bo", "sees", ".", "陈牧", "\n"]), max_size=40),
    st.data(),
)
def test_added_entities_overlap_nothing(words: list[str], data: st.DataObject):
    text = " ".join(words)
    places = [match.span() for match in re.finditer("Nils|Bo|hill|陈牧", text)]
    chosen = data.draw(st.lists(st.sampled_from(places), unique=True)) if places else []
    given_ = [VotedEntity(start, end, "PER", 1.0) for start, end in sorted(chosen)]
    everything = sorted([*given_, *found_elsewhere(text, given_)], key=lambda entity: entity.start)
    assert all(one.end <= other.start for one, other in pairwise(everything))
    assert {text[e.start : e.end] for e in everything} == {text[e.start : e.end] for e in given_}
