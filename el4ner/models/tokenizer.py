"""The tokenizer that a GGUF file describes, as a ``tokenizer.json`` that gives the ids which llama.cpp gives."""

from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from el4ner.errors import ModelError
from el4ner.models.checkpoint import CONTROL, UNKNOWN, USER_DEFINED, Checkpoint

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    "qwen2": [
        pre_tokenizers.Split(Regex(_QWEN2), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
    "smollm": [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ],
}
"""How a text is cut before merging, by the name that llama.cpp has for it."""


def build_tokenizer(file: Checkpoint) -> Tokenizer:
    """The tokenizer of a file.

    Raises:
        ModelError: it is of a kind whose ids were never compared with llama.cpp's.
    """
    kind = (file.value("tokenizer.ggml.model"), file.value("tokenizer.ggml.pre"))
    if kind[0] == "gpt2" and kind[1] in _SPLITS:
        built = _byte_level(file, kind[1])
    elif kind == ("llama", "default") and file.architecture == "gemma3":
        built = _sentencepiece(file)
    else:
        raise ModelError(
            f"{file.path}: its tokenizer ({kind[0]}, {kind[1]}) cannot be written as tokenizer.json here; "
            "bring the folder with safetensors that its makers published, by get --from FOLDER --name NAME"
        )
    built.add_special_tokens(_added(file, {CONTROL, UNKNOWN}))
    built.add_tokens(_added(file, {USER_DEFINED}))
    if file.value("tokenizer.ggml.add_bos_token"):
        first = int(file.value("tokenizer.ggml.bos_token_id"))
        token = file.tokens[first]
        built.post_processor = processors.TemplateProcessing(
            single=f"{token} $A", pair=f"{token} $A {token} $B:1", special_tokens=[(token, first)]
        )
    return built


def _byte_level(file: Checkpoint, split: str) -> Tokenizer:
    # The published tokenizer of Qwen2 composes characters first (NFC). llama.cpp does not, nor does this one: what a
    # member copies must be the text as it stands.
    merges = [tuple(merge.split(" ", 1)) for merge in file.value("tokenizer.ggml.merges", [])]
    built = Tokenizer(BPE(vocab=_numbered(file.tokens), merges=merges))
    built.pre_tokenizer = pre_tokenizers.Sequence(_SPLITS[split])
    built.decoder = decoders.ByteLevel()
    return built


def _sentencepiece(file: Checkpoint) -> Tokenizer:
    """Byte pairs of characters, a space being ``▁``; Gemma puts none before the text."""
    unknown = file.tokens[int(file.value("tokenizer.ggml.unknown_token_id"))]
    vocab = _numbered(file.tokens)
    built = Tokenizer(
        BPE(vocab=vocab, merges=_implied_merges(file, vocab), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    built.normalizer = normalizers.Replace(" ", "▁")
    built.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return built


def _implied_merges(file: Checkpoint, vocab: dict[str, int]) -> list[tuple[str, str]]:
    """All pairs of tokens that make a token, best score first, as SentencePiece merges them."""
    scores, kinds = file.value("tokenizer.ggml.scores"), file.value("tokenizer.ggml.token_type")
    plain = (token for token, kind in zip(file.tokens, kinds, strict=True) if kind == 1 and len(token) > 1)
    ordered = sorted(plain, key=lambda token: -scores[vocab[token]])
    return [
        (token[:cut], token[cut:])
        for token in ordered
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def _added(file: Checkpoint, wanted: set[int]) -> list[AddedToken]:
    kinds: list[Any] = file.value("tokenizer.ggml.token_type", [])
    special = CONTROL in wanted
    return [
        AddedToken(token, normalized=False, special=special)
        for token, kind in zip(file.tokens, kinds, strict=False)
        if kind in wanted
    ]
