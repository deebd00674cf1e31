"""Which sentences are gold, which are shown, and what a design file may say."""

from pathlib import Path

import pytest
import yaml
from ablation.design import load_design
from ablation.sets import halves, read_sets, without
from hypothesis import given
from hypothesis import strategies as st

from el4ner.demos.pool import text_key
from el4ner.errors import ConfigError, InputError
from el4ner.text.documents import Document

from .fakes import ROOT, sentences, write_experiment, write_lines

EXPERIMENT = ROOT / "configs" / "experiments" / "untuned.yaml"


def documents(*texts):
    return [Document(str(number), text, ()) for number, text in enumerate(texts)]


@given(st.integers(0, 130), st.integers(1, 25))
def test_halves_are_disjoint_and_neighbours_stay_together(count, block):
    whole = documents(*map(str, range(count)))
    gold, pool = halves(whole, block)
    assert sorted([*gold, *pool], key=whole.index) == whole
    assert not {d.id for d in gold} & {d.id for d in pool}
    assert abs(len(gold) - len(pool)) <= block
    assert all(whole.index(d) // block % 2 == 0 for d in gold)


def test_pool_sentences_that_equal_gold_sentences_are_left_out():
    pool = documents("Ada sang .", "ada  SANG .", "Ada sang!", "It rained .", "It rained .")
    assert [d.text for d in without(pool, documents("Ada sang ."))] == ["Ada sang!", "It rained ."]


def test_sets_are_read_and_absent_ones_are_said(tmp_path, capsys):
    write_experiment(tmp_path)
    design = load_design(tmp_path / "design.yaml")
    pairs, alone = read_sets(design, tmp_path / "data")
    assert (pairs.name, len(pairs.gold), len(pairs.pool), pairs.left_out) == ("pairs", 16, 30, 1)
    assert (alone.name, len(alone.gold), len(alone.pool)) == ("alone", 16, 40)
    for labelled in (pairs, alone):
        assert not {text_key(d.text) for d in labelled.gold} & {text_key(d.text) for d in labelled.pool}
        assert set(labelled.first(8)) <= set(labelled.gold)
    assert "absent: skipped" in capsys.readouterr().err


def test_a_sentence_of_the_gold_file_that_the_limit_leaves_out_is_no_demonstration_either(tmp_path):
    write_experiment(tmp_path)
    train = tmp_path / "data" / "pairs" / "train.jsonl"
    write_lines([*sentences(4, 100), *(one | {"id": f"x{one['id']}"} for one in sentences(24))], train)
    pairs, _ = read_sets(load_design(tmp_path / "design.yaml"), tmp_path / "data")
    assert {d.id for d in pairs.pool} == {"s100", "s101", "s102", "s103"} and pairs.left_out == 24


def test_labels_that_the_design_lacks_are_an_error(tmp_path):
    write_experiment(tmp_path)
    path = tmp_path / "data" / "pairs" / "dev.jsonl"
    write_lines([{"id": "a", "text": "Ada", "entities": [{"start": 0, "end": 3, "type": "PET"}]}], path)
    with pytest.raises(ConfigError, match=r"set pairs: .*\n.*'PET'"):
        read_sets(load_design(tmp_path / "design.yaml"), tmp_path / "data")


def test_a_set_that_is_all_gold_is_an_error(tmp_path):
    write_experiment(tmp_path)
    write_lines(sentences(9), tmp_path / "data" / "alone" / "dev.jsonl")
    with pytest.raises(InputError, match="set alone: no sentences are left for the pool"):
        read_sets(load_design(tmp_path / "design.yaml"), tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": "dev.jsonl"}, "sets.0: halves is pool and gold in one"),
        ({"halves": None}, "sets.0: name pool and gold"),
        ({"halfs": "x"}, "sets.0.halfs: unknown key; did you mean 'halves'"),
        ({"name": "a/b"}, "sets.0.name: "),
        ({"language": "fr"}, "sets.0.language: "),
        ({"labels": "gone.yaml"}, "cannot read"),
    ],
)
def test_mistakes_in_a_design_are_named(tmp_path, change, message):
    write_experiment(tmp_path)
    data = yaml.safe_load((tmp_path / "design.yaml").read_text())
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(data | {"sets": [data["sets"][1] | change], "members": []}))
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        load_design(path)


def test_members_are_limited_to_sets_that_there_are(tmp_path):
    write_experiment(tmp_path)
    data = yaml.safe_load((tmp_path / "design.yaml").read_text())
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(data | {"sets": data["sets"][1:]}))
    with pytest.raises(ConfigError, match="member 'slow': there is no set 'pairs'"):
        load_design(tmp_path / "changed.yaml")


def test_the_experiment_that_ships_loads_with_its_labels():
    design = load_design(EXPERIMENT)
    assert [one.name for one in design.sets] == ["wnut17", "uner_en_ewt", "ncbi_disease", "resume_zh", "weibo_zh"]
    assert all(label.definition(one.language) for one in design.sets for label in one.labels)
    for path in sorted((ROOT / "configs" / "labels").glob("*.yaml")):
        names = [label["name"] for label in yaml.safe_load(Path(path).read_text(encoding="utf-8"))]
        assert names and len(names) == len(set(names)), path
