"""The labels, the members that look for them, and how vLLM serves members on this machine."""

from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from el4ner.config.base import Language, Section, Word, warn_once


class LabelConfig(Section):
    """One entity type."""

    name: str = Field(min_length=1, description="The type as it stands in predictions and gold data, for instance PER.")
    words: dict[Language, Word] = Field(
        min_length=1, description="What the models call it, per language; short and distinct."
    )
    definitions: dict[Language, str] = Field(
        default_factory=dict, description="One sentence per language: what it covers."
    )
    questions: dict[Language, Word] = Field(
        default_factory=dict,
        description="What a member of role mrc is asked about it, per language; a question made of its word, if missing.",
    )

    def word(self, language: Language) -> str:
        """What the models call this type in that language; falls back to any language that has a word."""
        return self.words.get(language) or next(iter(self.words.values()))

    def definition(self, language: Language) -> str:
        """The definition in that language, or any other; empty if there is none."""
        return self.definitions.get(language) or next(iter(self.definitions.values()), "")

    def question(self, language: Language) -> str:
        """The question in that language; empty if it has no wording of its own."""
        return self.questions.get(language, "")


class ServeConfig(Section):
    """How a member is served by vLLM on this machine; without it, its endpoint is served by somebody else."""

    deleted_keys = MappingProxyType(
        {
            "concurrency": ((None,), "the engine takes as many requests as the member sends (its concurrency)"),
            "tensor_parallel": ((None,), "a model is split over as few cards as it fits on"),
        }
    )

    model: str = Field(description="Folder of the weights (safetensors), or a name of el4ner.models.")
    adapter: str | None = Field(default=None, description="Folder of a LoRA adapter to put on the model.")
    context: int = Field(default=4096, ge=128, description="Longest prompt and answer together, in tokens.")
    kv_tokens: int | None = Field(
        default=None,
        ge=128,
        description="Tokens the KV cache holds; null: context x the member's concurrency, which never waits.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "fp8"] = Field(
        default="auto",
        description="auto: as stored; weights stored in float32 become bfloat16 on a GPU. fp8: as stored, and linear layers are "
        "quantised to 8 bits while loading.",
    )
    replicas: int | Literal["spare"] = Field(
        default=1, description="Copies behind the endpoint; spare: further ones on cards that nothing else uses."
    )
    extra_args: tuple[str, ...] = Field(
        default=(), description="Further arguments for vLLM, for instance --enforce-eager."
    )

    @model_validator(mode="before")
    @classmethod
    def _quantization(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "quantization" not in data:
            return data
        wanted = data["quantization"]
        if wanted is not None and data.get("dtype", "auto") != "auto":
            raise ValueError(f"quantization and dtype are one key now; write dtype: {wanted} alone")
        warn_once("serve.quantization: fp8 is now called serve.dtype: fp8; the old name still works")
        rest = {key: value for key, value in data.items() if key != "quantization"}
        return rest if wanted is None else rest | {"dtype": wanted}

    @model_validator(mode="after")
    def _sizes(self) -> "ServeConfig":
        if isinstance(self.replicas, int) and self.replicas < 1:
            raise ValueError("replicas must be at least 1, or spare")
        if self.kv_tokens is not None and self.kv_tokens < self.context:
            raise ValueError(f"kv_tokens {self.kv_tokens} hold no request of context {self.context}; raise kv_tokens")
        return self


class MemberConfig(Section):
    """One language model."""

    former_keys = MappingProxyType({"any_labels": "allow_unseen_labels"})
    deleted_keys = MappingProxyType(
        {
            "revision": ((None,), "give other weights another served name, and write it as the model"),
        }
    )

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Its name in votes and reports.")
    engine: Literal["local", "http"] = Field(
        description="local: llama.cpp in this process. http: a server (vLLM, llama.cpp, Ollama, any that is OpenAI-compatible)."
    )
    model: str = Field(description="local: a GGUF file, or a name of el4ner.models. http: the served model name.")
    role: Literal["el4ner", "single-pass", "mrc"] = Field(
        default="el4ner",
        description="el4ner: it extracts, types and verifies, as in the paper. single-pass: it copies the text with typed marks, "
        "[[Paris|location]], which gives candidates and its votes in one answer; for models tuned to do so. mrc: it answers one "
        "question a type, which gives the same; see the section mrc.",
    )
    adapter: str | None = Field(
        default=None,
        description="local: folder of a LoRA adapter (PEFT's format) to put on the model.",
    )
    endpoint: str | None = Field(
        default=None, description="http: base URL, with or without /v1, for instance http://127.0.0.1:8001/v1."
    )
    api_key_env: str | None = Field(default=None, description="http: environment variable that holds the API key.")
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
    allow_unseen_labels: bool = Field(
        default=False,
        exclude=True,
        description="Ask it even about labels that its tuning never showed; by default that is an error, or, where the prompts "
        "define them, a warning.",
    )
    languages: tuple[Language, ...] = Field(
        default=("en", "zh"), description="Windows of other languages are not sent to it."
    )
    constrain: bool | Literal["choices"] = Field(
        default=True,
        description="Let the engine hold inline answers to a copy with marks, lists to strings of the text, and choices to "
        "theirs, as far as it can; choices: http: those alone, for tokenizers that do not spell a text letter by letter "
        "(BERT's word pieces).",
    )
    concurrency: int = Field(default=32, ge=1, description="http: requests under way at once.")
    timeout_s: float = Field(default=120.0, gt=0, description="http: seconds before a request counts as failed.")
    retries: int = Field(
        default=4, ge=0, description="http: further tries after a failure that may pass (429, 5xx, cut connection)."
    )
    thinking: bool = Field(
        default=False, description="Whether a thinking model may think; off is right for extraction."
    )
    chat_template: Literal["model", "none"] = Field(
        default="model",
        description="http: model: the model's own. none: plain prompts, for base models (vLLM, llama.cpp).",
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="Arguments for the model's chat template."
    )

    serve: ServeConfig | None = Field(
        default=None, description="http: how el4ner.serve runs it here; null: the endpoint is served by somebody else."
    )

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("engine") != "vllm":
            return data
        warn_once("engine: vllm is now called engine: http (it asks any server); the old name still works")
        return data | {"engine": "http"}

    @model_validator(mode="after")
    def _engine_fields(self) -> "MemberConfig":
        if any(weight <= 0 for weight in self.weight.values()):
            raise ValueError("weight must be above 0; leave a language out of languages instead")
        if self.engine == "http" and not self.endpoint:
            raise ValueError("engine http needs an endpoint, for instance http://127.0.0.1:8001/v1")
        if self.engine != "http" and self.endpoint:
            raise ValueError(f"engine {self.engine} takes no endpoint; use engine: http or delete it")
        if self.adapter and self.engine != "local":
            raise ValueError("adapter is for engine local; with http, name the served adapter as the model")
        if self.serve and self.engine != "http":
            raise ValueError(f"serve is for engine http; engine {self.engine} needs no server")
        if self.constrain == "choices" and self.engine != "http":
            raise ValueError("constrain: choices is for engine http; elsewhere use true or false")
        if self.chat_template != "model" and self.engine != "http":
            raise ValueError(
                "chat_template is for engine http; engine local uses plain prompts where the model has none"
            )
        if not self.languages:
            raise ValueError("languages is empty; name en, zh or both")
        if self.role != "el4ner" and self.answer_format == "json":
            raise ValueError(f"answer_format json does not apply to role {self.role}; leave answer_format out")
        return self
