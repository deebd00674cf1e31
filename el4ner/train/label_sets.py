"""Label sets with sentences of their own, many in one text file that a person can write and check without tools::

    # ward-rounds en
    - patient: names of people who are treated, without titles
    - medicine: names of medicines, without the amount
    Mrs [[Adaeze Holloway|patient]] refused her [[ramipril|medicine]] again.
    The physiotherapist calls on Tuesday.

A line ``# NAME LANGUAGE`` begins a set; ``- TYPE: DEFINITION`` lines name its types; every other line is a sentence with its
mentions marked. Blank lines separate and mean nothing else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

from el4ner.config import LabelConfig, Language
from el4ner.errors import InputError
from el4ner.text.documents import Document
from el4ner.text.files import decode
from el4ner.text.spans import Entity

SUFFIX = ".marks"
_HEAD = re.compile(r"# (?P<name>[\w-]+) (?P<language>\w+)")
_TYPE = re.compile(r"- (?P<word>[^:|\[\]]+): (?P<definition>.*\S)")
_MARK = re.compile(r"\[\[(?P<mention>[^\[\]|]+)\|(?P<word>[^\[\]|]+)\]\]")
_Lines = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class LabelSet:
    """One label set and its sentences; the types are called as in the file."""

    name: str
    language: Language
    labels: tuple[LabelConfig, ...]
    documents: tuple[Document, ...]


def read_label_sets(path: Path) -> list[LabelSet]:
    """The sets of a file, in its order.

    Raises:
        InputError: a line is not as it should be; names file and line.
    """
    try:
        text = decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; give a file of marked sentences") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    heads = [at for at, (_, line) in enumerate(lines) if line.startswith("# ")]
    if not lines or heads[:1] != [0]:
        raise InputError(f"{path}:1: a set begins with a line '# NAME LANGUAGE', for instance '# ward-rounds en'")
    sets = [_read_set(path, lines[start:end]) for start, end in pairwise([*heads, len(lines)])]
    names = [one.name for one in sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: two sets are called {twice[0]}; give each a name of its own")
    return sets


def _read_set(path: Path, lines: _Lines) -> LabelSet:
    number, head = lines[0]
    found = _HEAD.fullmatch(head)
    if not found or found["language"] not in get_args(Language):
        raise InputError(f"{path}:{number}: '# NAME LANGUAGE' is expected, with en or zh as the language")
    language: Language = "en" if found["language"] == "en" else "zh"
    labels = tuple(_label(path, *line, language) for line in lines[1:] if line[1].startswith("- "))
    if not labels:
        raise InputError(f"{path}:{number}: the set {found['name']} has no types; add lines '- TYPE: DEFINITION'")
    types = frozenset(label.name for label in labels)
    sentences = [line for line in lines[1:] if not line[1].startswith("- ")]
    documents = tuple(_document(path, at, line, found["name"], types) for at, line in sentences)
    return LabelSet(found["name"], language, labels, documents)


def _label(path: Path, number: int, line: str, language: Language) -> LabelConfig:
    if not (found := _TYPE.fullmatch(line)):
        raise InputError(
            f"{path}:{number}: '- TYPE: DEFINITION' is expected; a type's name has no ':', '|', '[' or ']'"
        )
    word = found["word"].strip()
    return LabelConfig(name=word, words={language: word}, definitions={language: found["definition"]})


def _document(path: Path, number: int, line: str, name: str, types: frozenset[str]) -> Document:
    text, entities = "", []
    for before, mention, word in _pieces(line):
        if "[[" in before or "]]" in before:
            raise InputError(f"{path}:{number}: a mark is broken; write [[mention|type]]")
        text += before
        if mention:
            if word not in types:
                raise InputError(f"{path}:{number}: the set {name} has no type '{word}'; name it, or mend the mark")
            entities.append(Entity(len(text), len(text) + len(mention), word))
            text += mention
    return Document(f"{name}/{number}", text, tuple(entities))


def _pieces(line: str) -> Iterator[tuple[str, str, str]]:
    """A line cut into what stands before each mention, the mention, and its type; the rest has no mention."""
    at = 0
    for mark in _MARK.finditer(line):
        yield line[at : mark.start()], mark["mention"], mark["word"]
        at = mark.end()
    yield line[at:], "", ""
