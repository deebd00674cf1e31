"""An experiment without models: two small sets of our own, and members that know some names and miss some of those.

As a program it is the command itself over these members, killed after so many requests, for tests that go on after it.
"""

import json
import os
import re
import signal
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import ablate  # noqa: E402
import ablation.experiment  # noqa: E402

from el4ner.config import Config  # noqa: E402
from el4ner.engines.answer_store import AnswerStore  # noqa: E402
from el4ner.engines.base import Answer, Choice, Engine, Request, Usage  # noqa: E402
from el4ner.engines.cache import CachedEngine  # noqa: E402
from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.text.align import occurrences  # noqa: E402

PEOPLE = ("Ada Brook", "Femi Okoye", "Lin Marsh", "Tove Lund", "Omar Reyes")
PLACES = ("Norvale", "Port Anse", "Elmford", "Quay Street")
PATTERNS = (
    "{0} went to {1} .",
    "In {1} , {0} met nobody .",
    "Nothing happened today , said {0} .",
    "It rained in {1} .",
)
SKILL = {"able": 9, "fair": 6, "slow": 7}
"""Of ten names, how many a member sees."""
FORMAT = {"able": "inline", "fair": "lines", "slow": "inline"}


def sentences(count: int, first: int = 0) -> list[dict]:
    """Labelled sentences, all different."""
    made = []
    for number in range(first, first + count):
        person, place = PEOPLE[number % 5], PLACES[number % 4]
        text = f"{PATTERNS[number % 3 if number % 7 else 3].format(person, place)} ({number})"
        named = {person: "PER", place: "LOC"}
        entities = [
            {"start": text.index(name), "end": text.index(name) + len(name), "type": kind}
            for name, kind in named.items()
            if name in text
        ]
        made.append({"id": f"s{number}", "text": text, "entities": entities})
    return made


def write_lines(records: Sequence[dict], path: Path) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_experiment(folder: Path) -> list[str]:
    """Data, design and configuration; returns the command's words for an experiment into ``folder/out``."""
    data = folder / "data"
    write_lines(sentences(24), data / "pairs" / "dev.jsonl")
    write_lines([*sentences(30, 100), sentences(1)[0] | {"id": "again"}], data / "pairs" / "train.jsonl")
    write_lines(sentences(80, 200), data / "alone" / "dev.jsonl")
    labels = [{"name": "PER", "words": {"en": "person"}}, {"name": "LOC", "words": {"en": "place"}}]
    (folder / "labels.yaml").write_text(yaml.safe_dump(labels))
    pairs = {"name": "pairs", "language": "en", "pool": "pairs/train.jsonl", "gold": "pairs/dev.jsonl"}
    halves = {"name": "alone", "language": "en", "halves": "alone/dev.jsonl"}
    absent = {"name": "absent", "language": "en", "halves": "absent/dev.jsonl"}
    design = {
        "limit": 16,
        "sets": [one | {"labels": "labels.yaml"} for one in (pairs, halves, absent)],
        "members": [{"name": "slow", "sets": ["pairs"], "limit": 8}],
    }
    (folder / "design.yaml").write_text(yaml.safe_dump(design))
    members = [
        {"name": name, "engine": "local", "model": "none.gguf", "prompt_style": "compact", "answer_format": written}
        for name, written in FORMAT.items()
    ]
    config = {"labels": labels, "members": members, "demonstrations": {"weights": "uniform"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    given = {"config": "config.yaml", "experiment": "design.yaml", "data-root": "data", "output": "out"}
    return [*(word for name, path in given.items() for word in (f"--{name}", str(folder / path))), "--samples", "50"]


class FakeMember:
    """Sees a name in one prompt and not in another, always the same in the same one."""

    def __init__(self, name: str, written: str, asked: list[Request], tick: Callable[[], None]) -> None:
        self.name = name
        self.fingerprint = f"fake:{name}"
        self._format = answer_format(written)
        self._asked = asked
        self._tick = tick

    async def generate(self, request: Request) -> Answer:
        self._note(request)
        text = request.copy_of or request.messages[-1].content
        spans = [span for name in (*PEOPLE, *PLACES) for span in occurrences(name, text) if self._draw(request, name)]
        answer = self._format.write(text, sorted(spans))
        return Answer(answer, "stop", Usage(self._length(request), len(answer) // 4 + 1))

    async def choose(self, request: Request) -> Choice:
        self._note(request)
        last = request.messages[-1].content
        if "person" not in request.choices:
            label = request.choices[0] if self._draw(request, last) else request.choices[1]
        else:
            named = re.findall(r"\[\[([^\[\]]+)\]\]", last)[-1]
            right = "person" if named in PEOPLE else "place" if named in PLACES else "none"
            label = right if self._draw(request, named) else "none"
        return Choice(label, None, Usage(self._length(request), 1))

    async def close(self) -> None:
        pass

    def _note(self, request: Request) -> None:
        self._asked.append(request)
        self._tick()

    def _draw(self, request: Request, name: str) -> bool:
        asked = "\n".join(message.content for message in request.messages)
        return zlib.crc32(f"{self.name}\n{asked}\n{name}".encode()) % 10 < SKILL[self.name]

    def _length(self, request: Request) -> int:
        return sum(len(message.content) for message in request.messages) // 4 + 1


def builder(asked: list[Request], tick: Callable[[], None] = lambda: None) -> Callable[..., dict[str, Engine]]:
    """What builds the members of a row; they note what they are asked."""

    def build(config: Config, store: AnswerStore | None) -> dict[str, Engine]:
        return {m.name: CachedEngine(FakeMember(m.name, m.answer_format, asked, tick), store) for m in config.members}

    return build


async def check_nobody(config: Config) -> None:
    """The check before an experiment: the models' files are not here, and nobody asks them."""


ablation.experiment.check_engines = check_nobody


def run(words: Sequence[str], asked: list[Request] | None = None) -> int:
    """The command over these members."""
    return ablate.main(list(words), build=builder([] if asked is None else asked))


if __name__ == "__main__":
    requests: list[Request] = []

    def die_in_time() -> None:
        if len(requests) >= int(os.environ["DIE_AFTER"]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(ablate.main(sys.argv[1:], build=builder(requests, die_in_time)))
