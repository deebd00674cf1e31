"""What single-pass models disagree about, asked as closed choices: which of the readings each would have written.

A model that copied a text with marks can be asked how probable another copy is: its answer is begun up to the disputed region,
and the ways of going on (each candidate marked with each type, or none) are the choices. That gives soft votes for one or two
calls a candidate, and needs no further training.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from el4ner.config import Language
from el4ner.engines.base import Engine, Request
from el4ner.errors import MemberError
from el4ner.prompts.copying import write_typed_copy
from el4ner.prompts.marking import Marking
from el4ner.recognisers.base import WindowContext
from el4ner.recognisers.proposal import Proposal
from el4ner.text.spans import Span

STAGE = "weigh"
_REACH = 24
"""Characters before a candidate among which a place is looked for where tokens surely part."""
TypeProbabilities = dict[str | None, float]


@dataclass(frozen=True, slots=True)
class DisputedRegion:
    """Candidates that overlap, and where the copy that is rescored begins and ends."""

    start: int
    end: int
    candidates: tuple[Span, ...]


async def rescore(
    engine: Engine, marking: Marking, context: WindowContext, disputed: Sequence[Sequence[Span]], proposal: Proposal
) -> Proposal:
    """A model's proposal with probabilities for what is disputed; what its engine cannot tell stays as it was, and is counted.

    Where its own marks state a probability for each candidate of a group, it is not asked again.

    Args:
        engine: the model's.
        marking: the prompts of the copy.
        context: the window.
        disputed: groups of overlapping candidates.
        proposal: the model's own.
    """
    unknown = [group for group in disputed if any(span not in proposal.probabilities for span in group)]
    regions = [region_of(group, context.text, proposal) for group in unknown]
    found = await asyncio.gather(
        *(_type_probabilities(engine, marking, context, region, proposal) for region in regions),
        return_exceptions=True,
    )
    probabilities = {**proposal.probabilities}
    for result in found:
        if isinstance(result, MemberError):
            context.counts["unweighed"] += 1
        elif isinstance(result, BaseException):
            raise result
        else:
            probabilities |= result
    return replace(proposal, probabilities=probabilities)


async def _type_probabilities(
    engine: Engine, marking: Marking, context: WindowContext, region: DisputedRegion, proposal: Proposal
) -> dict[Span, TypeProbabilities]:
    """The probability of each type, and of none, for each candidate of a region."""
    readings = _readings(marking, context.text, context.language, region)
    choice = await engine.choose(rescoring_request(marking, context, region, proposal, tuple(readings)))
    if choice.log_probs is None:
        raise MemberError(engine.name, "gives no probabilities")
    found: dict[Span, TypeProbabilities] = {span: {} for span in region.candidates}
    for reading, (span, name) in readings.items():
        if span is not None:
            found[span][name] = math.exp(choice.log_probs[reading])
    return {span: {**types, None: max(0.0, 1.0 - sum(types.values()))} for span, types in found.items()}


def rescoring_request(
    marking: Marking, context: WindowContext, region: DisputedRegion, proposal: Proposal, readings: tuple[str, ...]
) -> Request:
    """The request about one stretch: the model's own answer up to there, and the ways of going on."""
    words = dict(zip(marking.types, marking.words(context.language), strict=True))
    before = [(span, words[types[0]]) for span, types in proposal.types.items() if span.end <= region.start]
    return Request(
        stage=STAGE,
        messages=marking.ask(context.language, context.text, proposal.demonstrations),
        max_tokens=1,
        choices=readings,
        answer_prefix=write_typed_copy(context.text[: region.start], before).lstrip(),
        template=marking.identity,
    )


def region_of(group: Sequence[Span], text: str, proposal: Proposal) -> DisputedRegion:
    """Where the copy of a group begins: at a mark of the model's own, at white space, or after a sign, whichever is nearest.

    Tokens span letters: where a choice went on from a letter, the model would be asked about tokens that it never writes there.
    """
    start, end = min(span.start for span in group), max(span.end for span in group)
    floor = max([0, start - _REACH, *(span.end for span in proposal.types if span.end <= start)])
    at = start
    while at > floor and not (text[at].isspace() or not (text[at - 1].isalnum() or text[at - 1].isspace())):
        at -= 1
    return DisputedRegion(at, end, tuple(group))


def _readings(
    marking: Marking, text: str, language: Language, region: DisputedRegion
) -> dict[str, tuple[Span | None, str | None]]:
    """Each way of writing the stretch, with the candidate that it marks and the type that it gives."""
    piece = text[region.start : region.end]
    readings: dict[str, tuple[Span | None, str | None]] = {piece: (None, None)}
    for span in region.candidates:
        inside = Span(span.start - region.start, span.end - region.start)
        for name, word in zip(marking.types, marking.words(language), strict=True):
            readings[write_typed_copy(piece, [(inside, word)])] = (span, name)
    return readings
