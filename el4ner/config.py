"""The configuration of an ensemble: one YAML file, every key with its meaning, all mistakes reported at once."""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from el4ner.errors import ConfigError

Language = Literal["en", "zh"]
Word = Annotated[str, Field(min_length=1, pattern=r"^\S(.*\S)?$")]
"""What the models call a type: on one line, without white space around it."""
SectionT = TypeVar("SectionT", bound=BaseModel)
BUNDLED = "bundled:"
"""Prefix of paths that lie inside the package, for instance ``bundled:models/opt``."""


class Section(BaseModel):
    """A part of a configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class LabelConfig(Section):
    """One entity type."""

    name: str = Field(min_length=1, description="The type as it stands in predictions and gold data, for instance PER.")
    words: dict[Language, Word] = Field(
        min_length=1, description="What the models call it, per language; short and distinct."
    )
    definitions: dict[Language, str] = Field(
        default_factory=dict, description="One sentence per language: what it covers."
    )

    def word(self, language: Language) -> str:
        """What the models call this type in that language; falls back to any language that has a word."""
        return self.words.get(language) or next(iter(self.words.values()))

    def definition(self, language: Language) -> str:
        """The definition in that language, or any other; empty if there is none."""
        return self.definitions.get(language) or next(iter(self.definitions.values()), "")


class ServeConfig(Section):
    """How a member is served by vLLM on this machine; without it, its endpoint is served by somebody else."""

    model: str = Field(description="Folder of the weights (safetensors), or bundled:NAME.")
    adapter: str | None = Field(default=None, description="Folder of a LoRA adapter to put on the model.")
    context: int = Field(default=4096, ge=128, description="Longest prompt and answer together, in tokens.")
    concurrency: int | None = Field(
        default=None, ge=1, description="Requests in the engine at once; null: the member's concurrency."
    )
    kv_tokens: int | None = Field(
        default=None, ge=128, description="Tokens the KV cache holds; null: context x concurrency, which never waits."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: as stored; weights stored in float32 become bfloat16 on a GPU."
    )
    quantization: Literal["fp8"] | None = Field(
        default=None, description="fp8: quantise linear layers while loading; null: as stored."
    )
    tensor_parallel: int | None = Field(
        default=None, ge=1, description="Cards that share one copy; null: as few as it fits on."
    )
    replicas: int | Literal["spare"] = Field(
        default=1, description="Copies behind the endpoint; spare: further ones on cards that nothing else uses."
    )
    extra_args: tuple[str, ...] = Field(
        default=(), description="Further arguments for vLLM, for instance --enforce-eager."
    )

    @model_validator(mode="after")
    def _sizes(self) -> "ServeConfig":
        if isinstance(self.replicas, int) and self.replicas < 1:
            raise ValueError("replicas must be at least 1, or spare")
        if self.kv_tokens is not None and self.kv_tokens < self.context:
            raise ValueError(f"kv_tokens {self.kv_tokens} hold no request of context {self.context}; raise kv_tokens")
        return self


class ServingConfig(Section):
    """The servers that ``el4ner.serve`` starts, taken together."""

    python: str | None = Field(
        default=None,
        description="Interpreter that has vLLM; null: environment variable EL4NER_VLLM_PYTHON, else this one.",
    )
    state: str | None = Field(
        default=None, description="Folder of logs and state; null: a folder of its own under ~/.local/state/el4ner."
    )
    api_key_file: str | None = Field(
        default=None, description="File (mode 0600) with the API key, where api_key_env is not set in the environment."
    )
    ready_s: float = Field(default=900.0, gt=0, description="Seconds a server may take to complete its first token.")
    restarts: int = Field(default=3, ge=0, description="Restarts of one server within an hour before it is given up.")
    memory_share: float = Field(
        default=0.92, gt=0.1, le=0.98, description="Share of a device's memory that a plan may fill."
    )


class MemberConfig(Section):
    """One language model."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name in votes and reports.")
    engine: Literal["local", "vllm", "recorded"] = Field(
        description="local: Transformers in process. vllm: an OpenAI-compatible endpoint. recorded: answers from a file."
    )
    model: str = Field(
        description="local: a model folder, or bundled:NAME. vllm: the served model name. recorded: the JSONL file of answers."
    )
    revision: str | None = Field(default=None, description="Revision of the weights; part of the cache key.")
    adapter: str | None = Field(default=None, description="local: folder of a PEFT adapter to put on the model.")
    endpoint: str | None = Field(default=None, description="vllm: base URL, for instance http://127.0.0.1:8001/v1.")
    api_key_env: str | None = Field(default=None, description="vllm: environment variable that holds the API key.")
    prompt_style: str = Field(
        default="full", description="Template set: full for instruction-tuned models, compact for tiny tuned ones."
    )
    answer_format: Literal["inline", "lines", "json"] = Field(
        default="inline", description="How it marks mentions: the sentence copied with marks, one a line, or JSON."
    )
    weight: dict[Language, float] = Field(
        default_factory=dict,
        description="How much its vote counts in a language, 1 if it is not named; measure members on labelled sentences.",
    )
    languages: tuple[Language, ...] = Field(
        default=("en", "zh"), description="Windows of other languages are not sent to it."
    )
    device: str = Field(default="cpu", description="local: cpu, cuda or cuda:N.")
    dtype: Literal["float32", "bfloat16", "float16", "int8"] = Field(
        default="float32",
        description="local: precision of the weights; int8: linear layers in 8 bits, on the CPU alone, about twice as fast.",
    )
    batch_tokens: int = Field(default=4096, ge=64, description="local: most tokens (padding included) in one batch.")
    constrain: bool = Field(
        default=True, description="Let the engine hold inline answers to a copy with marks, and choices to the list."
    )
    concurrency: int = Field(default=32, ge=1, description="vllm: requests under way at once.")
    timeout_s: float = Field(default=120.0, gt=0, description="vllm: seconds before a request counts as failed.")
    retries: int = Field(
        default=4, ge=0, description="vllm: further tries after a failure that may pass (429, 5xx, cut connection)."
    )
    thinking: bool = Field(
        default=False, description="vllm: whether a thinking model may think; off is right for extraction."
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Arguments for the model's chat template."
    )

    serve: ServeConfig | None = Field(
        default=None, description="vllm: how el4ner.serve runs it here; null: the endpoint is served by somebody else."
    )

    @model_validator(mode="after")
    def _engine_fields(self) -> "MemberConfig":
        if self.dtype == "int8" and self.device != "cpu":
            raise ValueError("dtype int8 works on the CPU alone; on a GPU use float16 or bfloat16")
        if any(weight <= 0 for weight in self.weight.values()):
            raise ValueError("weight must be above 0; leave a language out of languages instead")
        if self.engine == "vllm" and not self.endpoint:
            raise ValueError("engine vllm needs an endpoint, for instance http://127.0.0.1:8001/v1")
        if self.engine != "vllm" and self.endpoint:
            raise ValueError(f"engine {self.engine} takes no endpoint; use engine: vllm or delete it")
        if self.adapter and self.engine != "local":
            raise ValueError("adapter is for engine local; with vllm, name the served adapter as the model")
        if self.serve and self.engine != "vllm":
            raise ValueError(f"serve is for engine vllm; engine {self.engine} needs no server")
        if not self.languages:
            raise ValueError("languages is empty; name en, zh or both")
        return self


class PoolConfig(Section):
    """The labelled sentences that demonstrations come from."""

    path: str | None = Field(
        default=None, description="JSONL or CoNLL file of labelled sentences, or bundled:pool; null: zero-shot."
    )
    index: str | None = Field(
        default=None, description="Folder written by el4ner.index; null: built in memory at start (gold spans only)."
    )
    spans: Literal["gold", "pre-extracted"] = Field(
        default="gold",
        description="Which pool spans are compared: the labelled ones, or those the members found (the paper).",
    )


class EmbedderConfig(Section):
    """What turns spans and sentences into vectors."""

    kind: Literal["static", "sentence-transformers"] = Field(
        default="static", description="static: a token-vector table, no network."
    )
    path: str = Field(default="bundled:embedder", description="Its folder, or bundled:embedder.")
    device: str = Field(default="cpu", description="sentence-transformers: device.")
    batch_size: int = Field(default=256, ge=1, description="sentence-transformers: texts a batch.")


class DemonstrationConfig(Section):
    """How demonstrations are chosen (EL4NER, span-level sentence similarity)."""

    method: Literal["none", "random", "sentence", "span"] = Field(
        default="span", description="none, random, nearest sentence vector, or SpanSim."
    )
    k: int = Field(default=5, ge=0, le=64, description="Demonstrations per prompt.")
    weights: Literal["uniform", "pos", "labels"] = Field(
        default="labels", description="Span weights: all 1; part of speech (4/2/1/0); label statistics of the pool."
    )
    pos_pipelines: dict[Language, str] = Field(default_factory=dict, description="pos: spaCy pipeline per language.")
    candidates: int = Field(
        default=64, ge=1, description="Pool spans that FAISS fetches per input span before exact SpanSim."
    )
    index: Literal["flat", "hnsw", "ivf"] = Field(
        default="flat", description="FAISS index: exact, or approximate for big pools."
    )
    fallback: Literal["sentence", "random", "none"] = Field(
        default="sentence",
        description="Where no span was found or all weights are 0: nearest sentences, random ones, or none.",
    )
    same_language: bool = Field(default=True, description="Only demonstrations in the window's language.")
    order: Literal["best-last", "best-first", "random"] = Field(
        default="best-last", description="Their order in the prompt."
    )
    diversity: float = Field(
        default=0.0, ge=0, le=1, description="0: by similarity alone; above: maximal marginal relevance."
    )
    seed: int = Field(default=13, description="Seed of random choices.")


class ExtractConfig(Section):
    """Stages 1 and 3: spans by every member, united."""

    pre_extract: bool = Field(
        default=True, description="Zero-shot pass before retrieval; off: its spans are not there to retrieve by."
    )
    few_shot: bool = Field(
        default=True, description="Pass with demonstrations; off: the spans of the zero-shot pass go on."
    )
    keep_pre_extracted: bool = Field(
        default=False, description="Whether spans of the zero-shot pass alone are candidates as well."
    )
    min_members: int = Field(
        default=1, ge=1, description="Members that must have found a span; 1 is the paper's union."
    )
    occurrences: Literal["all", "marked"] = Field(
        default="all",
        description="all: every occurrence of a found mention; marked: those the answer marks (inline only).",
    )
    max_mention_chars: int = Field(default=200, ge=1, description="Longer mentions are dropped and counted.")
    max_answer_tokens: int = Field(default=1024, ge=16, description="Upper bound of an extraction answer.")


class ClassifyConfig(Section):
    """Stage 4: the type of each candidate by every member's vote."""

    rule: Literal["plurality", "majority", "probability"] = Field(
        default="plurality",
        description="plurality: most votes; majority: over half; probability: mean probability of soft votes.",
    )
    tie: Literal["none", "probability", "order"] = Field(
        default="none",
        description="none: no entity; probability: higher mean probability; order: the type listed first.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="rule probability: a candidate is an entity from this mean probability of being one on; null: where "
        "some type is more probable than none. For the best F1 it lies below one half.",
    )
    abstention: Literal["ignore", "none"] = Field(
        default="ignore", description="A member that could not answer: not counted, or counted as a vote for no entity."
    )
    k: int | None = Field(
        default=None,
        ge=0,
        description="Demonstrations of a typing prompt, the most similar ones; null: as many as extraction.",
    )
    mark: Literal["occurrence", "surface"] = Field(
        default="occurrence",
        description="Ask about each place of a mention (marked in the sentence) or once per surface.",
    )

    @model_validator(mode="after")
    def _threshold_of_probabilities(self) -> "ClassifyConfig":
        if self.threshold is not None and self.rule != "probability":
            raise ValueError("classify.threshold counts for rule: probability alone; set that rule, or leave it out")
        return self


class VerifyConfig(Section):
    """Stage 5: self-validation of typed candidates."""

    mode: Literal["off", "one", "all", "doubtful"] = Field(
        default="one", description="off; one member; all members by majority; one member, on doubtful pairs only."
    )
    member: str | None = Field(default=None, description="The judge for one and doubtful; null: the first member.")
    on_reject: Literal["drop", "retype", "flag"] = Field(
        default="drop",
        description="drop the entity; give it the type with the next most votes; keep it with verified: false.",
    )
    doubtful_below: float = Field(
        default=1.0, gt=0, le=1, description="doubtful: pairs whose share of votes is below this."
    )
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="Reject where the judge's probability of true is below this."
    )


class WindowConfig(Section):
    """How long documents are cut. Width is in columns: a CJK character is 2 wide, others 1."""

    max_columns: int = Field(default=1200, ge=40, description="Widest text given to a model at once.")
    overlap_columns: int = Field(default=200, ge=0, description="Context that neighbouring windows share.")

    @model_validator(mode="after")
    def _fits(self) -> "WindowConfig":
        if self.overlap_columns * 2 > self.max_columns:
            raise ValueError("overlap_columns may be at most half of max_columns")
        return self


class EntityConfig(Section):
    """What may stand in the output."""

    nested: Literal["keep", "flatten"] = Field(
        default="flatten",
        description="keep overlapping entities, or flatten: most votes first, then the longer, then the earlier.",
    )


class BatchConfig(Section):
    """How a job over many documents runs."""

    windows_in_flight: int = Field(default=64, ge=1, description="Windows under way at once, over all documents.")
    documents_in_flight: int = Field(default=64, ge=1, description="Documents under way at once; bounds memory.")
    quorum: int = Field(
        default=1, ge=1, description="Members that must answer a window's extraction; fewer: the document failed."
    )
    cache: bool = Field(default=False, description="Keep answers on disk (mode 0600, holds text) in the output folder.")


class Config(Section):
    """The whole configuration."""

    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="Language of the documents; auto: by script, per window."
    )
    labels: tuple[LabelConfig, ...] = Field(min_length=1, description="The entity types.")
    none_words: dict[Language, Word] = Field(
        default={"en": "none", "zh": "无"}, description="What the models call a candidate that is no entity."
    )
    members: tuple[MemberConfig, ...] = Field(min_length=1, description="The language models.")
    pool: PoolConfig = PoolConfig()
    embedder: EmbedderConfig = EmbedderConfig()
    demonstrations: DemonstrationConfig = DemonstrationConfig()
    extract: ExtractConfig = ExtractConfig()
    classify: ClassifyConfig = ClassifyConfig()
    verify: VerifyConfig = VerifyConfig()
    windows: WindowConfig = WindowConfig()
    entities: EntityConfig = EntityConfig()
    batch: BatchConfig = BatchConfig()
    serving: ServingConfig = Field(default=ServingConfig(), exclude=True)
    allow_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts besides loopback that documents may be sent to."
    )
    seed: int = Field(default=13, description="Seed of everything random.")

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        problems = [
            *_repeated("label", [label.name for label in self.labels]),
            *_repeated("member", [member.name for member in self.members]),
        ]
        for language in ("en", "zh"):
            words = [label.word(language) for label in self.labels] + [self.none_words.get(language, "none")]
            problems += _repeated(f"{language} label word", [word.casefold() for word in words])
        names = [member.name for member in self.members]
        if self.verify.member is not None and self.verify.member not in names:
            problems.append(f"verify.member {self.verify.member!r} is no member; members are {', '.join(names)}")
        if self.extract.min_members > len(names):
            problems.append(f"extract.min_members is {self.extract.min_members}, but there are {len(names)} members")
        if self.batch.quorum > len(names):
            problems.append(f"batch.quorum is {self.batch.quorum}, but there are {len(names)} members")
        if not (self.extract.pre_extract or self.extract.few_shot):
            problems.append("extract.pre_extract and extract.few_shot are both off; nothing would be found")
        if self.demonstrations.method == "span" and not self.extract.pre_extract:
            problems.append("demonstrations.method span needs extract.pre_extract: true; or use method: sentence")
        if self.demonstrations.weights == "pos" and not self.demonstrations.pos_pipelines:
            problems.append("demonstrations.weights pos needs pos_pipelines, for instance {en: en_core_web_sm}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the entity types, in order."""
        return tuple(label.name for label in self.labels)

    def hash(self) -> str:
        """The sha256 (hex) of the resolved configuration."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: with every problem of the file, one a line.
    """
    return parse_config(read_yaml(path), base=path.parent, where=str(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}; give the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML in UTF-8: {error}") from error


def parse_config(data: Any, *, base: Path, where: str = "configuration") -> Config:
    """Check a configuration read from YAML; relative paths in it are taken from ``base``."""
    config = validate(Config, data, where)
    return _with_absolute_paths(config, base)


def validate(schema: type[SectionT], data: Any, where: str) -> SectionT:
    """``data`` as the given schema, or one ConfigError that lists every problem with the nearest known key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected keys and values, found {type(data).__name__}")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        lines = [line for problem in _causes(error) for line in _describe(schema, problem)]
        raise ConfigError(
            f"{where} has {len(lines)} problem(s):\n" + "\n".join(f"  - {line}" for line in lines)
        ) from error


def bundled_path(name: str) -> Path:
    """Where something that ships inside the package lies, for instance ``bundled:models/opt``."""
    return Path(__file__).parent / "starter" / name.removeprefix(BUNDLED)


def _repeated(what: str, names: list[str]) -> list[str]:
    return [f"{what} {name!r} stands twice; names must differ" for name in sorted(set(names)) if names.count(name) > 1]


def _causes(error: ValidationError) -> list[Any]:
    """The problems, without "too short" where a list is only short because its items have problems of their own."""
    problems = error.errors()
    parents = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in parents]


def _describe(schema: type[BaseModel], problem: Any) -> list[str]:
    path = [str(part) for part in problem["loc"]]
    if problem["type"] != "extra_forbidden":
        messages = problem["msg"].removeprefix("Value error, ").splitlines()
        return [f"{'.'.join(path) or 'top level'}: {message}" for message in messages]
    known = _known_keys(schema, path[:-1])
    near = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
    return [f"{'.'.join(path)}: unknown key; {hint}"]


def _known_keys(schema: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part.isdigit():
            continue
        annotation = schema.model_fields[part].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        schema = next(kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(schema.model_fields)


def _with_absolute_paths(config: Config, base: Path) -> Config:
    def resolve(path: str | None) -> str | None:
        if path is None:
            return None
        if path.startswith(BUNDLED):
            return str(bundled_path(path))
        return str((base / path).resolve())

    def serve(section: ServeConfig | None) -> ServeConfig | None:
        paths = {"model": resolve(section.model), "adapter": resolve(section.adapter)} if section else {}
        return section.model_copy(update=paths) if section else None

    members = tuple(
        member.model_copy(update={"serve": serve(member.serve)})
        if member.engine == "vllm"
        else member.model_copy(update={"model": resolve(member.model), "adapter": resolve(member.adapter)})
        for member in config.members
    )
    embedder = config.embedder.model_copy(update={"path": resolve(config.embedder.path)})
    pool_path = "bundled:pool.jsonl" if config.pool.path == "bundled:pool" else config.pool.path
    pool = config.pool.model_copy(update={"path": resolve(pool_path), "index": resolve(config.pool.index)})
    paths = {"state": resolve(config.serving.state), "api_key_file": resolve(config.serving.api_key_file)}
    serving = config.serving.model_copy(update=paths)
    return config.model_copy(update={"members": members, "embedder": embedder, "pool": pool, "serving": serving})
