"""A causal language model in this process: batched greedy generation, and closed choices by log-probability."""

import inspect
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from el4ner.errors import ModelError
from el4ner.members.base import Message
from el4ner.members.copying import CopyConstraint, Copying, CopyTask
from el4ner.members.drafts import copy_drafted
from el4ner.members.neutralise import neutralise
from el4ner.members.prefixes import can_share, next_states, padded
from el4ner.members.weights import check_model_folder
from el4ner.prompts.copying import CLOSE, OPEN

log = logging.getLogger(__name__)

_PROBES = ("the [[new]] town of [[Old York]] .", "[[张三]]在[[北京]]工作。")


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated token count, text without control tokens, and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Engine:
    """A model with its tokenizer. Not thread-safe; greedy.

    Raises:
        ModelError: the folder cannot or may not be loaded.
    """

    def __init__(self, folder: Path, adapter: Path | None, device: str, dtype: str, template: dict[str, Any]) -> None:
        import transformers

        check_model_folder(folder)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32 if dtype == "int8" else getattr(torch, dtype), use_safetensors=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"{folder} cannot be loaded ({type(error).__name__}); check that the download is complete"
            ) from error
        if not self.tokenizer.chat_template:
            raise ModelError(f"{folder} has no chat template; use an instruction-tuned model")
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = _with_adapter(model, adapter).to(device).eval()
        if dtype == "int8":
            _quantise(self.model)
        self.context = _context(self.model.config, self.tokenizer)
        self._takes_positions = "position_ids" in inspect.signature(self.model.forward).parameters
        self._device = device
        self._template = template
        self._specials = special_tokens(self.tokenizer)
        self._ends = _end_ids(self.model, self.tokenizer)
        self.copies = self._cuts_words_alike()
        self._shares = can_share(self.model)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to where the answer begins; control tokens in its texts are made harmless."""
        turns = [{"role": m.role, "content": neutralise(m.content, self._specials)} for m in messages]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **self._template)
        return self._ids(text)

    def copy_task(self, text: str) -> CopyTask | None:
        """What a constrained copy of ``text`` may consist of; None where the tokenizer cuts words differently inside marks."""
        if not self.copies:
            return None
        encoded = self.tokenizer(
            neutralise(text, self._specials), add_special_tokens=False, return_offsets_mapping=True
        )
        places = encoded["offset_mapping"]
        inside = frozenset(at for at in range(1, len(places)) if places[at][0] < places[at - 1][1])
        return CopyTask(tuple(encoded["input_ids"]), self._ids(OPEN)[0], self._ids(CLOSE)[0], inside)

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer with its end sign."""
        return [*self._ids(answer), self._ends[0]]

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[list[int]], copies: Sequence[CopyTask | None], limits: Sequence[int]
    ) -> list[Generated]:
        """Greedy continuations; where a copy task is given, a marked copy of its text.

        Each has at most its limit of tokens, and fewer where the longest prompt of the batch leaves less of the context.
        """
        held = {row: copy for row, copy in enumerate(copies) if copy is not None and self._shares}
        free = [row for row in range(len(prompts)) if row not in held]
        made: dict[int, Generated] = {}
        if free:
            answers = self._freely(*([of[row] for row in free] for of in (prompts, copies, limits)))  # type: ignore[arg-type]
            made |= zip(free, answers, strict=True)
        rows = [Copying(copy, limits[row], prompts[row]) for row, copy in held.items()]
        copy_drafted(self.model, rows, self.tokenizer.pad_token_id, self._device)
        for row, copied in zip(held, rows, strict=True):
            text = self.tokenizer.decode(copied.written, skip_special_tokens=True)
            made[row] = Generated(text, len(copied.written), copied.finished)
        return [made[row] for row in range(len(prompts))]

    def _freely(
        self, prompts: Sequence[list[int]], copies: Sequence[CopyTask | None], limits: Sequence[int]
    ) -> list[Generated]:
        ids, mask = self._padded(prompts)
        processors = []
        if any(copy is not None for copy in copies):
            processors = [CopyConstraint(copies, ids.shape[1], self._ends[0])]
        out = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=min(max(limits), self.context - ids.shape[1]),
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self._ends,
            logits_processor=processors,
        )
        answers = out[:, ids.shape[1] :].tolist()
        return [self._generated(row[:limit]) for row, limit in zip(answers, limits, strict=True)]

    @torch.inference_mode()
    def score(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> list[float]:
        """Log-probability of each answer after its prompt."""
        ids, mask = self._padded([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
        longest = max(map(len, answers))
        log_probs = self._log_probs(ids, mask, longest + 1)[:, :-1]
        totals = []
        for row, answer in enumerate(answers):
            picked = log_probs[row, -len(answer) :].gather(1, torch.tensor(answer, device=ids.device)[:, None])
            totals.append(float(picked.sum()))
        return totals

    @torch.inference_mode()
    def next_token(self, prompts: Sequence[list[int]], tokens: Sequence[list[int]]) -> list[list[float]]:
        """Log-probabilities of the given next tokens after each prompt; what prompts have in common is read once."""
        if self._shares:
            states = next_states(self.model, prompts, self.tokenizer.pad_token_id, self._device)
            log_probs = torch.log_softmax(self.model.get_output_embeddings()(states).float(), dim=-1)
        else:
            log_probs = self._log_probs(*self._padded(prompts), 1)[:, -1]
        return [log_probs[row, torch.tensor(wanted)].tolist() for row, wanted in enumerate(tokens)]

    def _log_probs(self, ids: torch.Tensor, mask: torch.Tensor, last: int) -> torch.Tensor:
        """Log-probabilities of the token after each of the last ``last`` tokens; ``(batch, last, vocabulary)`` float32."""
        # Padding on the left must not shift learned positions; models without position_ids count them from the mask.
        positions = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)} if self._takes_positions else {}
        logits = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=last, **positions).logits
        return torch.log_softmax(logits.float(), dim=-1)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _padded(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        return padded(rows, self.tokenizer.pad_token_id, device=self._device)

    def _generated(self, row: list[int]) -> Generated:
        end = next((i for i, token in enumerate(row) if token in self._ends), len(row))
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True)
        return Generated(text, end, finished=end < len(row))

    def _cuts_words_alike(self) -> bool:
        """Whether a text has the same tokens with and without marks, so that copying can be held to token by token."""
        marks = [self._ids(OPEN), self._ids(CLOSE)]
        if not self.tokenizer.is_fast or any(len(mark) != 1 for mark in marks):
            return False
        both = {mark[0] for mark in marks}
        return all(
            [token for token in self._ids(probe) if token not in both]
            == self._ids(probe.replace(OPEN, "").replace(CLOSE, ""))
            for probe in _PROBES
        )


def special_tokens(tokenizer: Any) -> list[str]:
    """Control tokens of a tokenizer, sorted: what must be made harmless wherever it stands in a text."""
    return sorted({str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special})


def _quantise(model: Any) -> None:
    """Linear layers but the output layer in 8 bits, inputs scaled as they come: about twice the speed on a CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the function is to move to another package one day
        quantise: Any = torch.ao.quantization
        linear = {torch.nn.Linear: quantise.per_channel_dynamic_qconfig}
        quantise.quantize_dynamic(model.base_model, linear, dtype=torch.qint8, inplace=True)


def _with_adapter(model: Any, adapter: Path | None) -> Any:
    if adapter is None:
        return model
    from peft import PeftConfig, PeftModel

    try:
        tuned = PeftModel(model, PeftConfig.from_pretrained(adapter))
        lacking = tuned.load_adapter(adapter, "default").missing_keys
        merged = tuned.merge_and_unload()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{adapter} cannot be put on this model ({type(error).__name__}); give an adapter that was tuned on it"
        ) from error
    if lacking:  # PEFT would only warn, and the base model would answer
        raise ModelError(f"{adapter} lacks {len(lacking)} of the tensors that it names; fetch or train it again")
    return merged


def _context(config: Any, tokenizer: Any) -> int:
    lengths = [getattr(config, name, None) for name in ("max_position_embeddings", "seq_length", "n_positions")]
    known = [length for length in [*lengths, tokenizer.model_max_length] if isinstance(length, int) and length < 10**9]
    return min(known, default=4096)


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ends = [configured] if isinstance(configured, int) else list(configured or [])
    return list(dict.fromkeys([tokenizer.eos_token_id, *ends]))
