"""What each member says of each candidate, as arrays."""

import numpy as np

from el4ner.text.spans import Entity, Span
from el4ner.vote.table import (
    ABSTAINED,
    FOUND,
    NOT_FOUND,
    OTHER_TYPE,
    OVERLAPS_OTHER_TYPE,
    OVERLAPS_SAME_TYPE,
    MemberOutput,
    overlapping,
    tabulate,
)

A, B = Entity(0, 4, "PER"), Entity(0, 4, "LOC")
MOVED, OTHER, APART = Entity(3, 6, "PER"), Entity(3, 7, "ORG"), Entity(9, 12, "PER")


def test_candidates_stand_in_order_with_what_every_member_says():
    rows = [{"x": {APART, A}, "y": {B}}, {"x": frozenset()}, {"y": {A: 0.7, MOVED: None}, "z": {OTHER}}]
    table = tabulate(rows, ["x", "y", "z"])
    assert (table.members, table.types, table.n_documents, len(table)) == (
        ("x", "y", "z"),
        ("LOC", "ORG", "PER"),
        3,
        6,
    )
    assert table.document.tolist() == [0, 0, 0, 2, 2, 2]
    assert [table.entity(row) for row in range(6)] == [B, A, APART, A, MOVED, OTHER]
    assert table.codes.tolist() == [
        [OTHER_TYPE, FOUND, ABSTAINED],
        [FOUND, OTHER_TYPE, ABSTAINED],
        [FOUND, NOT_FOUND, ABSTAINED],
        [ABSTAINED, FOUND, OVERLAPS_OTHER_TYPE],
        [ABSTAINED, FOUND, OVERLAPS_OTHER_TYPE],
        [ABSTAINED, OVERLAPS_OTHER_TYPE, FOUND],
    ]
    assert table.n_overlapping.tolist() == [1, 1, 0, 2, 2, 2]
    assert table.votes.tolist() == (table.codes == FOUND).tolist()
    assert table.answered.tolist() == (table.codes != ABSTAINED).tolist()
    assert np.nan_to_num(table.probabilities, nan=-1).tolist() == [[-1] * 3] * 3 + [[-1, 0.7, -1]] + [[-1] * 3] * 2


def test_the_strongest_of_what_overlaps_counts():
    table = tabulate([{"x": {A, OTHER}, "y": {MOVED}}], ["x", "y"])
    assert [table.entity(row) for row in range(3)] == [A, MOVED, OTHER]
    assert table.codes[:, 0].tolist() == [FOUND, OVERLAPS_SAME_TYPE, FOUND]
    assert table.codes[:, 1].tolist() == [OVERLAPS_SAME_TYPE, FOUND, OVERLAPS_OTHER_TYPE]


def test_nobody_s_probabilities_are_none_and_an_empty_table_is_one():
    assert tabulate([{"x": {A}}], ["x"]).probabilities is None
    table = tabulate([{}, {"x": set()}], ["x"])
    assert (len(table), table.n_documents, table.types, table.codes.shape) == (0, 2, (), (0, 1))


def test_what_nobody_chose_is_no_candidate_and_no_answer_is_an_abstention():
    said = MemberOutput({A: 0.9}, {B: 0.1}, frozenset({Span(9, 12)}))
    table = tabulate([{"x": said, "y": {APART: None}}], ["x", "y"])
    assert [table.entity(row) for row in range(2)] == [A, APART]
    assert table.codes.tolist() == [[FOUND, NOT_FOUND], [ABSTAINED, FOUND]]
    assert np.nan_to_num(table.probabilities, nan=-1).tolist() == [[0.9, -1], [-1, -1]]


def test_parts_of_a_table():
    table = tabulate([{"x": {A: 0.5}, "y": {APART}}, {"y": {A: 0.25}}], ["x", "y"])
    assert table.contains([{A}, {APART}]).tolist() == [True, False, False]
    part = table.take(np.array([2, 0]))
    assert [(int(d), part.entity(row)) for row, d in enumerate(part.document)] == [(1, A), (0, A)]
    assert np.nan_to_num(part.probabilities, nan=-1).tolist() == [[-1, 0.25], [0.5, -1]]
    assert table.take(table.votes[:, 1]).document.tolist() == [0, 1]
    single = table.restricted(np.array([0, 2]), [1])
    assert (single.members, single.codes.tolist()) == (("y",), [[NOT_FOUND], [FOUND]])
    assert np.nan_to_num(single.probabilities, nan=-1).tolist() == [[-1], [0.25]]
    assert tabulate([{"x": {A}}], ["x"]).restricted(np.array([0]), [0]).probabilities is None


def test_pairs_of_rows_that_overlap():
    document, start, end = np.array([0, 0, 0, 1]), np.array([0, 2, 4, 4]), np.array([9, 4, 6, 6])
    pairs = [pair for one, two in overlapping(document, start, end) for pair in zip(one, two, strict=True)]
    assert pairs == [(0, 1), (0, 2)]
