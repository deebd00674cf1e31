"""The example of labels of one's own: its sentences are labelled where they say, and no letter stands in the pool."""

from pathlib import Path

from el4ner.config import load_config
from el4ner.scoring.predictions import read_gold

FOLDER = Path(__file__).parents[1] / "configs" / "medication"


def test_the_ten_sentences_and_the_letters_fit_the_labels():
    config = load_config(FOLDER / "medication.yaml")
    pool, letters = read_gold(FOLDER / "pool.jsonl"), read_gold(FOLDER / "letters.jsonl")
    assert config.pool.path == str(FOLDER / "pool.jsonl") and len(pool) == 10
    assert {entity.type for document in [*pool, *letters] for entity in document.entities or ()} == set(
        config.type_names
    )
    assert not {document.text for document in pool} & {document.text for document in letters}
    assert all(config.labels[place].definition("en") for place in range(len(config.labels)))
