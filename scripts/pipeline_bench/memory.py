"""Memory of a run over made-up documents, as many as are wanted."""

import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from el4ner.batch.journal import Journal
from el4ner.batch.runner import Runner
from el4ner.config import Config
from el4ner.engines.meter import Meter
from el4ner.pipeline import Pipeline, build_pipeline
from el4ner.text.formats import read_documents
from pipeline_bench.members import Instant, pipeline_over

STATM = Path("/proc/self/statm")
MIB = 2**20
SYLLABLES = ("ba", "den", "fo", "gar", "hol", "ki", "lun", "mer", "no", "pas", "rin", "sto", "tal", "ve", "wick")
FILLERS = (
    "the",
    "report",
    "says",
    "that",
    "on",
    "a",
    "rainy",
    "day",
    "we",
    "met",
    "with",
    "some",
    "delay",
    "and",
    "then",
    "moved",
)
COMMON_NAMES = 0.8
"""Exponent of the law by which names repeat; new ones never end."""


async def memory(config: Config, size: int, real: bool) -> dict[str, float]:
    """Seconds and MiB of a run over documents that are read from a file.

    ``peak_mib`` is the most that the process ever held; loading the embedder can hide a leak below it. ``end_mib`` is
    what it holds after the last document.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "documents.jsonl")
        write_documents(path, size)
        pipeline = build_pipeline(config, Meter()) if real else instant_pipeline(config)
        with Journal(Path(folder, "out")) as journal:
            runner = Runner(pipeline, pipeline.config)
            await runner.run(read_documents([str(path)]), lambda _, outcome: journal.append(outcome.prediction))
        end = resident_mib()
        await pipeline.close()
    return {"seconds": time.perf_counter() - started, "peak_mib": peak_mib(), "end_mib": end}


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    unit = MIB if sys.platform == "darwin" else MIB // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def resident_mib() -> float:
    """The resident size of this process now; the peak where the system does not tell."""
    if not STATM.exists():
        return peak_mib()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def instant_pipeline(config: Config) -> Pipeline:
    """The configuration's pipeline with members that answer at once."""
    inline = tuple(member.model_copy(update={"answer_format": "inline"}) for member in config.members)
    quick = config.model_copy(update={"members": inline})
    return pipeline_over(quick, {member.name: Instant(member.name) for member in inline})


def write_documents(path: Path, size: int) -> None:
    """Write made-up documents of one to four sentences, each with a name; few names are frequent, most are rare."""
    chance = random.Random(13)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(size):
            text = " ".join(made_up_sentence(chance) for _ in range(chance.randint(1, 4)))
            stream.write(json.dumps({"id": f"doc-{number}", "text": text}) + "\n")


def made_up_sentence(chance: random.Random) -> str:
    """Eight to sixteen words with a name among them."""
    words = chance.choices(FILLERS, k=chance.randint(8, 16))
    words.insert(chance.randint(1, len(words)), made_up_name(int(chance.paretovariate(COMMON_NAMES))))
    return " ".join(words) + "."


def made_up_name(number: int) -> str:
    """The name with that number: two words."""
    chance = random.Random(number)
    return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(2, 3))).capitalize() for _ in range(2))
