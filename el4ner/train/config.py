"""The configuration of a training run: ``python -m el4ner.train --config FILE``."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from el4ner.config import (
    DemonstrationConfig,
    EmbedderConfig,
    LabelConfig,
    Language,
    MrcConfig,
    Section,
    absolute_path,
    include_files,
    locate_model,
    read_yaml,
    validate,
)
from el4ner.config.base import ANY_VALUE
from el4ner.errors import ConfigError
from el4ner.train.label_sets import SUFFIX as MARKED
from el4ner.train.label_sets import read_label_sets


class DataConfig(Section):
    """One labelled file to learn from."""

    path: str = Field(
        description="JSONL or CoNLL file; relative to the data root if one is given, else to the configuration. A .marks file "
        "(relative to the configuration) holds label sets with their languages, labels and sentences; each becomes an item."
    )
    section: str | None = Field(default=None, description="One set of a .marks file; null: all of them.")
    language: Language = Field(description="en or zh.")
    map: dict[str, str] = Field(
        default_factory=dict,
        description="Type names of the file to label names; empty: as they are. mrc asks about mapped types alone.",
    )
    labels: tuple[LabelConfig, ...] | None = Field(
        default=None,
        description="A label set of its own, or a YAML file of one (relative to the configuration); null: the configuration's.",
    )
    repeat: float = Field(
        default=1.0, gt=0, description="How often its sentences are seen in an epoch; below 1: a share of them."
    )
    licence: str = Field(default="", description="For the model card.")
    attribution: str = Field(default="", description="For the model card: whom to name.")
    changes: str = Field(default="", description="For the model card: what was changed in the texts.")


class TaskConfig(Section):
    """What is trained: how many examples of each task a sentence gives per epoch."""

    former_keys = MappingProxyType({"demonstrated": "with_demonstrations"})

    extract: float = Field(
        default=1.0, ge=0, description="Extraction conversations (zero-shot or with demonstrations)."
    )
    classify: float = Field(
        default=1.0, ge=0, description="Typing of each entity, and of as many spans (at least one) that are none."
    )
    verify: float = Field(default=0.5, ge=0, description="True or false of each of these candidates with some type.")
    mark: float = Field(
        default=0.0, ge=0, description="One pass, for members of role single-pass: the text copied with typed marks."
    )
    mrc: float = Field(
        default=0.0,
        ge=0,
        description="Reading comprehension: a question about each type that the sentence has, and about some that it has not; "
        "demonstrations as in the section mrc.",
    )
    negatives: float = Field(
        default=1.0,
        ge=0,
        description="mrc: questions answered none for each other question of the sentence (for one, where it has no entity); "
        "their types are drawn by chance. At inference all types are asked about.",
    )
    with_demonstrations: tuple[Literal["extract", "classify", "mark"], ...] = Field(
        default=("extract", "classify", "mark"),
        description="Tasks that are shown demonstrations (verification never is).",
    )
    zero_shot: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of their conversations without demonstrations; for mrc, of the sentences.",
    )

    def only(self, task: str) -> "TaskConfig":
        """These settings with that task alone, once a sentence if it was off."""
        tasks = ("extract", "classify", "verify", "mark", "mrc")
        return self.model_copy(update={name: (getattr(self, name) or 1.0) if name == task else 0.0 for name in tasks})


class SchemaConfig(Section):
    """Task mark: label sets that differ from conversation to conversation, so that a model learns to read them.

    Types are always named in another order. The answers hold the mentions of the types that are asked about, and no others.
    """

    former_keys = MappingProxyType(
        {
            "subset": "subset_share",
            "renamed": "synonym_share",
            "distracted": "distractor_share",
            "undefined": "undefined_share",
        }
    )

    subset_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the conversations that ask about some of the types alone."
    )
    synonym_share: float = Field(
        default=0.0, ge=0, le=1, description="Chance that a type with synonyms is called by one of them."
    )
    synonyms: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Other words for a type, by the word that its label set has for it; or a YAML file of them.",
    )
    distractor_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the conversations that also ask about one or two distractors."
    )
    distractors: tuple[LabelConfig, ...] = Field(
        default=(), description="Types of which the texts have hardly a mention, or a YAML file of them."
    )
    undefined_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the conversations that give no definitions."
    )

    @model_validator(mode="after")
    def _has_distractors(self) -> "SchemaConfig":
        if self.distractor_share and not self.distractors:
            raise ValueError("schemas.distractor_share needs distractors; name some types, or set it to 0")
        return self


class WindowConfig(Section):
    """Windows of several sentences, as documents are cut into."""

    share: float = Field(
        default=0.0, ge=0, le=1, description="Chance that a sentence is read with those that follow in its file."
    )
    max_columns: int = Field(
        default=200,
        ge=2,
        description="Widest window (a Chinese character is 2 wide); half of it to all of it is filled.",
    )


class LoraConfig(Section):
    """Low-rank adapters (PEFT) instead of tuning all weights."""

    start: str | None = Field(
        default=None,
        description="Folder of an adapter to go on from, relative to the configuration; rank and targets as it has. null: new.",
    )
    rank: Literal[1, 8, 16, 32, 64, 128, 256] = Field(default=16, description="One of the ranks that vLLM can serve.")
    alpha: int = Field(default=32, ge=1, description="Scale of the update; twice the rank is usual.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout inside the adapter.")
    targets: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "down_proj"),
        description="Modules to adapt, by the end of their names; all must exist. Fused modules cannot be served by vLLM.",
    )
    served: bool = Field(
        default=True,
        description="Whether vLLM is to serve the adapter: its modules are checked before training. false: it will be merged.",
    )
    base_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Precision of the frozen weights in memory; the adapter itself is float32."
    )
    quantize: Literal["nf4"] | None = Field(
        default=None, description="nf4: frozen linear layers in 4 bits (QLoRA); needs the package bitsandbytes."
    )


class OptimisationConfig(Section):
    """How the weights are changed."""

    deleted_keys = MappingProxyType({"pack_rows": (ANY_VALUE, "share_prefix is what saves time; the loss is the same")})

    epochs: float = Field(default=3.0, gt=0, description="Passes over the data.")
    learning_rate: float = Field(default=2e-4, gt=0, description="Peak learning rate (AdamW).")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        default="linear", description="After warm-up."
    )
    warmup: float = Field(default=0.03, ge=0, lt=1, description="Share of the steps.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW.")
    batch_tokens: int = Field(default=4096, ge=64, description="Tokens of one step on the device, padding included.")
    accumulate: int = Field(default=1, ge=1, description="Device steps per update.")
    max_length: int = Field(
        default=512, ge=32, description="Longer conversations lose demonstrations, then are left out and counted."
    )
    share_prefix: bool = Field(
        default=False,
        description="Questions about one sentence read it once: fewer tokens where there are several. Needs a model "
        "without sliding window or recurrence, and no gradient_checkpointing.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the model's layers with PyTorch (needs a C++ compiler on a CPU; half a minute to two at the start).",
    )
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="bfloat16: mixed precision.")
    gradient_checkpointing: bool = Field(default=False, description="Less memory for about a third more time.")
    max_steps: int = Field(default=0, ge=0, description="Stop after so many updates; 0: after the epochs.")
    max_minutes: float = Field(
        default=0,
        ge=0,
        description="Train for so many minutes (from each start; encoding not counted), the schedule laid out over them "
        "instead of over the steps; 0: no such limit.",
    )

    @model_validator(mode="after")
    def _keeps_what_it_shares(self) -> "OptimisationConfig":
        if self.share_prefix and self.gradient_checkpointing:
            raise ValueError("share_prefix keeps keys and values, gradient_checkpointing drops them; set one of them")
        return self


class EvaluationConfig(Section):
    """Held-out sentences, and when to stop."""

    fraction: float = Field(default=0.02, ge=0, lt=0.5, description="Share of the sentences that is held out.")
    every_steps: int = Field(default=500, ge=1, description="Updates between evaluations and checkpoints.")
    patience: int = Field(
        default=0, ge=0, description="Evaluations without a better loss before stopping; 0: never stop early."
    )


class TrainConfig(Section):
    """The whole configuration of a training run."""

    model: str = Field(
        description="Folder of the causal language model to tune, relative to the configuration; or a name of "
        "el4ner.models."
    )
    output: str = Field(description="Folder for the tuned model (or adapter) and its card; relative as well.")
    title: str = Field(default="", description="Name on the model card.")
    base_credit: str = Field(default="", description="For the model card: origin and licence of the base.")
    prompt_style: str = Field(
        default="full", description="As in the ensemble's configuration: the prompts are the same."
    )
    answer_format: Literal["inline", "lines", "json"] = Field(
        default="inline", description="As in the ensemble's configuration."
    )
    labels: tuple[LabelConfig, ...] = Field(min_length=1, description="The entity types.")
    data: tuple[DataConfig, ...] = Field(min_length=1, description="Labelled files.")
    repeat: dict[Language, float] = Field(
        default_factory=dict,
        description="Per language, how often its sentences are seen, times each file's own repeat.",
    )
    tasks: TaskConfig = TaskConfig()
    schemas: SchemaConfig = SchemaConfig()
    windows: WindowConfig = WindowConfig()
    mrc: MrcConfig = Field(
        default=MrcConfig(),
        description="Questions, as in the ensemble's configuration: the member is asked as it was tuned.",
    )
    demonstrations: DemonstrationConfig = Field(
        default=DemonstrationConfig(k=2),
        description="Retrieved from the training data, the sentence itself excluded; k is the most.",
    )
    embedder: EmbedderConfig = EmbedderConfig()
    lora: LoraConfig | None = Field(default=None, description="null: all weights are tuned.")
    optimisation: OptimisationConfig = OptimisationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="auto: a card where there is one; cuda: the first one that CUDA_VISIBLE_DEVICES leaves.",
    )
    seed: int = Field(default=13, description="Seed of everything random.")

    @model_validator(mode="after")
    def _stops_by_held_out_loss(self) -> "TrainConfig":
        if self.evaluation.patience and not self.evaluation.fraction:
            raise ValueError(
                "evaluation.patience needs held-out sentences; raise evaluation.fraction, or set patience: 0"
            )
        return self

    @model_validator(mode="after")
    def _repeats(self) -> "TrainConfig":
        if any(times <= 0 for times in self.repeat.values()):
            raise ValueError("repeat must be above 0; leave a language's files out of data instead")
        return self

    @model_validator(mode="after")
    def _mapped_to_labels(self) -> "TrainConfig":
        for data in self.data:
            names = {label.name for label in data.labels or self.labels}
            if unknown := sorted(set(data.map.values()) - names):
                raise ValueError(f"data.map leads to {', '.join(unknown)}; labels are {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _label_sets_are_marked(self) -> "TrainConfig":
        others = [name for name in ("extract", "classify", "verify", "mrc") if getattr(self.tasks, name)]
        if others and any(data.labels for data in self.data):
            raise ValueError(
                f"data.labels is for tasks.mark alone; set {', '.join(others)} to 0, or leave data.labels out"
            )
        return self


def load_train_config(path: Path, data_root: Path | None = None, data: Path | None = None) -> TrainConfig:
    """Read and check a training configuration; ``data: FILE`` takes the list of data from another YAML file.

    The paths of ``model`` and ``output`` are relative to the configuration; ``bundled:`` names what el4ner brings.

    Args:
        path: the configuration.
        data_root: folder that its data paths are relative to; else that of the configuration.
        data: a YAML file with another list of data.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    raw = read_yaml(path)
    if data is not None and isinstance(raw, dict):
        raw = raw | {"data": str(data.resolve())}
    raw = _with_label_files(include_files(raw, path.parent, ["data", "labels"]), path.parent)
    config = validate(TrainConfig, raw, str(path))
    root = data_root or path.parent
    placed = tuple(
        item.model_copy(
            update={
                "path": str((root / item.path).resolve()),
                "repeat": item.repeat * config.repeat.get(item.language, 1.0),
            }
        )
        for item in config.data
    )
    missing = [item.path for item in placed if not Path(item.path).is_file()]
    if missing:
        raise ConfigError(
            f"{path}: {len(missing)} data file(s) missing, first {missing[0]}; give their folder with --data-root"
        )
    places: dict[str, Any] = {
        "model": locate_model(config.model, path.parent),
        "output": absolute_path(config.output, path.parent),
    }
    if config.lora is not None and config.lora.start is not None:
        start = absolute_path(config.lora.start, path.parent)
        if not Path(start, "adapter_config.json").is_file():
            raise ConfigError(
                f"{path}: lora.start {start} is no adapter; name a folder that training wrote, or leave it out"
            )
        places["lora"] = config.lora.model_copy(update={"start": start})
    return config.model_copy(update={"data": placed, **places})


def _with_label_files(raw: Any, base: Path) -> Any:
    """The same with the label sets of data files, and distractors, in place of the YAML files that hold them."""
    if not isinstance(raw, dict):
        return raw
    if isinstance(raw.get("data"), list):
        raw = raw | {
            "data": [each for item in raw["data"] for each in _marked_sets(include_files(item, base, ["labels"]), base)]
        }
    if isinstance(raw.get("schemas"), dict):
        raw = raw | {"schemas": include_files(raw["schemas"], base, ["distractors", "synonyms"])}
    return raw


def _marked_sets(item: Any, base: Path) -> list[Any]:
    """An item of the data; one for each label set where it names a file of marked sentences."""
    path = item.get("path") if isinstance(item, dict) else None
    if not isinstance(path, str) or not path.endswith(MARKED):
        return [item]
    place, wanted = (base / path).resolve(), item.get("section")
    sets = read_label_sets(place)
    if wanted is not None and wanted not in [one.name for one in sets]:
        raise ConfigError(f"{place} has no set {wanted}; it has: {', '.join(one.name for one in sets)}")
    return [
        item | {"path": str(place), "section": one.name, "language": one.language, "labels": one.labels}
        for one in sets
        if wanted in (None, one.name)
    ]
