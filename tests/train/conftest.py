"""Labelled sentences of our own, and what makes conversations of them."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from el4ner.config import LabelConfig
from el4ner.prompts.messages import Message
from el4ner.prompts.render import Prompts
from el4ner.text.documents import Document
from el4ner.text.spans import Entity
from el4ner.train.data import Sentence

MARKED = [
    "[Mira Solberg|PER] opened a bakery in [Tromso|LOC] last May .",
    "The [Quillon Institute|ORG] sent two divers to [Lake Orven|LOC] .",
    "[Old Harrow Bank|ORG] and the town of [Bexley|LOC] signed a contract .",
    "It snowed , and nobody came .",
    "[Bexley|LOC] greeted [Mira Solberg|PER] .",
    "Nobody opened the bakery last May .",
    "Two divers of the [Quillon Institute|ORG] came to [Bexley|LOC] .",
    "[林晓梅|PER]在[青岛|LOC]的[海风公司|ORG]工作。",
    "昨天她去了[杭州|LOC]。",
    "他们没有见到任何人。",
    "[海风公司|ORG]在[杭州|LOC]。",
    "[林晓梅|PER]昨天去了[青岛|LOC]。",
]
LABELS = [
    {"name": "PER", "words": {"en": "person", "zh": "人名"}},
    {"name": "LOC", "words": {"en": "location", "zh": "地名"}},
    {"name": "ORG", "words": {"en": "organization", "zh": "机构"}},
]
TYPES = ("PER", "LOC", "ORG")


def labelled(identity: str, marked: str) -> Document:
    """A document from ``[surface|TYPE]`` marks."""
    text, entities = "", []
    for plain, surface, kind in re.findall(r"([^\[]+)|\[(.+?)\|(.+?)\]", marked):
        text += plain
        if surface:
            entities.append(Entity(len(text), len(text) + len(surface), kind))
            text += surface
    return Document(identity, text, tuple(entities))


def write_jsonl(path: Path, documents: Sequence[Document]) -> Path:
    """The documents as a labelled JSONL file."""
    rows = [
        {
            "id": document.id,
            "text": document.text,
            "entities": [{"start": e.start, "end": e.end, "type": e.type} for e in document.entities or ()],
        }
        for document in documents
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def plainly_encoded(
    tokenizer: Any, messages: Sequence[Message], arguments: dict[str, Any] | None = None
) -> tuple[list[int], list[int]]:
    """Ids and labels of one conversation, piece by piece, each piece by a call of its own."""
    from el4ner.engines.special_tokens import escape_special_tokens
    from el4ner.train.encode import special_tokens

    turns = [{"role": m.role, "content": escape_special_tokens(m.content, special_tokens(tokenizer))} for m in messages]
    ids: list[int] = []
    labels: list[int] = []
    written = ""
    for index, turn in enumerate(turns):
        if turn["role"] == "assistant":
            before, after = (
                tokenizer.apply_chat_template(
                    turns[:upto], tokenize=False, add_generation_prompt=ask, **arguments or {}
                )
                for upto, ask in ((index, True), (index + 1, False))
            )
            prompt = tokenizer(before[len(written) :], add_special_tokens=False)["input_ids"]
            answer = tokenizer(after[len(before) :], add_special_tokens=False)["input_ids"]
            ids += prompt + answer
            labels += [-100] * len(prompt) + answer
            written = after
    return ids, labels


@pytest.fixture(scope="session")
def sentences() -> list[Sentence]:
    return [
        Sentence(labelled(f"own/{i}", marked), "en" if marked.isascii() else "zh", 1.0)
        for i, marked in enumerate(MARKED)
    ]


def prompts_of(style: str) -> Prompts:
    return Prompts(style, [LabelConfig.model_validate(label) for label in LABELS])
