"""What members of role single-pass disagree about, asked as closed choices: which of the readings each would have written.

A member that copied a text with marks can be asked how probable another copy is: its answer is begun up to the disputed region,
and the ways of going on (each candidate marked with each type, or none) are the choices. That gives soft votes for one or two
calls a candidate, and needs no further training.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from el4ner.config import Language
from el4ner.engines.base import Request
from el4ner.errors import MemberError
from el4ner.prompts.copying import write_typed_copy
from el4ner.recognisers.base import Diagnostics, PromptedMember
from el4ner.recognisers.single_pass import marking_of
from el4ner.recognisers.typed_spans import TypedSpans
from el4ner.text.documents import Document
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


def disputed(candidates: Iterable[Span], answers: Mapping[str, TypedSpans]) -> list[tuple[Span, ...]]:
    """Groups of overlapping candidates that not all of the members read alike."""
    groups: list[list[Span]] = []
    for span in sorted(candidates):
        if groups and span.start < max(other.end for other in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    return [tuple(group) for group in groups if _differ(group, answers.values())]


async def rescore_all(
    members: Sequence[PromptedMember],
    text: str,
    language: Language,
    demonstrations: Mapping[str, Sequence[Document]],
    candidates: Iterable[Span],
    answers: Mapping[str, TypedSpans],
    diagnostics: Diagnostics,
) -> dict[str, TypedSpans]:
    """The members' answers, with probabilities for the candidates that they disagree about; they keep what they cannot rescore.

    Args:
        members: members of role single-pass.
        text: of the window.
        language: of the text.
        demonstrations: the demonstrations that each was shown for its answer.
        candidates: of all members.
        answers: of these members; those that are missing abstained.
        diagnostics: of the window.
    """
    complete = {name: answer for name, answer in answers.items() if answer.complete}
    groups = disputed(candidates, complete) if len(complete) > 1 else []
    asked = [member for member in members if member.name in complete] if groups else []
    rescored = await asyncio.gather(
        *(
            _rescore(v, text, language, demonstrations.get(v.name, ()), groups, complete[v.name], diagnostics)
            for v in asked
        )
    )
    return {**answers, **{member.name: answer for member, answer in zip(asked, rescored, strict=True)}}


async def _rescore(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    groups: Sequence[tuple[Span, ...]],
    answer: TypedSpans,
    diagnostics: Diagnostics,
) -> TypedSpans:
    regions = [region_of(group, text, answer) for group in groups]
    found = await asyncio.gather(
        *(_type_probabilities(member, text, language, demonstrations, region, answer) for region in regions),
        return_exceptions=True,
    )
    probabilities: dict[Span, TypeProbabilities] = {}
    for result in found:
        if isinstance(result, MemberError):
            diagnostics.counts["unweighed"] += 1
        elif isinstance(result, BaseException):
            raise result
        else:
            probabilities |= result
    return replace(answer, probabilities={**answer.probabilities, **probabilities})


async def _type_probabilities(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    region: DisputedRegion,
    answer: TypedSpans,
) -> dict[Span, TypeProbabilities]:
    """The probability of each type, and of none, for each candidate of a region."""
    readings = _readings(member, text, language, region)
    choice = await member.engine.choose(
        rescoring_request(member, text, language, demonstrations, region, answer, tuple(readings))
    )
    if choice.log_probs is None:
        raise MemberError(member.name, "gives no probabilities")
    found: dict[Span, TypeProbabilities] = {span: {} for span in region.candidates}
    for reading, (span, name) in readings.items():
        if span is not None:
            found[span][name] = math.exp(choice.log_probs[reading])
    return {span: {**types, None: max(0.0, 1.0 - sum(types.values()))} for span, types in found.items()}


def rescoring_request(
    member: PromptedMember,
    text: str,
    language: Language,
    demonstrations: Sequence[Document],
    region: DisputedRegion,
    answer: TypedSpans,
    readings: tuple[str, ...],
) -> Request:
    """The request about one stretch: the member's own answer up to there, and the ways of going on."""
    marking = marking_of(member)
    words = dict(zip(marking.types, marking.words(language), strict=True))
    before = [(span, words[types[0]]) for span, types in answer.types.items() if span.end <= region.start]
    return Request(
        stage=STAGE,
        messages=marking.ask(language, text, demonstrations),
        max_tokens=1,
        choices=readings,
        answer_prefix=write_typed_copy(text[: region.start], before).lstrip(),
        template=marking.identity,
    )


def region_of(group: Sequence[Span], text: str, answer: TypedSpans) -> DisputedRegion:
    """Where the copy of a group begins: at a mark of the member's own, at white space, or after a sign, whichever is nearest.

    Tokens span letters: where a choice went on from a letter, the model would be asked about tokens that it never writes there.
    """
    start, end = min(span.start for span in group), max(span.end for span in group)
    floor = max([0, start - _REACH, *(span.end for span in answer.types if span.end <= start)])
    at = start
    while at > floor and not (text[at].isspace() or not (text[at - 1].isalnum() or text[at - 1].isspace())):
        at -= 1
    return DisputedRegion(at, end, tuple(group))


def _readings(
    member: PromptedMember, text: str, language: Language, region: DisputedRegion
) -> dict[str, tuple[Span | None, str | None]]:
    """Each way of writing the stretch, with the candidate that it marks and the type that it gives."""
    marking = marking_of(member)
    piece = text[region.start : region.end]
    readings: dict[str, tuple[Span | None, str | None]] = {piece: (None, None)}
    for span in region.candidates:
        inside = Span(span.start - region.start, span.end - region.start)
        for name, word in zip(marking.types, marking.words(language), strict=True):
            readings[write_typed_copy(piece, [(inside, word)])] = (span, name)
    return readings


def _differ(group: Sequence[Span], answers: Iterable[TypedSpans]) -> bool:
    read = [tuple(answer.types.get(span, ())[:1] for span in group) for answer in answers]
    return any(one != read[0] for one in read)


__all__ = ["STAGE", "DisputedRegion", "disputed", "region_of", "rescore_all", "rescoring_request"]
