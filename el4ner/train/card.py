"""The model card that training writes beside the weights."""

from collections.abc import Mapping, Sequence

from el4ner.config import LabelConfig
from el4ner.engines.tuning_record import TuningRecord
from el4ner.prompts.render import Prompts
from el4ner.train.config import TrainConfig


def model_card(config: TrainConfig, figures: Mapping[str, object], counts: Mapping[str, int]) -> str:
    """Markdown: what it is, what it learnt from and under which licences, how, and the figures of the run."""
    return "\n".join(
        [
            f"# {config.title or 'Tuned model'}",
            "",
            "Tuned by `python -m el4ner.train` on el4ner's own prompts "
            f"(style `{config.prompt_style}`, answers `{config.answer_format}`).{_questions(config)}",
            "",
            f"Base: {config.base_credit or config.model}",
            "",
            "## Labels",
            "",
            *_label_rows(config),
            "",
            "## Data",
            "",
            "| set | language | licence | attribution | changes in the text |",
            "|---|---|---|---|---|",
            *_data_rows(config),
            "",
            "Entities of other types were left out. TrainingSets of others are not part of this repository.",
            "",
            "## Training",
            "",
            *(f"- {name}: {value}" for name, value in counts.items()),
            f"- epochs: {config.optimisation.epochs}, peak learning rate: {config.optimisation.learning_rate},"
            f" tokens a step: {config.optimisation.batch_tokens}, seed: {config.seed}",
            *(f"- {name}: {value}" for name, value in figures.items()),
            "",
        ]
    )


def _label_rows(config: TrainConfig) -> Sequence[str]:
    labels = [label for labels in _label_sets(config) for label in labels]
    if _is_general(config):
        sets = len({tuple(label.name for label in labels) for labels in _label_sets(config)})
        types = len({(label.name, label.definition("en")) for label in labels})
        return [f"Any: it learnt to read {sets} label sets with {types} types, in parts, with definitions and without."]
    return list(dict.fromkeys(f"- {label.name}: {label.definition('en') or label.word('en')}" for label in labels))


def _label_sets(config: TrainConfig) -> list[tuple[LabelConfig, ...]]:
    """The label sets of the data files, and the configuration's where a file has none of its own."""
    return [data.labels or config.labels for data in config.data]


def tuning_record_of(config: TrainConfig) -> TuningRecord:
    """What the model is shown, for the note that the pipeline reads."""
    tasks, prompts = config.tasks, Prompts(config.prompt_style, config.labels)
    texts = {data.language for data in config.data}
    spoken = texts if tasks.mrc or tasks.mark else set()
    if tasks.extract or tasks.classify or tasks.verify:
        spoken = spoken | {prompts.words(language) for language in texts}
    if _is_general(config):
        return TuningRecord(config.prompt_style, (), general=True)
    words = {label.word(language) for labels in _label_sets(config) for label in labels for language in spoken}
    return TuningRecord(config.prompt_style, tuple(sorted(words)))


def _is_general(config: TrainConfig) -> bool:
    """Whether it learnt to read label sets: several, each in parts, with definitions."""
    several = len({tuple(label.name for label in labels) for labels in _label_sets(config)}) > 1
    return bool(config.tasks.mark and several and config.schemas.subset_share)


def _questions(config: TrainConfig) -> str:
    if config.tasks.mark:
        return " In the role `single-pass` it copies the text with typed marks."
    if not config.tasks.mrc:
        return ""
    types = config.mrc.types_per_call
    asked = "one question a type" if types == 1 else f"about up to {types} types at once"
    marked = ", and answers with the text and marks" if config.mrc.answers == "marked" else ""
    return f" In the role `mrc` it is asked {asked}{marked}."


def _data_rows(config: TrainConfig) -> Sequence[str]:
    unknown = "not stated"
    rows = dict.fromkeys(
        (d.path.rsplit("/", 2)[-2], d.language, d.licence or unknown, d.attribution or unknown, d.changes or "none")
        for d in config.data
    )
    return [f"| {' | '.join(row)} |" for row in rows]
