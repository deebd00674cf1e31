"""Tokenizers of the starter members. All cut words at white space and punctuation and Chinese into characters.

Marks of the inline format are tokens of their own, so a copied word is cut alike with and without marks around it.
"""

import json
from collections import Counter

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from el4ner.prompts.copying import CLOSE, OPEN, UNKNOWN

END, PAD, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"
TITLE, CAPITALS = "\u2191", "\u21d1"
"""Markers that give case back to an uncased vocabulary: before a capitalised word, before a word all in capitals."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + '" + END + "' }}"
    "{% else %}{{ '" + USER + "' + message['content'] + '" + ASSISTANT + "' }}{% endif %}"
    "{% endfor %}"
)
_BEFORE_WORDS = "([\"'\u201c\u2018-/@#."
"""Signs that may stand right before a word; a space after them lets the case markers see its beginning."""
_PROMPT_WORDS = "find type check person location organization none yes no : ="


def uncased_word_pieces(texts: list[str], vocabulary: dict[str, int], size: int) -> Tokenizer:
    """Lower-cased word pieces out of an existing vocabulary (pieces seen in ``texts`` first, then by its own order)."""
    full = _uncased(list(vocabulary), "[UNK]")
    characters = Counter(c for text in texts for c in text)
    seen = {token for encoding in full.encode_batch([*texts, _PROMPT_WORDS]) for token in encoding.tokens}
    usable = [piece for piece in vocabulary if not piece.startswith("[") or piece == "["]
    latin = [piece for piece in usable if piece.isascii()]
    letters = [piece for piece in latin if len(piece.removeprefix("##")) == 1]
    chinese = [c for c, n in characters.most_common() if _is_cjk(c) and n > 1]
    signs = [piece for piece in usable if piece in seen and len(piece) == 1]
    wanted = [*letters, *signs, *chinese, *(piece for piece in latin if piece in seen), *latin]
    kept = list(dict.fromkeys([UNKNOWN, TITLE, CAPITALS, *wanted]))[: size - len(_added())]
    tokenizer = _with_added(_uncased(kept, UNKNOWN))
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in (TITLE, CAPITALS)])
    return tokenizer


def cased_word_pieces(texts: list[str], size: int) -> Tokenizer:
    """Cased word pieces learnt from ``texts``."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = _spaced_chinese()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size - len(_added()),
        min_frequency=2,
        special_tokens=[UNKNOWN],
        show_progress=False,
        limit_alphabet=2800,
    )
    tokenizer.train_from_iterator([*texts, *[_PROMPT_WORDS] * 100], trainer)
    return _with_added(tokenizer)


def byte_pairs(texts: list[str], size: int, alphabet: int = 1800) -> Tokenizer:
    """Cased byte pairs learnt from ``texts``; what they lack is written in bytes, so nothing is unknown.

    Args:
        texts: to learn from.
        size: of the vocabulary.
        alphabet: how many characters have a token of their own, the commonest ones.
    """
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=False))
    tokenizer.normalizer = _spaced_chinese()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(_added()),
        min_frequency=2,
        special_tokens=byte_tokens,
        show_progress=False,
        limit_alphabet=alphabet,
    )
    tokenizer.train_from_iterator([*texts, *[_PROMPT_WORDS] * 100], trainer)
    learnt = json.loads(tokenizer.to_str())
    learnt["added_tokens"] = []  # the trainer takes bytes as special tokens; decoding would then drop them
    return _with_added(Tokenizer.from_str(json.dumps(learnt)))


def encoder_pieces(token: str, vocabulary: dict[str, int]) -> list[str]:
    """The word pieces of an uncased vocabulary that spell a token of any of these tokenizers; empty if they cannot."""
    if token in vocabulary:
        return [token]
    inside = token.startswith("##")
    letters = token.removeprefix("##").removeprefix("\u2581").lower()
    pieces: list[str] = []
    while letters:
        head = "##" if inside or pieces else ""
        length = next((n for n in range(len(letters), 0, -1) if head + letters[:n] in vocabulary), 0)
        if not length:
            return []
        pieces.append(head + letters[:length])
        letters = letters[length:]
    return pieces


def wrap(tokenizer: Tokenizer, max_positions: int) -> PreTrainedTokenizerFast:
    """The tokenizer as Transformers and vLLM load it, with its chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, padding_side="left", model_max_length=max_positions,
        additional_special_tokens=[USER, ASSISTANT], clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def _uncased(pieces: list[str], unknown: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Prepend(" "),
            *(normalizers.Replace(sign, f"{sign} ") for sign in _BEFORE_WORDS),
            normalizers.Replace(Regex(r"\s(?=[A-Z]{2,}(?![a-z]))"), f" {CAPITALS} "),
            normalizers.Replace(Regex(r"(?<!" + CAPITALS + r")\s(?=[A-Z])"), f" {TITLE} "),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return tokenizer


def _spaced_chinese() -> normalizers.Normalizer:
    return normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)


def _added() -> list[AddedToken]:
    marks = [AddedToken(mark, normalized=False, special=False) for mark in (OPEN, CLOSE)]
    return [*marks, *(AddedToken(name, normalized=False, special=True) for name in (END, PAD, USER, ASSISTANT))]


def _with_added(tokenizer: Tokenizer) -> Tokenizer:
    added = _added()
    tokenizer.add_tokens(added[:2])
    tokenizer.add_special_tokens(added[2:])
    return tokenizer


def _is_cjk(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf"
