"""What a user may have meant."""

import pytest

from el4ner.text.nearest import did_you_mean, nearest_names


@pytest.mark.parametrize(
    ("name", "near"), [("persn", ["PERSON"]), ("PERSONS", ["PERSON"]), ("place", ["Place"]), ("quantity", []), ("", [])]
)
def test_the_name_that_looks_most_alike_whatever_its_case(name: str, near: list[str]):
    assert nearest_names(name, ["PERSON", "Place"]) == near
    assert did_you_mean(name, ["PERSON", "Place"]) == "".join(f"; did you mean {one!r}?" for one in near)


def test_several_come_the_likeliest_first():
    assert nearest_names("smollm", ["smollm2-135m", "qwen", "smollm2"], 3) == ["smollm2", "smollm2-135m"]
