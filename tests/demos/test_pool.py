"""The pool: reading, repetitions, unknown labels, its hash."""

import json

import pytest

from el4ner.demos.pool import check_pool_labels, pool_hash, read_pool, unique_texts
from el4ner.errors import ConfigError, InputError
from el4ner.text.documents import Document
from el4ner.text.spans import Entity

from .conftest import document


def write(path, documents):
    rows = [
        {
            "id": d.id,
            "text": d.text,
            "entities": [
                {"start": e.start, "end": e.end, "type": e.type, "text": d.text[e.start : e.end]} for e in d.entities
            ],
        }
        for d in documents
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_read_back(pool, tmp_path):
    read = read_pool(write(tmp_path / "pool.jsonl", pool))
    assert [(d.id, d.text, d.entities) for d in read] == [(d.id, d.text, d.entities) for d in pool]
    assert pool_hash(read) == pool_hash(pool)


def test_repeated_texts_are_left_out_and_counted(pool, caplog):
    caplog.set_level("INFO")
    again = document("again", "  harbour bank opened a branch in LISBON.")
    assert unique_texts([*pool, again]) == pool
    assert "1 of 10 sentences" in caplog.text and "harbour" not in caplog.text.casefold()


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.conll"])
def test_a_sentence_without_a_character_is_left_out_and_counted(pool, tmp_path, caplog, name):
    """Nothing is like it, and a vector of it does not exist."""
    rows = {
        "pool.jsonl": '{"text": "Cy slept.", "entities": []}\n{"text": " ", "entities": []}\n',
        "pool.conll": "# id = a\nCy B-PER\nslept O\n\n# id = b\n\n",
    }
    (tmp_path / name).write_text(rows[name])
    assert [document.text.rstrip(".") for document in read_pool(tmp_path / name)] == ["Cy slept"]
    assert "1 sentence(s) without a character" in caplog.text


def test_entities_that_cross_are_counted(pool, caplog):
    text = "New York Times Square"
    crossed = Document("c", text, (Entity(0, 14, "ORG"), Entity(9, 21, "LOC")))
    assert crossed in unique_texts([*pool, crossed])
    assert "1 sentence(s) have entities that cross" in caplog.text and "Times" not in caplog.text


def test_empty_pool_is_refused(tmp_path):
    with pytest.raises(InputError):
        read_pool(write(tmp_path / "empty.jsonl", []))


def test_unknown_labels_are_counted_with_the_nearest_name(pool):
    check_pool_labels(pool, ("PER", "ORG", "LOC", "DRUG"))
    with pytest.raises(ConfigError, match=r"'DRUG' \(1 entities\); did you mean 'drugs'") as raised:
        check_pool_labels(pool, ("PER", "ORG", "drugs"))
    assert "'LOC' (4 entities)" in str(raised.value) and "Lisbon" not in str(raised.value)


def test_hash_follows_text_and_labels(pool):
    changed = document("bank", pool[1].text, ORG="Harbour Bank", PER="Lisbon")
    assert pool_hash([pool[0], changed, *pool[2:]]) != pool_hash(pool) != pool_hash(pool[::-1])
