"""The Python API: what a caller gets, at which pace, and which mistakes are said."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted_members import ScriptedMember, member, pipeline_of

import el4ner
from el4ner.errors import MemberError
from tests.engines.tiny_gguf import write_tiny_gguf

ROOT = Path(__file__).parents[1]
TEXT = "Ada Lovelace wrote from London."
ROLES = {"one": {"role": "single-pass"}}


def marks(request: Any) -> str:
    text = request.copy_of
    return text.replace("London", "[[London|location]]").replace("Ada Lovelace", "[[Ada Lovelace|person]]")


def annotator(rule: Callable[[Any], str] | Exception = marks, **settings: Any) -> el4ner.Annotator:
    pipeline = pipeline_of([ScriptedMember("one", {"mark": rule})], settings=settings, **ROLES)
    return el4ner.Annotator(pipeline.config, pipeline)


def found(document: el4ner.AnnotatedDocument) -> list[tuple[str, str]]:
    return [(entity.text, entity.type) for entity in document.entities]


def test_texts_pairs_and_dictionaries_come_back_in_order_with_their_entities():
    with annotator() as ner:
        documents = list(ner.annotate([TEXT, ("b", "No names."), {"id": 7, "text": "In London."}]))
    assert [(d.id, d.text, d.status) for d in documents] == [
        ("0", TEXT, "ok"),
        ("b", "No names.", "ok"),
        ("7", "In London.", "ok"),
    ]
    assert [found(document) for document in documents] == [
        [("Ada Lovelace", "PER"), ("London", "LOC")],
        [],
        [("London", "LOC")],
    ]
    entity = documents[0].entities[0]
    assert (entity.start, entity.end, entity.score, entity.votes) == (0, 12, 1.0, {"one": "PER"})
    assert {document.score_kind for document in documents} == {"votes"}


def test_an_entity_says_who_voted_for_it_and_who_judged_it():
    said = {"one": "LOC", "two": "LOC", "three": None}
    members = [member(name, ["London"], {"London": kind}) for name, kind in said.items()]
    pipeline = pipeline_of(members, settings={"verify": {"mode": "all"}})
    with el4ner.Annotator(pipeline.config, pipeline) as ner:
        (document,) = ner.annotate(["In London."])
    (entity,) = document.entities
    assert isinstance(document, el4ner.AnnotatedDocument) and isinstance(entity, el4ner.AnnotatedEntity)
    assert (entity.text, entity.type, entity.votes) == ("London", "LOC", said)
    assert (entity.verdicts, entity.source) == (dict.fromkeys(said, True), None)


def test_an_entity_that_stands_for_another_place_of_the_document_says_so():
    with annotator(lambda request: request.copy_of.replace("London", "[[London|location]]", 1)) as ner:
        (document,) = ner.annotate(["They left London. Then they saw London again."])
    first, second = document.entities
    assert [(entity.start, entity.text, entity.type) for entity in (first, second)] == [
        (10, "London", "LOC"),
        (32, "London", "LOC"),
    ]
    assert (first.source, second.source) == (None, "document") and not second.votes and second.score < first.score


def test_a_document_that_was_read_in_part_says_which_part_has_no_result():
    def answer(request: Any) -> str:
        if "Paris" in request.copy_of:
            raise MemberError("one", "is away")
        return marks(request)

    text = "The ferry left London at noon today. Nobody knows who came to Paris by night."
    with annotator(answer, windows={"max_columns": 40, "overlap_columns": 0}) as ner:
        (document,) = ner.annotate([text])
    assert (document.status, found(document)) == ("partial", [("London", "LOC")])
    assert [text[start:end] for start, end in document.unread] == ["Nobody knows who came to Paris by night."]
    assert "is away" in str(document.reason)


def test_it_works_inside_a_running_event_loop_and_asynchronously():
    async def both() -> tuple[list[Any], list[Any]]:
        with annotator() as ner:
            plain = [found(document) for document in ner.annotate([TEXT])]
            return plain, [found(document) async for document in ner.aannotate([TEXT])]

    plain, awaited = asyncio.run(both())
    assert plain == awaited == [[("Ada Lovelace", "PER"), ("London", "LOC")]]


def test_texts_are_read_as_they_are_needed_and_may_be_left_unread():
    read = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            read.append(number)
            yield f"Text {number} from London."

    with annotator(batch={"windows_in_flight": 2}) as ner:
        first = next(iter(ner.annotate(texts())))
        assert found(first) == [("London", "LOC")] and len(read) < 20
        assert len(list(ner.annotate([TEXT, TEXT]))) == 2


def test_several_threads_share_an_annotator():
    results: dict[int, list[str]] = {}
    with annotator() as ner:

        def work(number: int) -> None:
            texts = [f"Text {number}.{at} from London." for at in range(20)]
            results[number] = [document.text for document in ner.annotate(texts)]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {number: len(set(texts)) for number, texts in results.items()} == dict.fromkeys(range(4), 20)
    assert all(text.startswith(f"Text {number}.") for number, texts in results.items() for text in texts)


def test_a_document_that_failed_has_no_entities_to_be_misread():
    with annotator(MemberError("one", "is away")) as ner:
        (document,) = ner.annotate([TEXT])
    assert document.status == "failed" and "is away" in str(document.reason)
    with pytest.raises(el4ner.El4nerError, match=r"document '0' has no result: .*is away.*; look at status"):
        _ = document.entities


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (TEXT, r"put a single text into a list"),
        ([TEXT, 3], "texts, item 1: a text, a pair .* not int"),
        ([{"id": "a"}], '"text" must be a string; it is missing'),
        ([("a", None)], '"text" must be a string'),
        ([{"text": "a", "more": {1, 2}}], "holds what JSON cannot"),
    ],
)
def test_what_is_no_text_is_said(texts: Any, said: str):
    with annotator() as ner, pytest.raises(el4ner.InputError, match=said):
        list(ner.annotate(texts))


def test_what_the_callers_own_iterator_raises_reaches_the_caller():
    def texts() -> Iterator[str]:
        yield TEXT
        raise ZeroDivisionError

    with annotator() as ner, pytest.raises(ZeroDivisionError):
        list(ner.annotate(texts()))


def test_a_closed_annotator_says_so():
    ner = annotator()
    ner.close()
    ner.close()
    with pytest.raises(el4ner.El4nerError, match="is closed"):
        list(ner.annotate([TEXT]))


def test_closing_ends_what_is_under_way_with_an_error():
    ner = annotator(batch={"windows_in_flight": 2})
    documents = iter(ner.annotate(f"Text {number} from London." for number in range(1000)))
    next(documents)
    ner.close()
    with pytest.raises(el4ner.El4nerError, match="closed while it worked"):
        list(documents)


@pytest.mark.slow
def test_a_program_may_end_in_the_middle_of_a_call(tmp_path: Path):
    own_config(tmp_path)
    code = (
        f"import el4ner; ner = el4ner.load({str(tmp_path / 'own.yaml')!r}); "
        "documents = ner.annotate(f'Bexley {n}.' for n in range(10**6)); print(next(documents).id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout == "0\n" and done.returncode == 0


def own_config(folder: Path) -> Path:
    members = [{"name": "tiny", "engine": "local", "model": str(write_tiny_gguf(folder / "tiny.gguf"))}]
    content = {"labels": [{"name": "LOC", "words": {"en": "location"}}], "members": members, "verify": {"mode": "off"}}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_file_is_loaded_and_its_model_run(tmp_path: Path):
    with el4ner.load(own_config(tmp_path)) as ner:
        (document,) = ner.annotate(["Bexley"])
    assert document.status in ("ok", "partial") and {entity.type for entity in document.entities} <= {"LOC"}


def test_a_configuration_made_in_python_is_loaded(tmp_path: Path):
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    config = el4ner.Config(
        labels=[{"name": "LOC", "words": {"en": "location"}}],
        members=[{"name": "tiny", "engine": "local", "model": str(model)}],
        verify={"mode": "off"},
    )
    with el4ner.load(config) as ner:
        assert ner.config == config and ner.config.type_names == ("LOC",)


def test_a_model_that_is_not_there_is_a_model_error(tmp_path: Path):
    path = own_config(tmp_path)
    (tmp_path / "tiny.gguf").unlink()
    with pytest.raises(el4ner.ModelError, match="tiny"):
        el4ner.load(path)


def test_errors_have_one_root_and_name_the_member():
    for kind in (el4ner.ConfigError, el4ner.InputError, el4ner.MemberError, el4ner.ModelError):
        assert issubclass(kind, el4ner.El4nerError)
    error = el4ner.MemberError("one", "is away", retryable=True)
    assert (str(error), error.member, error.retryable) == ("member one: is away", "one", True)


def test_labels_and_pool_may_be_given_in_python(tmp_path: Path):
    pool = [{"text": "Take ramipril.", "entities": [{"start": 5, "end": 13, "type": "DRUG"}]}]
    with el4ner.load(own_config(tmp_path), labels={"DRUG": "a medicine by name"}, pool=pool) as ner:
        (label,) = ner.config.labels
        assert (label.name, label.word("en"), label.definition("zh")) == ("DRUG", "drug", "a medicine by name")
        assert ner._ensemble.retriever is not None
    sections = [{"name": "DRUG", "words": {"en": "medicine"}}]
    with el4ner.load(own_config(tmp_path), labels=sections) as ner:
        assert ner.config.labels[0].word("en") == "medicine" and ner.config.pool.path is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labels": {"DRUG": 3}}, "definition of label 'DRUG' must be a string"),
        ({"labels": [{"nam": "DRUG"}]}, "load: labels"),
        ({"pool": [{"text": "a"}]}, 'pool, item 0: "entities" is missing'),
        ({"pool": [{"text": "a", "entities": [{"start": 0, "end": 9, "type": "LOC"}]}]}, "does not lie in a text"),
        (
            {"pool": [{"text": "a", "entities": [{"start": 0, "end": 1, "type": "PER"}]}]},
            "types that labels does not list",
        ),
    ],
)
def test_wrong_labels_and_pools_are_said(given: Any, said: str, tmp_path: Path):
    with pytest.raises(el4ner.El4nerError, match=said):
        el4ner.load(own_config(tmp_path), **given)


def test_shipped_configurations_have_names():
    with pytest.raises(el4ner.ConfigError, match=r"no configuration 'defualt'; those that ship are .*default"):
        el4ner.load("defualt")


def test_scores_are_strict_and_by_type():
    gold = [
        {"text": TEXT, "entities": [{"start": 0, "end": 12, "type": "PER"}, {"start": 24, "end": 30, "type": "LOC"}]},
        {"text": "In Paris.", "entities": [{"start": 3, "end": 8, "type": "LOC"}]},
    ]
    with annotator() as ner:
        score = el4ner.score(gold, ner.annotate([item["text"] for item in gold]))
    assert (score.precision, score.recall) == (1.0, 2 / 3) and score.f1 == pytest.approx(0.8)
    assert score.by_type["LOC"].recall == 0.5 and not score.missing and not score.failed
    assert el4ner.score(gold, gold).f1 == 1.0
    assert el4ner.score(gold, gold[:1]).missing == ("1",)


def test_a_score_counts_each_type_apart():
    entities = [(0, 12, "PER"), (24, 30, "LOC"), (13, 18, "PER")]
    gold, wrong, more = ({"start": start, "end": end, "type": kind} for start, end, kind in entities)
    score = el4ner.score(
        [{"text": TEXT, "entities": [gold, wrong]}, {"text": "None.", "entities": []}],
        [{"text": TEXT, "entities": [gold, wrong | {"type": "PER"}, more]}, {"text": "None.", "entities": []}],
    )
    assert isinstance(score, el4ner.Score)
    assert {kind: (c.tp, c.fp, c.fn) for kind, c in score.by_type.items()} == {"PER": (1, 2, 0), "LOC": (0, 0, 1)}
    assert (score.counts.tp, score.counts.fp, score.counts.fn) == (1, 2, 1)
    assert (score.precision, score.recall, score.f1) == (1 / 3, 1 / 2, 0.4)


def test_documents_that_failed_count_as_missed():
    gold = [{"text": TEXT, "entities": [{"start": 0, "end": 12, "type": "PER"}]}]
    with annotator(MemberError("one", "is away")) as ner:
        score = el4ner.score(gold, ner.annotate([TEXT]))
    assert score.failed == ("0",) and score.f1 == 0.0


def test_files_are_scored_as_the_command_scores_them(tmp_path: Path):
    gold = ROOT / "tests" / "examples" / "gold.en.jsonl"
    assert el4ner.score(gold, gold).f1 == 1.0


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        ([{"id": "x", "text": "a", "entities": []}], "'x', which gold does not have"),
        ([{"text": "a", "entities": []}, {"id": 0, "text": "a", "entities": []}], "'0' twice"),
        ([{"text": "a"}], '"entities" is missing'),
    ],
)
def test_predictions_that_do_not_fit_gold_are_refused(predictions: Any, said: str):
    with pytest.raises(el4ner.InputError, match=said):
        el4ner.score([{"text": "a", "entities": []}], predictions)


def test_what_is_offered_is_there():
    assert set(el4ner.__all__) <= set(dir(el4ner))
    assert all(getattr(el4ner, name) is not None for name in el4ner.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = el4ner.nothing
