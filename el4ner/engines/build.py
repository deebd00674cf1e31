"""From a configuration to engines that are metered and never asked the same twice."""

from functools import partial

from el4ner.config import Config, MemberConfig
from el4ner.engines.answer_store import AnswerStore
from el4ner.engines.base import Engine
from el4ner.engines.cache import CachedEngine
from el4ner.engines.circuit_breaker import CircuitBreaker
from el4ner.engines.gguf import GgufEngine
from el4ner.engines.http import HttpEngine
from el4ner.engines.llamacpp_server import SLOTS
from el4ner.engines.meter import Meter, MeteredEngine
from el4ner.engines.scheduler import RoundRobinScheduler
from el4ner.engines.tuning_record import check_labels
from el4ner.models.resolve import file_to_run

PATIENCE_S = 600.0
"""Longest wait for a server that is down, where the quorum cannot do without it, in seconds."""


def build_engines(config: Config, meter: Meter, store: AnswerStore | None = None) -> dict[str, Engine]:
    """The members' engines by name, in the configuration's order.

    Raises:
        ConfigError: an endpoint or a key is not usable, or tuned members are asked about labels they never saw.
        ModelError: a model cannot be used.
    """
    config = _with_files(config)
    check_labels(config)
    circuit_breaker = CircuitBreaker(dispensable=_dispensable(config), patience_s=PATIENCE_S)
    scheduler = RoundRobinScheduler(SLOTS)
    return {
        member.name: MeteredEngine(
            CachedEngine(_engine(member, config, meter, circuit_breaker, scheduler), store), meter
        )
        for member in config.members
    }


async def check_engines(config: Config) -> None:
    """Ask every endpoint for one token, and try the chat templates of models in this process.

    Raises:
        ModelError: a template refuses the prompts; the message names the member.
        MemberError: an endpoint does not answer; the message names the member.
    """
    scheduler = RoundRobinScheduler(SLOTS)
    for settings in _with_files(config).members:
        if settings.engine == "local":
            GgufEngine(settings, scheduler).check()
        elif settings.engine == "http":
            member = HttpEngine(settings, allow_hosts=config.allow_hosts)
            try:
                await member.check()
            finally:
                await member.close()


def _with_files(config: Config) -> Config:
    """The configuration with the files of its local members in place of registry names."""
    members = tuple(
        member.model_copy(update={"model": str(file_to_run(member.model))}) if member.engine == "local" else member
        for member in config.members
    )
    return config.model_copy(update={"members": members})


def _dispensable(config: Config) -> int:
    """Members that may be missing in any language that has enough of them at all."""
    quorum = config.batch.quorum
    by_language = [sum(language in member.languages for member in config.members) for language in ("en", "zh")]
    return min((count for count in by_language if count >= quorum), default=quorum) - quorum


def _engine(
    member: MemberConfig, config: Config, meter: Meter, circuit_breaker: CircuitBreaker, scheduler: RoundRobinScheduler
) -> Engine:
    if member.engine == "http":
        report = partial(meter.record_server_counts, member.name)
        return HttpEngine(member, allow_hosts=config.allow_hosts, circuit_breaker=circuit_breaker, report=report)
    return GgufEngine(member, scheduler)
