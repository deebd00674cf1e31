"""Sentences per second of the pipeline, and of the same requests made one at a time."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Runner
from el4ner.config import Config
from el4ner.engines.base import Answer, Choice, Engine, Request
from el4ner.errors import InputError
from el4ner.pipeline import Pipeline
from el4ner.text.boundaries import sentence_starts
from el4ner.text.documents import Document
from el4ner.text.formats import read_documents
from pipeline_bench.members import Recording, bare_members, pipeline_over

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORTEST_SENTENCE = 20
"""Characters; most headings and sign-offs are shorter."""
KINDS = ("texts", "choices")
"""What members are asked for: generated texts (extraction, marking, questions), choices (classification, verification)."""
Heard = tuple[Request, Answer | Choice]


async def throughput(config: Config, count: int) -> dict[str, float]:
    """Seconds of the pipeline (and of the CPU for it) and of the same requests one at a time; how many sentences and requests
    there were, and how many of these were answered as before.
    """
    sentences = example_sentences(count)
    recorders = {name: Recording(member) for name, member in bare_members(config).items()}
    pipeline = pipeline_over(config, dict(recorders))
    await run_all(pipeline, sentences[:1] + sentences[-1:])
    for recorder in recorders.values():
        recorder.heard.clear()
    started, cpu = time.perf_counter(), time.process_time()
    await run_all(pipeline, sentences)
    together_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    await pipeline.close()
    replays = [await replay(member, recorders[name].heard) for name, member in bare_members(config).items()]
    return {
        "sentences": len(sentences),
        "requests": sum(len(recorder.heard) for recorder in recorders.values()),
        "together_s": together_s,
        "together_cpu_s": cpu_s,
        "alone_s": sum(sum(seconds.values()) for seconds, _ in replays),
        **{f"{name}_s": sum(seconds[name] for seconds, _ in replays) for name in KINDS},
        **{name: sum(kind(request) == name for r in recorders.values() for request, _ in r.heard) for name in KINDS},
        "alike": sum(alike for _, alike in replays),
    }


async def replay(member: Engine, heard: Sequence[Heard]) -> tuple[dict[str, float], int]:
    """Seconds to ask one request after the other, by kind, and how many answers are those of before."""
    if heard:
        await ask(member, heard[0][0])
    seconds = dict.fromkeys(KINDS, 0.0)
    alike = 0
    for request, before in heard:
        started = time.perf_counter()
        answer = await ask(member, request)
        seconds[kind(request)] += time.perf_counter() - started
        alike += said(answer) == said(before)
    await member.close()
    return seconds, alike


def kind(request: Request) -> str:
    """Which of the two kinds a request is."""
    return "choices" if request.choices else "texts"


async def ask(member: Engine, request: Request) -> Answer | Choice:
    """The answer to a request of either kind."""
    return await (member.choose(request) if request.choices else member.generate(request))


def said(answer: Answer | Choice) -> str:
    """The text of an answer, or the label of a choice."""
    return answer.text if isinstance(answer, Answer) else answer.label


async def run_all(pipeline: Pipeline, documents: Sequence[Document]) -> None:
    """Run the documents, all at once.

    Raises:
        InputError: one failed.
    """
    at_once = {"windows_in_flight": 2 * len(documents)}
    config = pipeline.config.model_copy(update={"batch": pipeline.config.batch.model_copy(update=at_once)})
    outcomes: list[Outcome] = []
    await Runner(pipeline, config).run(iter(documents), lambda _, outcome: outcomes.append(outcome))
    failed = [outcome.prediction for outcome in outcomes if outcome.prediction.status == "failed"]
    if failed:
        raise InputError(f"{len(failed)} sentence(s) failed, the first: {failed[0].reason}")


def example_sentences(count: int) -> list[Document]:
    """Sentences of the example documents as documents, half English and half Chinese, at even distances."""
    chosen: list[Document] = []
    for folder, wanted in (("en", count - count // 2), ("zh", count // 2)):
        found = list(sentences_of(read_documents([str(EXAMPLES / folder)])))
        wanted = min(wanted, len(found))
        chosen += [found[place * len(found) // wanted] for place in range(wanted)]
    return chosen


def sentences_of(documents: Iterator[Document]) -> Iterator[Document]:
    """Every sentence that is not very short as a document."""
    for document in documents:
        bounds = [0, *sentence_starts(document.text), len(document.text)]
        for start, end in pairwise(bounds):
            text = document.text[start:end].strip()
            if len(text) >= SHORTEST_SENTENCE:
                yield Document(f"{document.id}:{start}", text)
