"""A member in this process: requests from everywhere are gathered, put into batches of like length, and answered together."""

import asyncio
import contextlib
import hashlib
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers

from el4ner.config import MemberConfig
from el4ner.errors import ContextOverflowError, MemberError, TemplateError
from el4ner.members.base import Answer, Choice, Request, Usage
from el4ner.members.batches import cut_batches
from el4ner.members.copying import DRAFT, CopyTask
from el4ner.members.engine import Engine, Generated
from el4ner.members.lists import ListTask
from el4ner.models.weights import check_adapter_folder, check_model_folder, hash_folder

GATHER_S = 0.004
"""How long the worker waits for further requests before it answers the ones it has."""
SMALLEST_ANSWER = 16
"""Tokens that must be left for an answer after the prompt."""


@dataclass(slots=True)
class _Job:
    request: Request
    prompt: list[int]
    copy: CopyTask | None
    listing: ListTask | None
    reusable: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer | Choice]
    started_s: float

    @property
    def kind(self) -> str:
        return "choose" if self.request.choices else "generate"

    @property
    def answer_length(self) -> int:
        if self.request.choices:
            return 0
        return len(self.copy.source) if self.copy else min(self.request.max_tokens, 256)


class LocalMember:
    """Transformers in process, on the CPU or one GPU; greedy, batched over all concurrent requests.

    Args:
        config: model folder, adapter, device, precision, batch size.
        threads: CPU threads for this member's arithmetic; 0 leaves PyTorch's own choice.

    Raises:
        ModelError: the model cannot or may not be loaded (at the first request; the folders are checked at once).
    """

    def __init__(self, config: MemberConfig, threads: int = 0) -> None:
        check_model_folder(Path(config.model))
        if config.adapter:
            check_adapter_folder(Path(config.adapter))
        self.name = config.name
        self._config = config
        self._threads = threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._loading = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights, adapter, precision and library version."""
        parts = [hash_folder(Path(self._config.model)), self._config.dtype, transformers.__version__]
        if self._config.adapter:
            parts.append(hash_folder(Path(self._config.adapter)))
        parts += [str(self._config.constrain), repr(sorted(self._arguments.items()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @cached_property
    def engine(self) -> Engine:
        """The loaded model."""
        c = self._config
        adapter = Path(c.adapter) if c.adapter else None
        return Engine(Path(c.model), adapter, c.device, c.dtype, self._arguments, c.prefix_cache_mib)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {"enable_thinking": self._config.thinking, **self._config.chat_template_kwargs}

    async def generate(self, request: Request) -> Answer:
        """Answer in free text."""
        answer = await self._submit(request)
        assert isinstance(answer, Answer)
        return answer

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices`` by log-probability."""
        if not request.choices:
            raise MemberError(self.name, "choose was asked without choices")
        choice = await self._submit(request)
        assert isinstance(choice, Choice)
        return choice

    async def close(self) -> None:
        """End the worker; the model is freed with the member."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._jobs.put(None)
            await asyncio.to_thread(worker.join)

    async def _submit(self, request: Request) -> Answer | Choice:
        started = time.monotonic()
        engine = self.engine if self._worker is not None else await asyncio.to_thread(self._load)
        try:
            prompt = engine.prompt(request.messages)
        except TemplateError as error:
            raise MemberError(self.name, str(error)) from error
        held = self._config.constrain and not request.copy_types
        copy = engine.copy_task(request.copy_of) if request.copy_of is not None and held else None
        listed = request.list_of if self._config.constrain and request.stage == "mrc" else None
        listing = engine.list_task(listed) if listed is not None else None
        needed = len(copy.source) + SMALLEST_ANSWER if copy else SMALLEST_ANSWER
        if len(prompt) + needed > engine.context:
            raise ContextOverflowError(
                self.name,
                f"prompt of {len(prompt)} tokens and an answer of {needed} exceed its context of {engine.context}",
            )
        loop = asyncio.get_running_loop()
        reusable = engine.reusable(request.messages, prompt) if copy and self._config.prefix_cache_mib else 0
        job = _Job(request, prompt, copy, listing, reusable, loop, loop.create_future(), started)
        self._jobs.put(job)
        return await job.future

    def _load(self) -> Engine:
        with self._loading:
            engine = self.engine
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name=f"member-{self.name}", daemon=True)
                self._worker.start()
        return engine

    def _work(self) -> None:
        if self._threads:
            torch.set_num_threads(self._threads)
        while True:
            gathered, ended = self._gather()
            jobs = [job for job in gathered if not job.future.cancelled()]
            for kind, run in (("generate", self._generate), ("choose", self._choose)):
                wanted = [job for job in jobs if job.kind == kind]
                padded = self.engine.packed is None
                for batch in cut_batches(wanted, self._lengths, self._config.batch_tokens, padded=padded):
                    self._run(run, batch)
            if ended:
                return

    def _lengths(self, job: _Job) -> tuple[int, int]:
        unread = self.engine.unread(job.prompt)
        # A copy is read in pieces; what fills a batch is the first, the prompt with the first guess.
        first = min(DRAFT, job.answer_length) if job.copy else job.answer_length
        return unread + first, len(job.prompt) + job.answer_length

    def _gather(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        item = self._jobs.get()
        while True:
            if item is None:
                return jobs, True
            jobs.append(item)
            try:
                item = self._jobs.get(timeout=GATHER_S)
            except queue.Empty:
                return jobs, False

    def _run(self, run: Callable[[Sequence[_Job]], list[Answer] | list[Choice]], batch: Sequence[_Job]) -> None:
        try:
            results: Sequence[Answer | Choice | MemberError] = run(batch)
        except Exception as error:
            reason = f"inference failed ({type(error).__name__})"
            results = [MemberError(self.name, reason) for _ in batch]
        for job, result in zip(batch, results, strict=True):
            _deliver(job, result)

    def _generate(self, batch: Sequence[_Job]) -> list[Answer]:
        limits = [self._limit(job) for job in batch]
        prompts, copies, reusable, lists = zip(
            *((job.prompt, job.copy, job.reusable, job.listing) for job in batch), strict=True
        )
        generated = self.engine.generate(prompts, copies, limits, reusable, lists)
        for row, (job, limit) in enumerate(zip(batch, limits, strict=True)):
            if not generated[row].finished and generated[row].tokens < limit:
                # A longer prompt beside it left too little of the context; alone it has the room it was promised.
                generated[row] = self.engine.generate([job.prompt], [job.copy], [limit], None, [job.listing])[0]
        return [_answer(job, out) for job, out in zip(batch, generated, strict=True)]

    def _limit(self, job: _Job) -> int:
        """Most tokens of its answer, whatever else is in its batch."""
        wanted = min(job.request.max_tokens, job.copy.longest) if job.copy else job.request.max_tokens
        return min(wanted, self.engine.context - len(job.prompt))

    def _choose(self, batch: Sequence[_Job]) -> list[Choice]:
        answers = [[self.engine.answer_ids(choice) for choice in job.request.choices] for job in batch]
        quick = [row for row, ids in enumerate(answers) if _told_apart_at_once(ids)]
        slow = [row for row in range(len(batch)) if row not in set(quick)]
        scores: dict[int, list[float]] = {}
        if quick:
            firsts = [[ids[0] for ids in answers[row]] for row in quick]
            scores |= zip(quick, self.engine.next_token([batch[row].prompt for row in quick], firsts), strict=True)
        if slow:
            prompts = [batch[row].prompt for row in slow for _ in answers[row]]
            flat = iter(self.engine.score(prompts, [ids for row in slow for ids in answers[row]]))
            scores |= {row: [next(flat) for _ in answers[row]] for row in slow}
        return [self._choice(job, scores[row]) for row, job in enumerate(batch)]

    def _choice(self, job: _Job, scores: Sequence[float]) -> Choice:
        log_probs = dict(zip(job.request.choices, normalised(scores), strict=True))
        label = max(log_probs, key=lambda choice: log_probs[choice])
        return Choice(label, log_probs, Usage(len(job.prompt), 1, time.monotonic() - job.started_s))


def normalised(scores: Sequence[float]) -> list[float]:
    """Log-probabilities shifted so that their exponentials sum to 1."""
    highest = max(scores)
    total = highest + math.log(sum(math.exp(score - highest) for score in scores))
    return [score - total for score in scores]


def cpu_threads(members: int) -> int:
    """Threads for each of several members that compute at once on this machine's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, members))


def _told_apart_at_once(answers: Sequence[list[int]]) -> bool:
    """Whether single tokens decide: all answers are one token and the end, and differ."""
    firsts = {answer[0] for answer in answers}
    return len(firsts) == len(answers) and all(len(answer) == 2 for answer in answers)


def _answer(job: _Job, out: Generated) -> Answer:
    usage = Usage(len(job.prompt), out.tokens, time.monotonic() - job.started_s)
    return Answer(out.text, "stop" if out.finished else "length", usage)


def _deliver(job: _Job, result: Answer | Choice | MemberError) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits for this any more
        job.loop.call_soon_threadsafe(_settle, job.future, result)


def _settle(future: asyncio.Future[Answer | Choice], result: Answer | Choice | MemberError) -> None:
    if future.done():
        return
    if isinstance(result, MemberError):
        future.set_exception(result)
    else:
        future.set_result(result)
