"""One engine: the recorded requests all at once, its first tokens, its memory, and the F1 of its answers."""

import asyncio
import json
import os
import resource
import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline_bench.members import Recording

from el4ner.batch.merge import Outcome
from el4ner.batch.runner import Runner
from el4ner.config import Config
from el4ner.demos.build import build_retriever
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Answer, Choice, Engine, Message, Request
from el4ner.engines.build import build_engines
from el4ner.engines.cache import CachedEngine
from el4ner.engines.meter import Meter
from el4ner.errors import El4nerError
from el4ner.pipeline import Pipeline
from el4ner.prompts.grammar import ListForm
from el4ner.recognisers.build import build_recognisers
from el4ner.scoring.counts import micro, strict_counts
from el4ner.text.spans import Entity
from engine_bench.setting import Setting
from engine_bench.vllm import vllm_server

ENGINES = ("llama.cpp", "vllm", "transformers")
AT_ONCE = 64
"""Requests under way, as in a run."""
FIRST_TOKENS = 7
"""Prompts that the time to the first token is measured on."""


def measure(setting: Setting, engine: str) -> None:
    """Measure an engine and write its figures."""
    setting.output.mkdir(parents=True, exist_ok=True)
    config, server = _engine(setting, engine)
    with server as peak_mib:
        figures = asyncio.run(_figures(setting, engine, config))
        figures["mib"] = peak_mib() if peak_mib else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    setting.result(engine).write_text(json.dumps(figures), encoding="utf-8")


def _engine(setting: Setting, engine: str) -> tuple[Config, AbstractContextManager[Any]]:
    return vllm_server(setting) if engine == "vllm" else (setting.config(model=setting.model), nullcontext())


def _member(setting: Setting, engine: str, config: Config, store: AnswerStore) -> Engine:
    if engine != "transformers":
        return build_engines(config, Meter(), store)["model"]
    from engine_bench.plain import PlainMember

    return CachedEngine(PlainMember("model", setting.folder), store)


async def _figures(setting: Setting, engine: str, config: Config) -> dict[str, Any]:
    store = AnswerStore(setting.output / f"{engine}.answers.sqlite")
    member = _member(setting, engine, config, store)
    figures = await _first_token(member)
    if engine == "llama.cpp":
        recorder = Recording(member)
        started = time.perf_counter()
        figures |= await _scored(config, setting, recorder)
        figures["seconds"] = time.perf_counter() - started
        _write(setting.requests, [request for request, _ in recorder.heard])
        figures |= _tokens([answer for _, answer in recorder.heard])
    else:
        one_by_one = engine == "transformers"
        figures |= await _replayed(member, _read(setting.requests), 1 if one_by_one else AT_ONCE)
        figures |= await _scored(config, setting, member)
    await member.close()
    store.close()
    return figures


async def _replayed(member: Engine, requests: Sequence[Request], at_once: int) -> dict[str, Any]:
    slots = asyncio.Semaphore(at_once)

    async def answer(request: Request) -> Answer | Choice | El4nerError:
        async with slots:
            try:
                return await _ask(member, request)
            except El4nerError as error:
                return error

    started = time.perf_counter()
    answers = await asyncio.gather(*map(answer, requests))
    return {"seconds": time.perf_counter() - started} | _tokens(answers)


def _tokens(answers: Sequence[Answer | Choice | El4nerError]) -> dict[str, Any]:
    given = [answer for answer in answers if not isinstance(answer, El4nerError)]
    cut = sum(isinstance(answer, Answer) and answer.finish_reason == "length" for answer in given)
    return {
        "requests": len(answers),
        "read": sum(answer.usage.prompt_tokens for answer in given),
        "written": sum(answer.usage.answer_tokens for answer in given),
        "lost": len(answers) - len(given) + cut,
    }


async def _first_token(member: Engine) -> dict[str, float]:
    """Median seconds to one token after about 300 tokens that no other prompt begins with; the first call loads the model."""
    seconds = []
    for number in range(FIRST_TOKENS + 1):
        text = " ".join(f"Item {number * 1000 + place} arrived on time." for place in range(30))
        started = time.perf_counter()
        await member.generate(Request("extract", (Message("user", text),), 1))
        seconds.append(time.perf_counter() - started)
    return {"first_s": statistics.median(seconds[1:])}


async def _scored(config: Config, setting: Setting, member: Engine) -> dict[str, float]:
    pipeline = Pipeline(config, build_recognisers(config, {config.members[0].name: member}), build_retriever(config))
    outcomes: list[Outcome] = []
    await Runner(pipeline, config).run(iter(setting.gold), lambda _, outcome: outcomes.append(outcome))
    found = [
        frozenset(Entity(entity.start, entity.end, entity.type) for entity in outcome.prediction.entities)
        for outcome in outcomes
    ]
    gold = [frozenset(document.entities or ()) for document in setting.gold]
    return {"f1": micro(strict_counts(gold, found)).f1}


async def _ask(member: Engine, request: Request) -> Answer | Choice:
    return await (member.choose(request) if request.choices else member.generate(request))


def _write(path: Path, requests: Sequence[Request]) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        for request in requests:
            file.write(json.dumps(asdict(request)) + "\n")


def _read(path: Path) -> list[Request]:
    return [_request(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _request(data: dict[str, Any]) -> Request:
    messages = tuple(Message(**message) for message in data["messages"])
    form = data["list_of"] and ListForm(**data["list_of"])
    return Request(**{**data, "messages": messages, "choices": tuple(data["choices"]), "list_of": form})
