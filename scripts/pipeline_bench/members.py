"""Members for measuring: one that remembers what it was asked, and one that answers at once, by a rule."""

import math
import re

from el4ner.config import Config, MemberConfig
from el4ner.demos.build import build_retriever
from el4ner.engines.base import Answer, Choice, Engine, Request
from el4ner.engines.cache import CachedEngine
from el4ner.engines.gguf import GgufEngine
from el4ner.engines.http import HttpEngine
from el4ner.engines.llamacpp_server import SLOTS
from el4ner.engines.meter import Meter, MeteredEngine
from el4ner.engines.scheduler import RoundRobinScheduler
from el4ner.models.resolve import file_to_run
from el4ner.pipeline import Pipeline
from el4ner.prompts.copying import write_copy, write_typed_copy
from el4ner.recognisers.build import build_recognisers
from el4ner.text.spans import Span

NAME = re.compile(r"[A-Z][a-z]+ [A-Z][a-z]+")


class Recording:
    """A member that remembers every request that it answered, and the answer."""

    def __init__(self, member: Engine) -> None:
        self.name = member.name
        self.fingerprint = member.fingerprint
        self.heard: list[tuple[Request, Answer | Choice]] = []
        self._member = member

    async def generate(self, request: Request) -> Answer:
        """Answer in free text, remembered."""
        answer = await self._member.generate(request)
        self.heard.append((request, answer))
        return answer

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices``, remembered."""
        choice = await self._member.choose(request)
        self.heard.append((request, choice))
        return choice

    async def close(self) -> None:
        """Close the member."""
        await self._member.close()


class Instant:
    """A member that answers at once: it marks pairs of capitalised words, which all have the first type, takes the first choice,
    and finds nothing asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fingerprint = f"instant:{name}"

    async def generate(self, request: Request) -> Answer:
        """The text with its names marked; none to a question about a type."""
        if request.copy_of is None:
            return Answer("none", "stop")
        text = request.copy_of
        spans = [Span(*match.span()) for match in NAME.finditer(text)]
        if request.copy_types:
            return Answer(write_typed_copy(text, [(span, request.copy_types[0]) for span in spans]), "stop")
        return Answer(write_copy(text, spans), "stop")

    async def choose(self, request: Request) -> Choice:
        """The first choice, with nine tenths of the probability."""
        rest = 0.1 / max(1, len(request.choices) - 1)
        shares = {choice: math.log(0.9 if place == 0 else rest) for place, choice in enumerate(request.choices)}
        return Choice(request.choices[0], shares)

    async def close(self) -> None:
        """Nothing is held."""


def bare_members(config: Config) -> dict[str, Engine]:
    """The members without cache and meter; those in this process take turns with the cores, as in a run.

    Raises:
        ConfigError: one is not installed, or its engine computes nothing.
        ModelError: a model cannot be used.
    """
    scheduler = RoundRobinScheduler(SLOTS)
    return {settings.name: _bare(settings, config, scheduler) for settings in config.members}


def _bare(settings: MemberConfig, config: Config, scheduler: RoundRobinScheduler) -> Engine:
    if settings.engine == "http":
        return HttpEngine(settings, allow_hosts=config.allow_hosts)
    return GgufEngine(settings.model_copy(update={"model": str(file_to_run(settings.model))}), scheduler)


def pipeline_over(config: Config, members: dict[str, Engine]) -> Pipeline:
    """The pipeline of a configuration over these members, which are put behind cache and meter as in a real run."""
    meter = Meter()
    engines = {name: MeteredEngine(CachedEngine(member), meter) for name, member in members.items()}
    return Pipeline(config, build_recognisers(config, engines), build_retriever(config))
