"""From a configuration to members that are metered and never asked the same twice."""

from functools import partial
from pathlib import Path

from el4ner.config import Config, MemberConfig
from el4ner.members.base import Member
from el4ner.members.cache import CachedMember
from el4ner.members.gguf import GgufMember
from el4ner.members.http import HttpMember
from el4ner.members.llamacpp_server import SLOTS
from el4ner.members.meter import Meter, MeteredMember
from el4ner.members.outages import Outages
from el4ner.members.recorded import RecordedMember
from el4ner.members.store import AnswerStore
from el4ner.members.tuned import check_labels
from el4ner.members.turns import Turns
from el4ner.models.resolve import file_to_run


def build_members(config: Config, meter: Meter, store: AnswerStore | None = None) -> dict[str, Member]:
    """The members by name, in the configuration's order.

    Raises:
        ConfigError: an endpoint or a key is not usable, or tuned members are asked about labels they never saw.
        ModelError: a model cannot be used.
    """
    config = _with_files(config)
    check_labels(config)
    outages = Outages(spare=_spare(config), patience_s=config.batch.patience_s)
    turns = Turns(SLOTS)
    return {
        member.name: MeteredMember(CachedMember(_engine(member, config, meter, outages, turns), store), meter)
        for member in config.members
    }


async def check_members(config: Config) -> None:
    """Ask every endpoint for one token, so that a job does not start against servers that are not there.

    Raises:
        MemberError: an endpoint does not answer; the message names the member.
    """
    for settings in config.members:
        if settings.engine == "http":
            key_file = config.serving.api_key_file
            member = HttpMember(settings, allow_hosts=config.allow_hosts, key_file=key_file)
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


def _spare(config: Config) -> int:
    """Members that may be missing in any language that has enough of them at all."""
    quorum = config.batch.quorum
    speakers = [sum(language in member.languages for member in config.members) for language in ("en", "zh")]
    return min((count for count in speakers if count >= quorum), default=quorum) - quorum


def _engine(member: MemberConfig, config: Config, meter: Meter, outages: Outages, turns: Turns) -> Member:
    if member.engine == "http":
        report = partial(meter.note_server, member.name)
        key_file = config.serving.api_key_file
        return HttpMember(member, allow_hosts=config.allow_hosts, outages=outages, key_file=key_file, report=report)
    if member.engine == "recorded":
        return RecordedMember(member.name, Path(member.model))
    return GgufMember(member, turns)
