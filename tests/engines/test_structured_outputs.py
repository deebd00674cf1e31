"""What vLLM is told of an answer's form; the grammars themselves are tested with the prompts, and by real servers."""

import re

from el4ner.engines.base import Message, Request
from el4ner.engines.structured_outputs import choice_pattern, structured_outputs
from el4ner.prompts.formats import answer_format
from el4ner.prompts.grammar import copy_grammar, list_grammar

ASKED = Request("extract", (Message("user", "a"),), 8)
LED = 'root ::= ( " " | "\\n" )? '
LINES = answer_format("lines").list_form("Ada <s> Karl")


def test_choices_are_taken_with_and_without_their_lead_and_nothing_else():
    pattern = re.compile(choice_pattern(["person", "n/a (none)", "人名"]))
    for choice in ("person", " person", "n/a (none)", " 人名", "\nperson"):
        assert pattern.fullmatch(choice)
    for other in ("", " ", "  person", "persons", "PERSON", "n", "person|人名"):
        assert not pattern.fullmatch(other)


def test_a_choice_may_have_an_end_of_its_own():
    pattern = re.compile(choice_pattern(["art", "artist"], "\n\n"))
    assert pattern.fullmatch("art\n\n") and pattern.fullmatch(" artist\n\n") and not pattern.fullmatch("art")


def test_copies_and_lists_are_held_by_grammars_that_may_begin_with_white_space():
    copy, listed = (
        Request("extract", ASKED.messages, 8, copy_of="Ada"),
        Request("mrc", ASKED.messages, 8, list_of=LINES),
    )
    assert structured_outputs(copy, True, ()) == {"grammar": copy_grammar("Ada").replace("root ::= ", LED)}
    held = structured_outputs(listed, True, ["<s>"], "\n\n")
    assert held is not None and held["grammar"].startswith(f"{LED}( ")
    assert list_grammar(LINES) not in held["grammar"] and "<s>" not in held["grammar"]


def test_exactly_one_kind_of_constraint():
    for asked in (
        Request("extract", ASKED.messages, 8, copy_of="a"),
        Request("classify", ASKED.messages, 8, choices=("x", "y")),
        Request("extract", ASKED.messages, 8, list_of=LINES),
    ):
        assert len(structured_outputs(asked, True, ()) or ()) == 1
        assert structured_outputs(asked, False, ()) is None
        assert (structured_outputs(asked, "choices", ()) is None) == (not asked.choices)
    assert structured_outputs(ASKED, True, ()) is None
