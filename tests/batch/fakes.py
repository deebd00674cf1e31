"""A pipeline without models: capitalised words are entities, and words in the text say what goes wrong.

As a program it is the command itself over that pipeline, for tests that kill it.
"""

import asyncio
import json
import os
import random
import re
import sys
from pathlib import Path

from el4ner.config import Config, parse_config
from el4ner.engines.base import Usage
from el4ner.engines.build import check_engines
from el4ner.errors import MemberError
from el4ner.text.documents import Window
from el4ner.vote.entities import VotedEntity, WindowResult

MEMBERS = ("one", "two", "three")


def config_data(**sections):
    return {
        "labels": [
            {"name": "PER", "words": {"en": "person", "zh": "人名"}},
            {"name": "LOC", "words": {"en": "location", "zh": "地名"}},
        ],
        "members": [{"name": name, "engine": "local", "model": f"{name}.gguf"} for name in MEMBERS],
        "demonstrations": {"method": "none"},
        "windows": {"max_columns": 60, "overlap_columns": 20},
        **sections,
    }


def make_config(**sections) -> Config:
    return parse_config(config_data(**sections), base=Path("/nowhere"))


class FakePipeline:
    """Finds ``[A-Z]\\w+`` and ``张三``; PER where the length is even.

    ``#silent`` in a window: member two does not answer. ``#mute``: nobody does. ``#error``: a MemberError.
    ``#crash``: a ValueError that quotes the text.
    """

    def __init__(self, meter=None, delay_s=0.0):
        self.meter = meter
        self.delay_s = delay_s
        self.under_way = self.most_under_way = 0
        self.closed = False
        self._random = random.Random()

    async def find(self, window: Window) -> WindowResult:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self._random.random() * self.delay_s)
            return self._find(window)
        finally:
            self.under_way -= 1

    def _find(self, window):
        if "#error" in window.text:
            raise MemberError("one", "HTTP status 500")
        if "#crash" in window.text:
            raise ValueError(f"cannot digest {window.text}")
        silent = MEMBERS if "#mute" in window.text else ("two",) if "#silent" in window.text else ()
        answered = tuple(name for name in MEMBERS if name not in silent)
        if self.meter is not None:
            for name in answered:
                self.meter.count(name, "extract", Usage(10, 2, 0.01))
        entities = [] if silent == MEMBERS else [self._entity(match) for match in FOUND.finditer(window.text)]
        problems = tuple(f"{name}, extract: no answer in time" for name in silent)
        return WindowResult(tuple(entities), answered, problems, {"not-in-text": 1})

    def _entity(self, match):
        kind = "LOC" if len(match[0]) % 2 else "PER"
        return VotedEntity(match.start(), match.end(), kind, 1.0, votes=dict.fromkeys(MEMBERS, kind))

    def preview(self, window):
        return [("pre-extract", f"Find names in: {window.text}"), ("verify", "Is it true?")]

    def provenance(self):
        return {"members": dict.fromkeys(MEMBERS, "f" * 8)}

    async def close(self):
        self.closed = True


FOUND = re.compile(r"[A-Z]\w+|张三")


def build(config, meter, cache_path):
    return FakePipeline(meter, float(os.environ.get("FAKE_DELAY_S", "0")))


async def check_served(config: Config) -> None:
    """The check before a run without the models of members in this process, which are files that nobody has."""
    served = tuple(member for member in config.members if member.engine == "http")
    await check_engines(config.model_copy(update={"members": served}))


def write_corpus(path: Path, texts) -> Path:
    lines = [json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


if __name__ == "__main__":
    import el4ner.batch.job
    from el4ner.run import main

    el4ner.batch.job.check_engines = check_served
    sys.exit(main(build=build))
