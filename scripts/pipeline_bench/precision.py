"""The pipeline with its local members in each precision, side by side: seconds, and which entities it finds."""

import time
from collections.abc import Sequence

from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Runner
from el4ner.config import Config
from el4ner.members import local
from el4ner.text.documents import Document
from pipeline_bench.members import engine_alone, pipeline_over
from pipeline_bench.throughput import example_sentences

PRECISIONS = ("float32", "int8")
ROUNDS = 2
Found = set[tuple[str, int, int, str]]


async def precision(config: Config, count: int) -> dict[str, float]:
    """Best seconds of each precision in turns, entities found by each, and by both."""
    sentences = example_sentences(count)
    seconds: dict[str, float] = {}
    found: dict[str, Found] = {}
    for _ in range(ROUNDS):
        for name in PRECISIONS:
            took, found[name] = await run_in(name, config, sentences)
            seconds[name] = min(took, seconds.get(name, took))
    one, other = (found[name] for name in PRECISIONS)
    return {
        "sentences": len(sentences),
        **{f"{name}_s": seconds[name] for name in PRECISIONS},
        **{f"{name}_entities": len(found[name]) for name in PRECISIONS},
        "both": len(one & other),
    }


async def run_in(name: str, config: Config, sentences: Sequence[Document]) -> tuple[float, Found]:
    """Seconds and entities of a run with the local members in that precision; loading is not counted."""
    members = tuple(m.model_copy(update={"dtype": name} if m.engine == "local" else {}) for m in config.members)
    at_once = {"documents_in_flight": len(sentences), "windows_in_flight": 2 * len(sentences)}
    batch = config.batch.model_copy(update=at_once)
    changed = config.model_copy(update={"members": members, "batch": batch})
    threads = local.cpu_threads(len(members))
    pipeline = pipeline_over(changed, {m.name: engine_alone(m, changed, threads) for m in members})
    entities: Found = set()

    def take(_: int, outcome: Outcome) -> None:
        prediction = outcome.prediction
        entities.update((prediction.id, e.start, e.end, e.type) for e in prediction.entities)

    await Runner(pipeline, changed).run(iter(sentences[:1]), lambda *_: None)
    started = time.perf_counter()
    await Runner(pipeline, changed).run(iter(sentences), take)
    took = time.perf_counter() - started
    await pipeline.close()
    return took, entities
