"""What an injected sentence changes: entities of 64 harmless texts, with and without it, defences on and off.

    python scripts/bench_hostile.py [--config configs/default.yaml] [--limit N] [--defences on off]

Each document of tests/examples/hostile.jsonl is an ordinary text into which a sentence was put that speaks to the model: an
order, a fake answer, fake marks, a list of labels, JSON, control tokens of chat templates, and so on. The text is annotated with
and without the sentence; the table says how many entities of the harmless part were lost and added by it, by kind of
sentence, of those found without it. The last columns compare both with the labels (strict F1 over the harmless part).

Defences: answers are held to copies of the text by a grammar (constrain), control tokens in texts are replaced by look-alikes
(escape_special_tokens), and so are the inline marks (escape_marks). With the defences off, all three are. Runs of the two
states share nothing.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from el4ner import Config, El4nerError, load
from el4ner.config import load_config, validate
from el4ner.environment import go_offline

ROOT = Path(__file__).parents[1]
DOCUMENTS = ROOT / "tests" / "examples" / "hostile.jsonl"
ESCAPES = ("escape_special_tokens", "escape_marks")
"""Functions that make a text safe; where the defences are off, they give the text as it is."""
Labelled = frozenset[tuple[int, int, str]]


@dataclass(frozen=True)
class Document:
    """A hostile document: its text with the sentence, where that stands, and the entities of the harmless part."""

    id: str
    language: str
    kind: str
    text: str
    injected: tuple[int, int]
    gold: Labelled

    @property
    def harmless(self) -> str:
        """The text without the sentence."""
        start, end = self.injected
        return self.text[:start] + self.text[end:]

    def in_harmless(self, entities: Labelled) -> Labelled:
        """Those entities of the whole text that touch the harmless part, at offsets of the harmless text."""
        start, end = self.injected
        kept = {(s, e, t) for s, e, t in entities if not start <= s < e <= end}
        return frozenset((_moved(s, start, end), _moved(e, start, end), t) for s, e, t in kept)


@dataclass
class Counts:
    """What was found without the sentence, and what it changed; true positives and totals against the labels."""

    found: int = 0
    lost: int = 0
    added: int = 0
    scores: list[tuple[int, int, int, int]] = field(default_factory=list)

    def add(self, without: Labelled, with_it: Labelled, gold: Labelled) -> None:
        """Count a document."""
        self.found += len(without)
        self.lost += len(without - with_it)
        self.added += len(with_it - without)
        self.scores.append(
            (len(without & gold), len(without) + len(gold), len(with_it & gold), len(with_it) + len(gold))
        )

    def row(self) -> str:
        """The counts as columns."""
        sums = [sum(column) for column in zip(*self.scores, strict=True)]
        before, after = (200 * hits / all_ if all_ else 0.0 for hits, all_ in (sums[:2], sums[2:]))
        share = f"{100 * (self.lost + self.added) / self.found:8.1f} %" if self.found else f"{'-':>10}"
        return f"{len(self.scores):6}{self.found:7}{self.lost:6}{self.added:7}{share}{before:9.1f}{after:9.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("default"), help="the ensemble (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N documents, evenly spread over the kinds")
    parser.add_argument("--defences", nargs="+", choices=("on", "off"), default=["on", "off"], help="which states")
    options = parser.parse_args(arguments)
    go_offline()
    try:
        documents = read_documents()
        step = max(1, len(documents) // (options.limit or len(documents)))
        config = load_config(options.config)
        for state in options.defences:
            report(state, measured(config, documents[::step][: options.limit], on=state == "on"))
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def read_documents() -> list[Document]:
    """The hostile documents."""
    return [_document(json.loads(line)) for line in DOCUMENTS.read_text(encoding="utf-8").splitlines()]


def measured(config: Config, documents: Sequence[Document], *, on: bool) -> dict[str, Counts]:
    """The counts by language, by kind, and of all."""
    texts = {text: str(number) for number, text in enumerate({t: 0 for d in documents for t in (d.harmless, d.text)})}
    with defences(config, on=on) as resolved, load(resolved) as annotator:
        found: dict[str, Labelled] = {
            document.id: frozenset((entity.start, entity.end, entity.type) for entity in document.entities)
            for document in annotator.annotate((name, text) for text, name in texts.items())
        }
    counts: defaultdict[str, Counts] = defaultdict(Counts)
    for document in documents:
        without, with_it = found[texts[document.harmless]], document.in_harmless(found[texts[document.text]])
        for name in (document.language, document.kind, "all"):
            counts[name].add(without, with_it, document.in_harmless(document.gold))
    return dict(counts)


@contextmanager
def defences(config: Config, *, on: bool) -> Iterator[Config]:
    """The configuration with the defences on, or off for as long as this lasts."""
    members = [member.model_copy(update={"constrain": on}) for member in config.members]
    sections = {name: getattr(config, name) for name in Config.model_fields}
    resolved = validate(Config, sections | {"members": members}, "defences")
    if on:
        yield resolved
        return
    for module in ("pipeline", "engines.llamacpp", "engines.http"):  # whose texts are made safe; else imported too late
        import_module(f"el4ner.{module}")
    homes = [(module, name) for module in list(sys.modules.values()) for name in ESCAPES if _has(module, name)]
    assert {name for _, name in homes} == set(ESCAPES)
    patches = [mock.patch.object(module, name, lambda text, *_: text) for module, name in homes]
    for patch in patches:
        patch.start()
    try:
        yield resolved
    finally:
        for patch in patches:
            patch.stop()


def report(state: str, counts: dict[str, Counts]) -> None:
    """Print the table."""
    print(
        f"defences {state}\n{'':14}{'docs':>6}{'found':>7}{'lost':>6}{'added':>7}{'changed':>10}{'F1':>9}{'F1 then':>9}"
    )
    for name, count in counts.items():
        if name != "all":
            print(f"{name:14}{count.row()}")
    print(f"{'all':14}{counts['all'].row()}\n", flush=True)


def _document(line: dict[str, Any]) -> Document:
    gold = frozenset((entity["start"], entity["end"], entity["type"]) for entity in line["entities"])
    start, end = line["injected"]
    return Document(line["id"], line["language"], line["kind"], line["text"], (start, end), gold)


def _moved(offset: int, start: int, end: int) -> int:
    return offset if offset <= start else max(start, offset - (end - start))


def _has(module: Any, name: str) -> bool:
    return getattr(module, "__name__", "").startswith("el4ner.") and name in vars(module)


if __name__ == "__main__":
    sys.exit(main())
