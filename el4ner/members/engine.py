"""A causal language model in this process: batched greedy generation, and closed choices by log-probability."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from el4ner.errors import ModelError, TemplateError
from el4ner.members.base import Message
from el4ner.members.copying import CopyConstraint, CopyTask
from el4ner.members.drafts import Copier
from el4ner.members.lists import ListTask
from el4ner.members.loading import context_of, end_ids, load, template_of
from el4ner.members.neutralise import neutralise
from el4ner.members.prefix_cache import PrefixCache
from el4ner.members.prefixes import common_prefix, padded, takes_positions
from el4ner.members.reading import next_states, pack
from el4ner.members.writing import Writer, is_plainly_greedy
from el4ner.prompts.copying import CLOSE, OPEN
from el4ner.prompts.grammar import ListForm

log = logging.getLogger(__name__)
_ITEMS = ("Old York", "张三", "Ada")
_PROBES = ("the [[new]] town of [[Old York]] .", "[[张三]]在[[北京]]工作。")


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated token count, text without control tokens, and whether it ended by itself."""

    text: str
    tokens: int
    finished: bool


class Engine:
    """A model with its tokenizer. Not thread-safe; greedy.

    Args:
        folder: model folder.
        adapter: folder of a PEFT adapter to merge, if any.
        device: cpu, cuda or cuda:N.
        dtype: precision, as in the configuration.
        template: arguments for the chat template; a model without one is asked by plain prompts.
        cache_mib: size of the cache of prompts' beginnings.

    Raises:
        ModelError: the folder cannot or may not be loaded.
    """

    def __init__(
        self,
        folder: Path,
        adapter: Path | None,
        device: str,
        dtype: str,
        template: dict[str, Any],
        cache_mib: int = 0,
    ) -> None:
        self.tokenizer, self.model = load(folder, adapter, device, dtype)
        if self.tokenizer.is_fast:  # _ids asks it without Transformers, which would lift such settings at every call
            self.tokenizer.backend_tokenizer.no_truncation()
            self.tokenizer.backend_tokenizer.no_padding()
        self.context = context_of(self.model.config, self.tokenizer)
        self._takes_positions = takes_positions(self.model)
        self._device = device
        self._template = template_of(self.tokenizer, template)
        self._specials = special_tokens(self.tokenizer)
        self._sign = self._ids(self._template.end)
        # A sign of several tokens (a blank line, with some tokenizers) is looked for in what was written.
        ends = [*(self._sign if len(self._sign) == 1 else ()), *end_ids(self.model, self.tokenizer)]
        self._ends = list(dict.fromkeys(ends))
        if not (self._sign and self._ends):
            raise ModelError(
                f"{folder}: its tokenizer cannot write what ends an answer; add a chat_template.jinja with an end sign"
            )
        self.copies = self._cuts_words_alike()
        self._listable: dict[str, bool] = {}
        self.packed = pack(self.model, device)
        if self.packed is None:
            log.warning("%s: this architecture cannot read packed rows; answers take longer", folder.name)
        self._read = PrefixCache(cache_mib * 2**20)
        self._writer: Writer | None = None
        self._copier: Copier | None = None
        if self.packed is not None:
            self._copier = Copier(self.packed, self._read)
            if is_plainly_greedy(self.model.generation_config):
                self._writer = Writer(self.packed, self._read, self._ends)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to where the answer begins; control tokens in its texts are made harmless.

        Raises:
            TemplateError: the chat template refuses the conversation.
        """
        safe = [Message(m.role, neutralise(m.content, self._specials)) for m in messages]
        return self._ids(self._template.render(safe))

    def reusable(self, messages: Sequence[Message], prompt: Sequence[int]) -> int:
        """How much of a conversation's prompt other prompts may begin with: the demonstrations, or a lone turn as a whole."""
        if sum(message.role == "user" for message in messages) < 2:
            return len(prompt)
        try:
            return common_prefix([self.prompt(messages[:-1]), list(prompt)])
        except TemplateError:  # it takes no conversation that ends with an answer
            return 0

    def copy_task(self, text: str) -> CopyTask | None:
        """What a constrained copy of ``text`` may consist of; None where the tokenizer cuts words differently inside marks."""
        if not self.copies:
            return None
        source, inside = self._source(text)
        return CopyTask(source, self._ids(OPEN)[0], self._ids(CLOSE)[0], inside)

    def list_task(self, form: ListForm) -> ListTask | None:
        """What a list of strings of a text may consist of; None where the tokenizer cuts words differently in a list."""
        delimiter, nothing = self._ids(form.delimiter), self._ids(form.nothing)
        if self._writer is None or len(self._sign) > 1 or not self._lists_alike(form.delimiter):
            return None
        source, inside = self._source(form.text)
        return ListTask(source, inside, tuple(delimiter), tuple(nothing), frozenset(self._ends))

    def _source(self, text: str) -> tuple[tuple[int, ...], frozenset[int]]:
        """Tokens of a text to copy from, and those that go on with a character that the token before began."""
        encoded = self.tokenizer(
            neutralise(text, self._specials), add_special_tokens=False, return_offsets_mapping=True
        )
        places = encoded["offset_mapping"]
        inside = frozenset(at for at in range(1, len(places)) if places[at][0] < places[at - 1][1])
        return tuple(encoded["input_ids"]), inside

    def unread(self, prompt: Sequence[int]) -> int:
        """Tokens of a prompt that are not in the cache of beginnings."""
        return len(prompt) - self._read.longest(prompt).length

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer with its end sign."""
        return self._ids(answer + self._template.end)

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[list[int]],
        copies: Sequence[CopyTask | None],
        limits: Sequence[int],
        reusable: Sequence[int] | None = None,
        lists: Sequence[ListTask | None] | None = None,
    ) -> list[Generated]:
        """Greedy continuations; where a copy task is given, a marked copy of its text; where a list task is, such a list.

        Each has at most its limit of tokens, and fewer where its prompt leaves less of the context, or (of models that cannot
        share what they read) the longest prompt of the batch does.
        Of prompts before copies, the first ``reusable`` tokens stay in the cache of beginnings; of others, what several share.
        """
        held = [row for row, copy in enumerate(copies) if copy is not None and self._copier is not None]
        free = [row for row in range(len(prompts)) if row not in set(held)]
        made: dict[int, Generated] = {}
        if free and self._writer is not None:
            rooms = [min(limits[row], self.context - len(prompts[row])) for row in free]
            tasks_of = [None if lists is None else lists[row] for row in free]
            written = self._writer.write([prompts[row] for row in free], rooms, tasks_of)
            made |= zip(free, map(self._generated, written), strict=True)
        elif free:
            answers = self._freely(*([of[row] for row in free] for of in (prompts, copies, limits)))  # type: ignore[arg-type]
            made |= zip(free, answers, strict=True)
        if held and self._copier is not None:
            tasks = [copy for row in held if (copy := copies[row]) is not None]
            kept = [0 if reusable is None else reusable[row] for row in held]
            rows = self._copier.copy([prompts[row] for row in held], tasks, [limits[row] for row in held], kept)
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
        if self.packed is not None:
            states = next_states(self.packed, prompts, self._read)
            log_probs = torch.log_softmax(self.packed.head(states).float(), dim=-1)
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
        if self.tokenizer.is_fast:  # the same without Transformers' wrapping, which takes as long as the tokenizer
            ids: list[int] = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
            return ids
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _padded(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        return padded(rows, self.tokenizer.pad_token_id, device=self._device)

    def _generated(self, row: list[int]) -> Generated:
        end = next((i for i, token in enumerate(row) if token in self._ends), len(row))
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True)
        if self._template.end in self._specials:
            return Generated(text, end, finished=end < len(row))
        text, found, _ = text.partition(self._template.end)
        return Generated(text, end, finished=end < len(row) or bool(found))

    def _lists_alike(self, delimiter: str) -> bool:
        """Whether items of a list have the tokens that they have in a text, so that lists can be held to token by token."""
        if delimiter not in self._listable:
            between, items = self._ids(delimiter), [self._ids(item) for item in _ITEMS]
            expected = [token for number, item in enumerate(items) for token in (between if number else []) + item]
            found = self.tokenizer.is_fast and self._ids(delimiter.join(_ITEMS)) == expected
            self._listable[delimiter] = found and all(
                self._ids(f"a {item} b")[1:-1] == self._ids(item) for item in _ITEMS
            )
        return self._listable[delimiter]

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
