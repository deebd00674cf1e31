"""What the stages of the pipeline do: retrieval, extraction, typing, verification, windows, and a job over documents."""

from types import MappingProxyType
from typing import Literal

from pydantic import Field, model_validator

from el4ner.config.base import ANY_VALUE, Section


class PoolConfig(Section):
    """The labelled sentences that demonstrations come from."""

    deleted_keys = MappingProxyType(
        {"spans": (("gold",), "the index says which spans it holds (python -m el4ner.index --spans)")}
    )

    path: str | None = Field(
        default=None, description="JSONL or CoNLL file of labelled sentences, or bundled:pool; null: zero-shot."
    )
    index: str | None = Field(
        default=None,
        description="Folder written by el4ner.index, with the labelled spans or those the members found (the paper); null: the "
        "labelled spans are indexed in memory at start.",
    )


class EmbedderConfig(Section):
    """What turns spans and sentences into vectors."""

    deleted_keys = MappingProxyType(
        {
            "kind": (ANY_VALUE, "the files in embedder.path say what it is"),
            "batch_size": (ANY_VALUE, "texts are encoded 256 at a time"),
        }
    )

    path: str = Field(
        default="bundled:embedder",
        description="bundled:embedder, a token-vector table; another such folder; or the local folder of a "
        "sentence-transformers model.",
    )
    device: str = Field(default="cpu", description="sentence-transformers: device.")


class DemonstrationConfig(Section):
    """How demonstrations are chosen (EL4NER, span-level sentence similarity)."""

    deleted_keys = MappingProxyType(
        {
            "pos_pipelines": (ANY_VALUE, "weights: pos uses spaCy's en_core_web_sm and zh_core_web_sm"),
            "candidates": (ANY_VALUE, "retrieval is exact, whatever is fetched first"),
            "index": (("flat",), "the index is exact (flat); it takes 50 ms a window for 100,000 sentences"),
            "fallback": (("sentence",), "where no span was found, the nearest sentences are taken"),
            "same_language": ((True,), "demonstrations are in the window's language"),
            "diversity": ((0,), "demonstrations are ranked by similarity alone"),
            "seed": (ANY_VALUE, "the configuration's own seed is used"),
        }
    )

    method: Literal["none", "random", "sentence", "span"] = Field(
        default="span", description="none, random, nearest sentence vector, or SpanSim."
    )
    k: int = Field(default=5, ge=0, le=64, description="Demonstrations per prompt.")
    weights: Literal["uniform", "pos", "labels"] = Field(
        default="labels",
        description="Span weights: all 1; part of speech (4/2/1/0), by spaCy's en_core_web_sm and zh_core_web_sm; label "
        "statistics of the pool.",
    )
    order: Literal["best-last", "best-first", "random"] = Field(
        default="best-last", description="Their order in the prompt."
    )


class ExtractConfig(Section):
    """Stages 1 and 3: spans by every member, united."""

    deleted_keys = MappingProxyType(
        {
            "min_members": (
                (1,),
                "candidates are the union of what the members found; classify.rule decides about them",
            ),
            "max_mention_chars": (ANY_VALUE, "mentions longer than 200 characters are dropped and counted"),
            "max_answer_tokens": (ANY_VALUE, "the length of the text bounds the answer; use smaller windows"),
        }
    )

    pre_extract: bool = Field(
        default=True, description="Zero-shot pass before retrieval; off: its spans are not there to retrieve by."
    )
    few_shot: bool | Literal["doubtful"] = Field(
        default=True,
        description="Pass with demonstrations; off: the spans of the zero-shot pass go on; doubtful: so they do where several "
        "members answered and all found the same.",
    )
    keep_pre_extracted: bool = Field(
        default=False,
        description="Whether spans of the zero-shot pass alone are candidates as well; where members of role mrc are alone, "
        "those that overlap none of the later answers.",
    )
    occurrences: Literal["all", "marked"] = Field(
        default="all",
        description="all: every occurrence of a found mention; marked: those the answer marks (inline only).",
    )


class ClassifyConfig(Section):
    """Stage 4: the type of each candidate by every member's vote."""

    former_keys = MappingProxyType(
        {"trust_unfound": "unextracted_vote_discount", "weigh": "rescore_disputed", "mark": "ask_per"}
    )
    deleted_keys = MappingProxyType(
        {
            "k": ((None,), "typing prompts show the same demonstrations as extraction"),
        }
    )

    rule: Literal["plurality", "majority", "probability", "two-stage", "combiner"] = Field(
        default="plurality",
        description="plurality: most votes (the paper); majority: over half; probability: mean probability of soft votes; "
        "two-stage: an entity by half of the votes, of the commonest type; combiner: as learned by el4ner.combine --fit.",
    )
    combiner: str | None = Field(
        default=None, description="rule combiner: the file that el4ner.combine --fit wrote for these members."
    )
    prefer: Literal["f1", "precision", "recall"] = Field(
        default="f1", description="rule combiner: what it decides for: F1, or F0.5, or F2."
    )
    tie: Literal["none", "probability", "order"] = Field(
        default="none",
        description="none: no entity; probability: higher mean probability; order: the type listed first.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="rule probability: a candidate is an entity of its most probable type from this mean probability of that "
        "type on; null: where some type is more probable than none.",
    )
    abstention: Literal["ignore", "none"] = Field(
        default="ignore", description="A member that could not answer: not counted, or counted as a vote for no entity."
    )
    unextracted_vote_discount: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Discount factor: what a member's probabilities of types are multiplied by where it votes on a candidate "
        "that it did not extract itself; 1: no discount (the paper). Tiny members are too easily persuaded.",
    )
    rescore_disputed: bool = Field(
        default=True,
        description="Whether members of role single-pass are asked how probable each reading is of what they disagree about; "
        "llama.cpp can tell, in this process or as a server. off: a vote counts fully.",
    )
    ask_per: Literal["occurrence", "surface"] = Field(
        default="occurrence",
        description="Ask about each place of a mention (marked in the sentence) or once per surface.",
    )

    @model_validator(mode="after")
    def _threshold_of_probabilities(self) -> "ClassifyConfig":
        if self.threshold is not None and self.rule != "probability":
            raise ValueError("classify.threshold counts for rule: probability alone; set that rule, or leave it out")
        if (self.combiner is None) == (self.rule == "combiner"):
            raise ValueError("rule: combiner and combiner: FILE belong together; give both, or neither")
        return self


class MrcConfig(Section):
    """Members of role mrc: NER as reading comprehension, one question a type (Ye, Tang, Guo, Wu 2024)."""

    deleted_keys = MappingProxyType(
        {
            "balance_candidates": (ANY_VALUE, "they are chosen from the 32 nearest"),
            "among": (ANY_VALUE, "they are chosen from the 32 nearest"),
            "occurrences": (("all",), "a listed mention means all of its places"),
            "max_answer_tokens": (ANY_VALUE, "the length of the text bounds the answer; use smaller windows"),
        }
    )

    types_per_call: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Types asked about in one call: 1 as in the paper; more: fewer calls, each answered by a line for each "
        "type. A tuned member is asked as it was tuned.",
    )
    answers: Literal["list", "marked"] = Field(
        default="list",
        description="list: the mentions, or a fixed word for none, as in the paper; marked: the text copied with marks around "
        "them, which says the places (prompt_style compact, one type a call).",
    )
    k: int | None = Field(
        default=None, ge=0, le=64, description="Demonstrations before its questions; null: as many as extraction."
    )
    balance: bool = Field(
        default=True,
        description="Choose them so that each type occurs in one at least and is absent from one at least, as far as k of the "
        "32 nearest allow; all questions about a text share them.",
    )
    lookup: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Mentions of so many of the most similar pool sentences that stand in the text count as answers, where they "
        "overlap none of the member's own; 0: none. Nothing is looked up in training.",
    )

    @model_validator(mode="after")
    def _marks_show_one_type(self) -> "MrcConfig":
        if self.answers == "marked" and self.types_per_call > 1:
            raise ValueError("mrc.answers: marked cannot tell types apart; set types_per_call to 1, or answers to list")
        return self


class VerifyConfig(Section):
    """Stage 5: self-validation of typed candidates."""

    deleted_keys = MappingProxyType(
        {
            "doubtful_below": ((1,), "a pair is doubtful where not all votes are for its type"),
            "threshold": ((0.5,), "an entity is rejected where its judge gives 'true' less than one half"),
        }
    )

    mode: Literal["off", "one", "all", "doubtful"] = Field(
        default="one",
        description="off; one member; all members by majority; doubtful: one member, on pairs that not all votes are for.",
    )
    member: str | None = Field(
        default=None,
        description="The judge for one and doubtful; null: the first member. Members of role mrc judge nothing.",
    )
    on_reject: Literal["drop", "retype", "flag"] = Field(
        default="drop",
        description="drop the entity; give it the type with the next most votes; keep it with its verdicts.",
    )


class WindowConfig(Section):
    """How long documents are cut. Width is in columns: a CJK character is 2 wide, others 1."""

    deleted_keys = MappingProxyType(
        {
            "overlap_at": (
                ANY_VALUE,
                "windows overlap at all borders, or, where all members are of role single-pass, only where a sentence is cut",
            )
        }
    )

    max_columns: int = Field(default=1200, ge=40, description="Widest text given to a model at once.")
    overlap_columns: int = Field(
        default=200,
        ge=0,
        description="Context that neighbouring windows share; where all members are of role single-pass, only where a sentence "
        "had to be cut.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "WindowConfig":
        if self.overlap_columns * 2 > self.max_columns:
            raise ValueError("overlap_columns may be at most half of max_columns")
        return self


class EntityConfig(Section):
    """What may stand in the output."""

    nested: Literal["keep", "flatten"] = Field(
        default="flatten",
        description="keep overlapping entities, or flatten: the one that the vote counts more for stays, then the longer, then "
        "the earlier.",
    )
    document_consistency: bool = Field(
        default=True,
        description="Whether what is sure in one place of a document is added where the same words stand in others of its "
        "places, unless letter case and the members' reading speak for a common word; it costs no calls.",
    )


class BatchConfig(Section):
    """How a job over many documents runs."""

    deleted_keys = MappingProxyType(
        {
            "documents_in_flight": (ANY_VALUE, "as many documents are under way as windows (windows_in_flight)"),
            "patience_s": (ANY_VALUE, "a job waits ten minutes for a server that the quorum needs"),
        }
    )

    windows_in_flight: int = Field(
        default=64, ge=1, description="Windows under way at once, over all documents; as many documents are in memory."
    )
    quorum: int = Field(
        default=1, ge=1, description="Members that must answer a window's extraction; fewer: the document failed."
    )
    cache: bool = Field(default=False, description="Keep answers on disk (mode 0600, holds text) in the output folder.")
    candidates: bool = Field(
        default=False,
        description="Whether records also hold all candidates with every member's vote, for el4ner.combine to learn from.",
    )
