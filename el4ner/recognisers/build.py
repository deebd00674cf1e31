"""From the members of a configuration to recognisers. A new kind of recogniser is one file of this folder and one line here."""

from collections.abc import Mapping

from el4ner.config import Config
from el4ner.engines.base import Engine
from el4ner.recognisers.base import Recogniser
from el4ner.recognisers.mrc import MrcRecogniser
from el4ner.recognisers.prompted import PromptedRecogniser
from el4ner.recognisers.single_pass import SinglePassRecogniser

BY_ROLE: Mapping[str, type[Recogniser]] = {
    "el4ner": PromptedRecogniser,
    "single-pass": SinglePassRecogniser,
    "mrc": MrcRecogniser,
}


def build_recognisers(config: Config, engines: Mapping[str, Engine]) -> tuple[Recogniser, ...]:
    """The members of the ensemble, in the configuration's order.

    Args:
        config: the configuration.
        engines: by name of the member that asks it.

    Raises:
        ConfigError: there are no prompts of a member's style.
    """
    return tuple(BY_ROLE[member.role].of(member, config, engines) for member in config.members)
