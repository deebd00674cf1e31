"""What a dry run says that a job would cost where members answer questions."""

from scripted_members import config_of

from el4ner.batch.preview import estimate

WINDOWS = {"en": 10, "zh": 3}
POOL = {"path": "pool.jsonl"}


def requests(*names: str, **settings: object) -> dict[str, str]:
    roles = {name: {"role": "mrc"} for name in names if name.startswith("glm")}
    return estimate(config_of(names, settings, **roles), WINDOWS)


def test_members_that_answer_questions_take_no_part_in_the_other_steps():
    rows = requests("a", "glm", pool=POOL, verify={"mode": "all"})
    assert rows == {
        "pre-extract": "13",
        "extract": "13",
        "classify": "up to 1 for each place of a candidate",
        "verify": "1 for each typed entity",
        "mrc": "39",
    }
    assert "mrc" not in requests("a", "b")


def test_several_types_a_call_are_fewer_calls():
    assert requests("a", "glm", mrc={"types_per_call": 2})["mrc"] == "26"
    assert requests("a", "glm-1", "glm-2", mrc={"types_per_call": 3})["mrc"] == "26"


def test_alone_they_are_asked_twice_where_their_spans_choose_the_demonstrations():
    assert requests("glm", pool=POOL)["mrc"] == "78"
    assert requests("glm", pool=POOL, demonstrations={"method": "sentence"})["mrc"] == "39"
    assert requests("glm")["mrc"] == "39"
    assert requests("glm")["verify"] == "0"


def test_what_only_doubtful_windows_are_asked_is_an_upper_bound():
    assert requests("a", "b", pool=POOL, extract={"few_shot": "doubtful"})["extract"] == "up to 26"
