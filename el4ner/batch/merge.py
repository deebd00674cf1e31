"""From what was found in a document's windows to the document's prediction."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from el4ner.batch.prediction import Prediction, hash_text
from el4ner.config import Config
from el4ner.text.documents import Document, Unreadable, Window
from el4ner.text.spans import check_surface
from el4ner.vote.document_consistency import found_elsewhere
from el4ner.vote.entities import VotedEntity, WindowResult
from el4ner.vote.overlaps import flatten, nest
from el4ner.vote.votes import Candidate


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a window, or a whole document, has no result; without text."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A document's prediction, and what was met on the way to it.

    Attributes:
        prediction: the record.
        windows: how many windows the document was cut into.
        problems: one line for each abstention or failure; never text.
        counts: what was dropped or met, summed over the windows.
    """

    prediction: Prediction
    windows: int = 0
    problems: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class MergeRules:
    """What of a configuration decides how windows become a prediction.

    Attributes:
        languages: per member, in the order of the configuration, the languages it is asked in.
        quorum: members that must answer each window.
        flatten: whether overlapping entities are refused.
        document_consistency: whether what is sure in one place is added in other places of the document.
        with_text: whether predictions carry surfaces.
        with_candidates: whether predictions carry all candidates with their votes.
    """

    languages: dict[str, tuple[str, ...]]
    quorum: int = 1
    flatten: bool = True
    document_consistency: bool = True
    with_text: bool = True
    with_candidates: bool = False

    @classmethod
    def of(cls, config: Config, *, with_text: bool) -> Self:
        """The rules that a configuration states."""
        return cls(
            languages={member.name: member.languages for member in config.members},
            quorum=config.batch.quorum,
            flatten=config.entities.nested == "flatten",
            document_consistency=config.entities.document_consistency,
            with_text=with_text,
            with_candidates=config.batch.candidates,
        )


Found = Sequence[tuple[Window, WindowResult | Failure]]


def merge(document: Document, found: Found, rules: MergeRules) -> Outcome:
    """The prediction of a document from all its windows, in their order.

    Raises:
        AlignmentError: a window's entity does not lie in the document as the window says.
    """
    results = [(window, result) for window, result in found if isinstance(result, WindowResult)]
    problems = tuple(problem for _, result in results for problem in result.problems)
    counts: Counter[str] = Counter()
    for _, result in results:
        counts.update(result.counts)
    problems += tuple(item.reason for _, item in found if isinstance(item, Failure))
    failures = [(window, reason) for window, result in found if (reason := _why_failed(result, rules)) is not None]
    if failures and len(failures) == len(found):
        reason = _summary(failures, len(found))
        prediction = Prediction(document.id, "failed", reason=reason, text_hash=hash_text(document.text))
        return Outcome(prediction, len(found), problems, counts)
    lost = {window.index for window, _ in failures}
    unread = tuple(_joined((window.own_start, window.own_end) for window, _ in failures))
    prediction = _answered(document, [item for item in results if item[0].index not in lost], unread, rules)
    if failures:
        prediction = replace(prediction, status="partial", reason=_summary(failures, len(found)), unread=unread)
    if added := sum(entity.source == "document" for entity in prediction.entities):
        counts["from-document"] = added
    return Outcome(prediction, len(found), problems, counts)


def failed(document: Document, reason: str) -> Outcome:
    """The outcome of a document that could not be worked on at all."""
    prediction = Prediction(document.id, "failed", reason=reason, text_hash=hash_text(document.text))
    return Outcome(prediction, problems=(reason,))


def unreadable(item: Unreadable) -> Outcome:
    """The outcome of a document that cannot be read; as a problem, it is counted without its place."""
    prediction = Prediction(item.id, "failed", reason=item.reason, input_hash=item.digest)
    return Outcome(prediction, problems=(f"unreadable: {item.reason.removeprefix(item.place).lstrip(',: ')}",))


def resolve_overlaps(entities: Iterable[VotedEntity], rules: MergeRules) -> list[VotedEntity]:
    """The entities that may stand together in a document, sorted by place and type.

    Each window has settled its own; two entities can still meet where one window's owned stretch ends and the next one
    begins. The one with the greater score stays, then the longer, then the earlier.
    """
    arrange = flatten if rules.flatten else nest
    settled = [
        entity for group in _overlapping(entities) for entity in (arrange(group, _score) if group[1:] else group)
    ]
    return sorted(settled, key=lambda entity: (entity.start, entity.end, entity.type))


def _overlapping(entities: Iterable[VotedEntity]) -> Iterable[list[VotedEntity]]:
    """Groups of entities that are chained by overlaps; comparing within these keeps long documents cheap."""
    group: list[VotedEntity] = []
    reach = -1
    for entity in sorted(entities, key=lambda entity: entity.start):
        if group and entity.start >= reach:
            yield group
            group = []
        group.append(entity)
        reach = max(reach, entity.end)
    if group:
        yield group


def _score(entity: VotedEntity) -> float:
    return entity.score or 0.0


def _answered(
    document: Document,
    results: Sequence[tuple[Window, WindowResult]],
    unread: Sequence[tuple[int, int]],
    rules: MergeRules,
) -> Prediction:
    entities = resolve_overlaps(
        (entity for window, result in results for entity in _owned(document, window, result)), rules
    )
    if rules.document_consistency:
        added = found_elsewhere(document.text, entities, unread)
        entities = sorted([*entities, *added], key=lambda entity: (entity.start, entity.end, entity.type))
    reason = _what_is_missing(results, rules)
    return Prediction(
        id=document.id,
        status="ok" if reason is None else "partial",
        entities=tuple(entities),
        surfaces=tuple(entity.span.surface(document.text) for entity in entities) if rules.with_text else None,
        members_answered=tuple(name for name in rules.languages if _answered_always(name, results, rules)),
        reason=reason,
        candidates=tuple(_candidates(results)) if rules.with_candidates else None,
        score_kind=results[0][1].score_kind if results else None,
        text_hash=hash_text(document.text),
    )


def _joined(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring stretches as one."""
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _candidates(results: Sequence[tuple[Window, WindowResult]]) -> Iterable[Candidate]:
    for window, result in results:
        for candidate in result.candidates:
            if window.owns(candidate.span):
                yield replace(candidate, span=candidate.span.shift(window.start))


def _owned(document: Document, window: Window, result: WindowResult) -> Iterable[VotedEntity]:
    where = f"document {document.id!r}, window {window.index}"
    for entity in result.entities:
        if window.owns(entity.span):
            moved = entity.span.shift(window.start)
            check_surface(document.text, moved, entity.span.surface(window.text), where)
            yield replace(entity, start=moved.start, end=moved.end)


def _why_failed(result: WindowResult | Failure, rules: MergeRules) -> str | None:
    if isinstance(result, Failure):
        return result.reason
    answered = len(result.members_answered)
    if answered >= rules.quorum:
        return None
    first = f"; {result.problems[0]}" if result.problems else ""
    return f"{answered} of {len(rules.languages)} members answered, the quorum is {rules.quorum}{first}"


def _summary(failures: Sequence[tuple[Window, str]], windows: int) -> str:
    window, reason = failures[0]
    more = f" (and {len(failures) - 1} more windows)" if len(failures) > 1 else ""
    return f"window {window.index + 1} of {windows}: {reason}{more}"


def _what_is_missing(results: Sequence[tuple[Window, WindowResult]], rules: MergeRules) -> str | None:
    problems = [problem for _, result in results for problem in result.problems]
    if problems:
        return problems[0] if len(problems) == 1 else f"{len(problems)} problems, the first: {problems[0]}"
    silent = [
        name for name in rules.languages if _asked(name, results, rules) and not _answered_always(name, results, rules)
    ]
    return f"no answer from {', '.join(silent)}" if silent else None


def _asked(name: str, results: Sequence[tuple[Window, WindowResult]], rules: MergeRules) -> bool:
    return any(window.language in rules.languages[name] for window, _ in results)


def _answered_always(name: str, results: Sequence[tuple[Window, WindowResult]], rules: MergeRules) -> bool:
    asked = [result for window, result in results if window.language in rules.languages[name]]
    return bool(asked) and all(name in result.members_answered for result in asked)
