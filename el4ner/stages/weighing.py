"""What members of role single-pass disagree about, asked as closed choices: which of the readings each would have written.

A member that copied a text with marks can be asked how probable another copy is: its answer is begun up to the disputed stretch,
and the ways of going on (each candidate marked with each type, or none) are the choices. That gives soft votes for one or two
calls a candidate, and needs no further training.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from el4ner.config import Language
from el4ner.errors import MemberError
from el4ner.members.base import Request
from el4ner.prompts.copying import write_typed_copy
from el4ner.stages.answers import Answers
from el4ner.stages.asking import Minutes, Voice
from el4ner.stages.single_pass import marking_of
from el4ner.text.documents import Document
from el4ner.text.spans import Span

STAGE = "weigh"
_REACH = 24
"""Characters before a candidate among which a place is looked for where tokens surely part."""
Chances = dict[str | None, float]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Candidates that overlap, and where the copy that is weighed begins and ends."""

    start: int
    end: int
    candidates: tuple[Span, ...]


def disputed(candidates: Iterable[Span], answers: Mapping[str, Answers]) -> list[tuple[Span, ...]]:
    """Groups of overlapping candidates that not all of the members read alike."""
    groups: list[list[Span]] = []
    for span in sorted(candidates):
        if groups and span.start < max(other.end for other in groups[-1]):
            groups[-1].append(span)
        else:
            groups.append([span])
    return [tuple(group) for group in groups if _differ(group, answers.values())]


async def weigh_all(
    voices: Sequence[Voice],
    text: str,
    language: Language,
    shown: Mapping[str, Sequence[Document]],
    candidates: Iterable[Span],
    answers: Mapping[str, Answers],
    minutes: Minutes,
) -> dict[str, Answers]:
    """The members' answers, with probabilities for the candidates that they disagree about; they keep what they cannot weigh.

    Args:
        voices: members of role single-pass.
        text: of the window.
        language: of the text.
        shown: the demonstrations that each was shown for its answer.
        candidates: of all members.
        answers: of these members; those that are missing abstained.
        minutes: of the window.
    """
    complete = {name: answer for name, answer in answers.items() if answer.complete}
    groups = disputed(candidates, complete) if len(complete) > 1 else []
    asked = [voice for voice in voices if voice.name in complete] if groups else []
    weighed = await asyncio.gather(
        *(_weigh(v, text, language, shown.get(v.name, ()), groups, complete[v.name], minutes) for v in asked)
    )
    return {**answers, **{voice.name: answer for voice, answer in zip(asked, weighed, strict=True)}}


async def _weigh(
    voice: Voice,
    text: str,
    language: Language,
    shown: Sequence[Document],
    groups: Sequence[tuple[Span, ...]],
    answer: Answers,
    minutes: Minutes,
) -> Answers:
    stretches = [stretch_of(group, text, answer) for group in groups]
    found = await asyncio.gather(
        *(_chances(voice, text, language, shown, stretch, answer) for stretch in stretches), return_exceptions=True
    )
    chances: dict[Span, Chances] = {}
    for result in found:
        if isinstance(result, MemberError):
            minutes.counts["unweighed"] += 1
        elif isinstance(result, BaseException):
            raise result
        else:
            chances |= result
    return replace(answer, chances=chances)


async def _chances(
    voice: Voice, text: str, language: Language, shown: Sequence[Document], stretch: Stretch, answer: Answers
) -> dict[Span, Chances]:
    """The probability of each type, and of none, for each candidate of a stretch."""
    readings = _readings(voice, text, language, stretch)
    choice = await voice.member.choose(weighing_request(voice, text, language, shown, stretch, answer, tuple(readings)))
    if choice.log_probs is None:
        raise MemberError(voice.name, "gives no probabilities")
    found: dict[Span, Chances] = {span: {} for span in stretch.candidates}
    for written, (span, name) in readings.items():
        if span is not None:
            found[span][name] = math.exp(choice.log_probs[written])
    return {span: {**types, None: max(0.0, 1.0 - sum(types.values()))} for span, types in found.items()}


def weighing_request(
    voice: Voice,
    text: str,
    language: Language,
    shown: Sequence[Document],
    stretch: Stretch,
    answer: Answers,
    readings: tuple[str, ...],
) -> Request:
    """The request about one stretch: the member's own answer up to there, and the ways of going on."""
    marking = marking_of(voice)
    words = dict(zip(marking.types, marking.words(language), strict=True))
    before = [(span, words[types[0]]) for span, types in answer.types.items() if span.end <= stretch.start]
    return Request(
        stage=STAGE,
        messages=marking.ask(language, text, shown),
        max_tokens=1,
        choices=readings,
        begun=write_typed_copy(text[: stretch.start], before).lstrip(),
        template=marking.identity,
    )


def stretch_of(group: Sequence[Span], text: str, answer: Answers) -> Stretch:
    """Where the copy of a group begins: at a mark of the member's own, at white space, or after a sign, whichever is nearest.

    Tokens span letters: where a choice went on from a letter, the model would be asked about tokens that it never writes there.
    """
    start, end = min(span.start for span in group), max(span.end for span in group)
    floor = max([0, start - _REACH, *(span.end for span in answer.types if span.end <= start)])
    at = start
    while at > floor and not (text[at].isspace() or not (text[at - 1].isalnum() or text[at - 1].isspace())):
        at -= 1
    return Stretch(at, end, tuple(group))


def _readings(
    voice: Voice, text: str, language: Language, stretch: Stretch
) -> dict[str, tuple[Span | None, str | None]]:
    """Each way of writing the stretch, with the candidate that it marks and the type that it gives."""
    marking = marking_of(voice)
    piece = text[stretch.start : stretch.end]
    readings: dict[str, tuple[Span | None, str | None]] = {piece: (None, None)}
    for span in stretch.candidates:
        inside = Span(span.start - stretch.start, span.end - stretch.start)
        for name, word in zip(marking.types, marking.words(language), strict=True):
            readings[write_typed_copy(piece, [(inside, word)])] = (span, name)
    return readings


def _differ(group: Sequence[Span], answers: Iterable[Answers]) -> bool:
    read = [tuple(answer.types.get(span, ())[:1] for span in group) for answer in answers]
    return any(one != read[0] for one in read)


__all__ = ["STAGE", "Stretch", "disputed", "stretch_of", "weigh_all", "weighing_request"]
