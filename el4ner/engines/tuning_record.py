"""What a tuned model was shown in training, as training notes it beside the weights, and whether it can be asked something else.

A model that was tuned on short prompts with some labels answers "none" to all others, and a run of such members ends with no
entity and no complaint. Models without a note, such as published ones, are never complained about.
"""

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from el4ner.config import Config, LabelConfig, Language, MemberConfig
from el4ner.errors import ConfigError, ModelError
from el4ner.models.weights import TUNING_RECORD_FILE
from el4ner.prompts.formats import answer_format
from el4ner.prompts.marking import Marking
from el4ner.prompts.questions import Questions
from el4ner.prompts.render import Prompts
from el4ner.text.files import load_json

FORMAT = 1
log = logging.getLogger(__name__)
_PROBE = "definition-probe-7"


@dataclass(frozen=True, slots=True)
class TuningRecord:
    """What a model learnt from.

    Attributes:
        prompt_style: of its prompts.
        words: what the labels were called in them, in all languages; sorted. Empty where it learnt to read any.
        general: whether it learnt to read label sets by their definitions.
    """

    prompt_style: str
    words: tuple[str, ...]
    general: bool = False

    def knows(self, word: str) -> bool:
        """Whether a label was called so."""
        return word.casefold() in map(str.casefold, self.words)


def write_tuning_record(folder: Path, *notes: TuningRecord | None) -> None:
    """Note in a model's or an adapter's folder what it learnt from, one tuning after the other; nothing where there is none."""
    tuned = _together([note for note in notes if note is not None])
    if tuned is not None:
        text = json.dumps({"format": FORMAT, **asdict(tuned)}, ensure_ascii=False, indent=2)
        (folder / TUNING_RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def read_tuning_record(*places: Path | str | None) -> TuningRecord | None:
    """The notes of a model and what was put on it, taken together; None: there is none.

    Args:
        places: folders, or files in them, the last one tuned last; None is passed over.

    Raises:
        ModelError: a note cannot be read.
    """
    named = [Path(place) for place in places if place is not None]
    files = [(place.parent if place.is_file() else place) / TUNING_RECORD_FILE for place in named]
    return _together([_read(file) for file in dict.fromkeys(files) if file.is_file()])


def check_labels(config: Config) -> None:
    """Refuse tuned members that are asked about labels which nothing explains to them; warn where definitions might do.

    Raises:
        ConfigError: there are such members; the message names them, the labels, and what to do.
        ModelError: what a model was tuned on cannot be read.
    """
    refused: list[str] = []
    for member in config.members:
        tuned = None if member.allow_unseen_labels else read_tuning_record(*_weights(member))
        if tuned is None:
            continue
        unknown = _unknown(tuned, member, config)
        if not tuned.general and any(not explained for explained in unknown.values()):
            refused.append(f"{member.name}: {', '.join(unknown)} (it was tuned on: {', '.join(tuned.words)})")
        else:
            for doubt in _doubts(tuned, member, unknown, config):
                log.warning("member %s %s", member.name, doubt)
    if refused:
        raise ConfigError(
            "members are asked about labels that their tuning never showed, in prompts that do not define them:\n"
            + "".join(f"  - {line}\n" for line in refused)
            + "Such members find nothing. Take members that read any label set (configs/default.yaml), or tune these on your "
            "labels (python -m el4ner.train); allow_unseen_labels: true asks all the same"
        )


def _weights(member: MemberConfig) -> Sequence[str | None]:
    """Where a member's weights lie, as far as they are at hand."""
    if member.engine == "local":
        return member.model, member.adapter
    return (member.serve.model, member.serve.adapter) if member.serve else ()


def _unknown(tuned: TuningRecord, member: MemberConfig, config: Config) -> dict[str, bool]:
    """Labels that are called something else than in training, as a message names them; whether the prompts define each."""
    languages, defines = _languages(member, config), _defines(member)
    unknown: dict[str, bool] = {}
    for label in config.labels:
        words = {language: label.word(language) for language in languages}
        if words and not any(map(tuned.knows, words.values())):
            others = [word for word in dict.fromkeys(words.values()) if word.casefold() != label.name.casefold()]
            name = f"{label.name} ({', '.join(others)})" if others else label.name
            unknown[name] = defines and all(map(label.definition, languages))
    return unknown


def _doubts(tuned: TuningRecord, member: MemberConfig, unknown: Collection[str], config: Config) -> Iterator[str]:
    """What a member that may work all the same should be warned of."""
    if unknown and not tuned.general:
        known = ", ".join(tuned.words)
        yield f"was never tuned on {', '.join(unknown)} and has definitions alone to go by; it was tuned on: {known}"
        return
    for language in () if tuned.general else _languages(member, config):
        if not any(tuned.knows(label.word(language)) for label in config.labels):
            yield f"was never shown the label words of {language}; leave {language} out of its languages"
    if tuned.prompt_style != member.prompt_style:
        yield f"was tuned on prompts of style {tuned.prompt_style} and is asked in style {member.prompt_style}"


def _languages(member: MemberConfig, config: Config) -> list[Language]:
    """The languages whose label words the member reads."""
    texts = [language for language in member.languages if config.language in ("auto", language)]
    if member.role != "el4ner":
        return texts
    prompts = Prompts.of(member.prompt_style, config)
    return list(dict.fromkeys(prompts.words(language) for language in texts))


def _defines(member: MemberConfig) -> bool:
    """Whether the member's prompts hold definitions of the labels: found out by rendering one."""
    labels = [LabelConfig(name="X", words={"en": "x"}, definitions={"en": _PROBE})]
    if member.role == "mrc":
        messages = Questions(member.prompt_style, labels).ask("en", "x", ("X",), ())
    elif member.role == "single-pass":
        messages = Marking(member.prompt_style, labels).ask("en", "x", ())
    else:
        messages = Prompts(member.prompt_style, labels).extract("en", "x", (), answer_format("lines"))
    return any(_PROBE in message.content for message in messages)


def _together(notes: Sequence[TuningRecord]) -> TuningRecord | None:
    if not notes:
        return None
    words = sorted({word for note in notes for word in note.words})
    return TuningRecord(notes[-1].prompt_style, tuple(words), any(note.general for note in notes))


def _read(file: Path) -> TuningRecord:
    try:
        content = load_json(file)
        if content["format"] != FORMAT:
            raise ValueError
        words = tuple(map(str, content["words"]))
        return TuningRecord(str(content["prompt_style"]), words, bool(content.get("general", False)))
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(
            f"{file} does not say what the model was tuned on; tune it again, or remove that file"
        ) from None
