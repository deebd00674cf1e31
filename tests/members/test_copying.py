"""The copy constraint: whatever the scores, the answer is the text with marks around parts of it."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from el4ner.members.copying import CopyConstraint, Copying, CopyTask  # noqa: E402

VOCABULARY, END, OPEN, CLOSE = 12, 9, 10, 11
PROMPT = 3
words = st.lists(st.integers(0, 8), max_size=12)
words_and_marks = st.lists(st.sampled_from([0, 1, 2, OPEN, CLOSE]), max_size=12)
seeds = st.integers(0, 2**31)


def copy_task(source: Sequence[int]) -> CopyTask:
    return CopyTask(tuple(source), OPEN, CLOSE)


def play(tasks: Sequence[CopyTask | None], seed: int, steps: int, bias: float = 0.0) -> list[list[int]]:
    """Greedy decoding with random scores, marks favoured by ``bias``; each row up to its end token."""
    generator = torch.Generator().manual_seed(seed)
    constraint = CopyConstraint(tasks, PROMPT, END)
    ids = torch.zeros((len(tasks), PROMPT), dtype=torch.long)
    for _ in range(steps):
        scores = torch.randn((len(tasks), VOCABULARY), generator=generator)
        scores[:, OPEN:] += bias
        held = constraint(ids, scores)
        assert bool(held.isfinite().any(dim=1).all())
        ids = torch.cat([ids, held.argmax(dim=1, keepdim=True)], dim=1)
    rows = ids[:, PROMPT:].tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]


@settings(deadline=None)
@given(words, seeds, st.sampled_from([-3.0, 0.0, 3.0]))
def test_an_answer_is_the_source_with_flat_marks_and_ends_in_time(source: list[int], seed: int, bias: float):
    task = copy_task(source)
    (answer,) = play([task], seed, task.longest, bias)
    assert len(answer) < task.longest
    assert [token for token in answer if token not in (OPEN, CLOSE)] == source
    inside = None
    for token in answer:
        if token == OPEN:
            assert inside is None
            inside = 0
        elif token == CLOSE:
            assert inside
            inside = None
        else:
            inside = None if inside is None else inside + 1
    assert inside is None


@settings(deadline=None)
@given(words_and_marks, seeds)
def test_marks_of_the_text_itself_are_copied_too(source: list[int], seed: int):
    task = copy_task(source)
    (answer,) = play([task], seed, task.longest, bias=3.0)
    assert len(answer) < task.longest
    added = Counter(answer) - Counter(source)
    assert set(added) <= {OPEN, CLOSE} and added[OPEN] == added[CLOSE]
    rest = iter(answer)
    assert all(token in rest for token in source)


@settings(deadline=None)
@given(words, st.sets(st.integers(1, 11)), seeds)
def test_no_mark_stands_inside_a_character(source: list[int], inside: set[int], seed: int):
    task = CopyTask(tuple(source), OPEN, CLOSE, frozenset(at for at in inside if at < len(source)))
    (answer,) = play([task], seed, task.longest, bias=3.0)
    assert [token for token in answer if token < END] == source
    places = [sum(token < END for token in answer[:at]) for at, token in enumerate(answer) if token in (OPEN, CLOSE)]
    assert not task.inside & set(places)


@settings(deadline=None, max_examples=30)
@given(st.lists(words, min_size=2, max_size=4), seeds)
def test_rows_do_not_influence_each_other(sources: list[list[int]], seed: int):
    tasks = [copy_task(source) for source in sources]
    answers = play([*tasks, None], seed, max(task.longest for task in tasks))
    for answer, source in zip(answers, sources, strict=False):
        assert [token for token in answer if token < END] == source


def test_a_row_without_task_keeps_its_scores_and_the_input_is_not_changed():
    scores = torch.randn((2, VOCABULARY), generator=torch.Generator().manual_seed(0))
    before = scores.clone()
    held = CopyConstraint([None, copy_task([4])], PROMPT, END)(torch.zeros((2, PROMPT), dtype=torch.long), scores)
    assert torch.equal(scores, before)
    assert torch.equal(held[0], scores[0])
    assert held[1].isfinite().nonzero().flatten().tolist() == [4, OPEN]


def test_an_empty_text_is_answered_by_the_end_alone():
    assert play([copy_task([])], seed=0, steps=1) == [[]]


def test_the_longest_copy_marks_every_token():
    task = copy_task([1, 2, 3])
    (answer,) = play([task], seed=0, steps=task.longest, bias=50.0)
    assert answer == [OPEN, 1, CLOSE, OPEN, 2, CLOSE, OPEN, 3, CLOSE]
    assert len(answer) == task.longest - 1


def preferences(seed: int, bias: float) -> Callable[[Sequence[int]], tuple[bool, bool]]:
    """Whether a made-up model prefers the opening and the closing mark, by all that it has read."""

    def prefer(read: Sequence[int]) -> tuple[bool, bool]:
        rng = random.Random(f"{seed}:{list(read)}")
        return rng.gauss(bias, 1) > 0, rng.gauss(bias, 1) > 0

    return prefer


def drafted(
    task: CopyTask, limit: int, prefer: Callable[[Sequence[int]], tuple[bool, bool]], earlier: Sequence[int] = ()
) -> Copying:
    """An answer by drafting and checking, against a model that sees exactly what was read and kept."""
    row, read = Copying(task, limit, [99], earlier), []
    while not row.done:
        decided, draft = list(row.decided), list(row.draft)
        assert len(row.rivals()) == len(draft) + 1
        places = [prefer(read + decided + draft[:at]) for at in range(len(draft) + 1)]
        kept = row.take([opens for opens, _ in places], [closes for _, closes in places])
        read += decided + draft[:kept]
    return row


def stepped(task: CopyTask, limit: int, prefer: Callable[[Sequence[int]], tuple[bool, bool]]) -> list[int]:
    """The same answer, token by token under the constraint."""
    constraint, ids = CopyConstraint([task], 1, END), [99]
    while len(ids) <= limit:
        opens, closes = prefer(ids)
        scores = torch.zeros((1, VOCABULARY))
        scores[0, OPEN], scores[0, CLOSE] = (1.0 if opens else -1.0), (1.0 if closes else -1.0)
        held = constraint(torch.tensor([ids]), scores)[0]
        # A source token that is a mark itself is forced, so its score does not matter.
        ids.append(int(held.argmax()))
    answer = ids[1:]
    return answer[: answer.index(END)] if END in answer else answer


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2, OPEN, CLOSE]), max_size=90),
    st.sets(st.integers(1, 89)),
    seeds,
    st.sampled_from([-3.0, -1.0, 0.5]),
    st.integers(1, 300),
    st.sampled_from([(1, 1), (3, 2), (32, 6)]),
)
@example([0, OPEN, OPEN, OPEN], set(), 0, 0.5, 5, (1, 1))  # cut where only a closing mark is missing
def test_drafting_gives_the_stepwise_answer(
    source: list[int], inside: set[int], seed: int, bias: float, limit: int, sizes: tuple[int, int]
):
    task = CopyTask(tuple(source), OPEN, CLOSE, frozenset(at for at in inside if at < len(source)))
    limit = min(limit, task.longest)
    prefer = preferences(seed, bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("el4ner.members.copying.DRAFT", sizes[0])
        patch.setattr("el4ner.members.copying.DRAFT_INSIDE", sizes[1])
        row = drafted(task, limit, prefer)
    assert row.written == stepped(task, limit, prefer)[:limit]
    copied = [token for token in row.written if token < END] == [token for token in source if token < END]
    assert row.finished <= copied
    assert row.finished == (
        stepped(task, limit, prefer) == stepped(task, limit + 2, prefer) and len(row.written) < limit
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, OPEN, CLOSE]), max_size=60), seeds, seeds, st.sampled_from([-2.0, 0.0]))
def test_guessing_by_another_answer_changes_nothing(source: list[int], seed: int, other: int, bias: float):
    task = copy_task(source)
    earlier = drafted(task, task.longest, preferences(other, bias)).written
    prefer = preferences(seed, bias)
    assert drafted(task, task.longest, prefer, earlier).written == drafted(task, task.longest, prefer).written


def test_the_same_answer_again_takes_few_readings():
    task, prefer = copy_task([1, 2, 3, 4] * 10), preferences(5, 0.0)
    first = drafted(task, task.longest, prefer).written
    asked: list[Sequence[int]] = []

    def counted(read: Sequence[int]) -> tuple[bool, bool]:
        asked.append(read)
        return prefer(read)

    assert drafted(task, task.longest, counted, first).written == first
    assert len(first) > 50 and len(asked) < len(first) + 10
