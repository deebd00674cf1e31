"""The whole configuration of an ensemble, and the rules between its sections."""

import hashlib
import json
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import Field, model_validator

from el4ner.config.base import NONE_WORDS, Language, Section
from el4ner.config.members import LabelConfig, MemberConfig
from el4ner.config.stages import (
    BatchConfig,
    ClassifyConfig,
    DemonstrationConfig,
    EmbedderConfig,
    EntityConfig,
    ExtractConfig,
    MrcConfig,
    PoolConfig,
    VerifyConfig,
    WindowConfig,
)


class Config(Section):
    """The whole configuration."""

    deleted_keys = MappingProxyType(
        {
            "none_words": ((dict(NONE_WORDS),), "models call no entity 'none' in English and '无' in Chinese"),
            "serving": (
                ({}, None),
                "python -m el4ner.serve start --help names its options; EL4NER_VLLM_PYTHON names vLLM's interpreter, "
                "XDG_STATE_HOME the folder of logs and state, and a member's api_key_env the variable that holds the key",
            ),
        }
    )

    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="Language of the documents; auto: by script, per window."
    )
    labels: tuple[LabelConfig, ...] = Field(min_length=1, max_length=1000, description="The entity types.")
    members: tuple[MemberConfig, ...] = Field(min_length=1, max_length=100, description="The language models.")
    pool: PoolConfig = PoolConfig()
    embedder: EmbedderConfig = EmbedderConfig()
    demonstrations: DemonstrationConfig = DemonstrationConfig()
    extract: ExtractConfig = ExtractConfig()
    classify: ClassifyConfig = ClassifyConfig()
    mrc: MrcConfig = MrcConfig()
    verify: VerifyConfig = VerifyConfig()
    windows: WindowConfig = WindowConfig()
    entities: EntityConfig = EntityConfig()
    batch: BatchConfig = BatchConfig()
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
        for language in get_args(Language):
            words = [label.word(language) for label in self.labels] + [NONE_WORDS[language]]
            problems += _repeated(f"{language} label word", [word.casefold() for word in words])
        names = [member.name for member in self.members]
        if self.verify.member is not None and self.verify.member not in names:
            problems.append(f"verify.member {self.verify.member!r} is no member; members are {', '.join(names)}")
        if self.mrc.lookup and self.pool.path is None:
            problems.append(
                "mrc.lookup looks mentions up in the pool; set pool.path to labelled sentences, or mrc.lookup to 0"
            )
        for judge in self.members:
            if judge.name == self.verify.member and judge.role != "el4ner":
                problems.append(
                    f"verify.member {judge.name!r} has role {judge.role} and judges nothing; name another member"
                )
        if any(member.role == "single-pass" for member in self.members):
            spoken = {word for label in self.labels for word in label.words.values()}
            problems += [
                f"label word {word!r} cannot stand in the typed marks of role single-pass; write it without | [ ]"
                for word in sorted(spoken)
                if not {"|", "[", "]"}.isdisjoint(word)
            ]
        if self.batch.quorum > len(names):
            problems.append(f"batch.quorum is {self.batch.quorum}, but there are {len(names)} members")
        if not (self.extract.pre_extract or self.extract.few_shot):
            problems.append("extract.pre_extract and extract.few_shot are both off; nothing would be found")
        if self.extract.few_shot == "doubtful" and not self.extract.pre_extract:
            problems.append("extract.few_shot: doubtful needs extract.pre_extract: true; or use few_shot: true")
        if self.demonstrations.method == "span" and not self.extract.pre_extract:
            problems.append("demonstrations.method span needs extract.pre_extract: true; or use method: sentence")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def overlap_at(self) -> Literal["all", "cuts"]:
        """Where windows overlap: at all borders, or, since single-pass members learnt from whole sentences, at cuts alone."""
        return "cuts" if all(member.role == "single-pass" for member in self.members) else "all"

    @property
    def type_names(self) -> tuple[str, ...]:
        """Names of the entity types, in order."""
        return tuple(label.name for label in self.labels)

    def hash(self) -> str:
        """The sha256 (hex) of the resolved configuration."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _repeated(what: str, names: list[str]) -> list[str]:
    return [f"{what} {name!r} stands twice; names must differ" for name in sorted(set(names)) if names.count(name) > 1]
