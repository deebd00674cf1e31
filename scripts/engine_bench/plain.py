"""A model plainly by Transformers: ``generate()`` for a text, one pass over the prompt for each choice, one request at a time."""

import asyncio
import time
from pathlib import Path

import torch

from el4ner.engines.base import Answer, Choice, Message, Request, Usage
from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.models.weights import check_model_folder, hash_folder
from el4ner.train.encode import special_tokens, template_of
from el4ner.train.models import load_tokenizer, load_weights


class PlainMember:
    """A member as a script without el4ner's engines would ask it: greedy, and held to nothing.

    Args:
        name: the member's name.
        folder: of the model.

    Raises:
        ModelError: the folder cannot or may not be loaded.
    """

    def __init__(self, name: str, folder: Path) -> None:
        check_model_folder(folder)
        self.name = name
        self.fingerprint = f"transformers:{hash_folder(folder)}"
        self._tokenizer = load_tokenizer(str(folder))
        self._model = load_weights(str(folder)).eval()
        self._template = template_of(self._tokenizer)
        self._special_tokens = special_tokens(self._tokenizer)
        self._free = asyncio.Lock()

    async def generate(self, request: Request) -> Answer:
        """Answer in free text."""
        async with self._free:
            return await asyncio.to_thread(self._generate, request)

    async def choose(self, request: Request) -> Choice:
        """Choose one of ``request.choices`` by the probability of its tokens and its end sign."""
        async with self._free:
            return await asyncio.to_thread(self._choose, request)

    async def close(self) -> None:
        """Nothing: the model is freed with the member."""

    @torch.inference_mode()
    def _generate(self, request: Request) -> Answer:
        started, prompt = time.monotonic(), torch.tensor([self._prompt(request)])
        written = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=request.max_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.pad_token_id,
            stop_strings=[self._template.end],
            tokenizer=self._tokenizer,
        )[0, prompt.shape[1] :].tolist()
        text = self._tokenizer.decode(written, skip_special_tokens=True).removesuffix(self._template.end)
        usage = Usage(prompt.shape[1], len(written), time.monotonic() - started)
        return Answer(text, "stop" if len(written) < request.max_tokens else "length", usage)

    @torch.inference_mode()
    def _choose(self, request: Request) -> Choice:
        started, prompt = time.monotonic(), self._prompt(request)
        scores = torch.tensor([self._score(prompt, choice) for choice in request.choices])
        log_probs = dict(zip(request.choices, scores.log_softmax(0).tolist(), strict=True))
        label = max(log_probs, key=lambda choice: log_probs[choice])
        return Choice(label, log_probs, Usage(len(prompt), 1, time.monotonic() - started))

    def _score(self, prompt: list[int], choice: str) -> float:
        answer = self._ids(choice + self._template.end)
        read = torch.tensor([prompt + answer])
        logits = self._model(read, logits_to_keep=len(answer) + 1).logits[0, :-1].float()
        return float(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum())

    def _prompt(self, request: Request) -> list[int]:
        safe = [
            Message(message.role, escape_special_tokens(message.content, self._special_tokens))
            for message in request.messages
        ]
        return self._ids(self._template.render(safe))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
