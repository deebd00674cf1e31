"""From a configuration to members that are metered and never asked the same twice."""

from pathlib import Path

from el4ner.config import Config, MemberConfig
from el4ner.members.base import Member
from el4ner.members.cache import CachedMember
from el4ner.members.meter import Meter, MeteredMember
from el4ner.members.recorded import RecordedMember
from el4ner.members.store import AnswerStore
from el4ner.members.vllm import VllmMember


def build_members(config: Config, meter: Meter, store: AnswerStore | None = None) -> dict[str, Member]:
    """The members by name, in the configuration's order.

    Raises:
        ConfigError: an endpoint or a key is not usable.
        ModelError: a model folder cannot be used.
    """
    on_cpu = sum(member.engine == "local" and member.device == "cpu" for member in config.members)
    return {
        member.name: MeteredMember(CachedMember(_engine(member, config, on_cpu), store), meter)
        for member in config.members
    }


async def check_members(config: Config) -> None:
    """Ask every endpoint for one token, so that a job does not start against servers that are not there.

    Raises:
        MemberError: an endpoint does not answer; the message names the member.
    """
    for settings in config.members:
        if settings.engine == "vllm":
            member = VllmMember(settings, allow_hosts=config.allow_hosts)
            try:
                await member.check()
            finally:
                await member.close()


def _engine(member: MemberConfig, config: Config, on_cpu: int) -> Member:
    if member.engine == "vllm":
        return VllmMember(member, allow_hosts=config.allow_hosts)
    if member.engine == "recorded":
        return RecordedMember(member.name, Path(member.model))
    from el4ner.members.local import LocalMember, cpu_threads

    return LocalMember(member, threads=cpu_threads(on_cpu) if member.device == "cpu" else 0)
