"""Questions to a llama.cpp server, in this process or elsewhere: grammars for answers, exact probabilities for choices.

Prompts are rendered here, by the model's own chat template (``prompts/chat.py``), and sent as text to be continued, so
that training and inference agree and base models can be asked as well.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from el4ner.engines.base import Answer, Choice, Request, TokenLogProb, Usage
from el4ner.engines.endpoint import Endpoint, MalformedReplyError
from el4ner.engines.special_tokens import escape_special_tokens
from el4ner.errors import ContextOverflowError, MemberError, TemplateError
from el4ner.prompts.chat import ChatTemplate
from el4ner.prompts.grammar import copy_grammar, list_grammar
from el4ner.prompts.messages import Message

GREEDY: Mapping[str, Any] = {"temperature": 0, "samplers": ["temperature"], "cache_prompt": True}
"""The most probable token at each step, whatever the model's or the server's defaults."""
BIAS = 100.0
"""Added to the logits of the tokens that a choice may go on with: the same for all, so that their ratios stay."""
_MIN = 1e-38
"""A probability that the server rounds to 0 is at most this."""
Path = tuple[int, ...]
Prompt = Sequence[str | int]


class LlamaCppClient:
    """One model on a llama.cpp server.

    Args:
        name: the member's name, for errors.
        endpoint: the server's address without ``/v1``.
        template: how conversations are written.
        special_tokens: control tokens to be escaped in texts.
        puts_bos: the text of the token that the server's tokenizer puts first; None where it puts none.
        constrain: hold free answers to the form that the request states.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        template: ChatTemplate,
        special_tokens: Sequence[str],
        puts_bos: str | None,
        constrain: bool = True,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._template = template
        self._special_tokens = special_tokens
        self._puts_bos = puts_bos
        self._constrain = constrain
        self._tokens: dict[str, Path] = {}

    async def generate(self, request: Request) -> Answer:
        """The greedy answer, held to its form where the request states one.

        Raises:
            ContextOverflowError: the prompt and its answer do not fit into the context.
            MemberError: the server does not answer in the expected form.
        """
        end = self._template.end
        grammar = self._grammar(request)
        held = {"grammar": grammar} if grammar else {"stop": [end]}
        prompt = await self._prompt(request.messages)
        scored = {"n_probs": 1} if request.wants_log_probs else {}
        body = {**GREEDY, "prompt": prompt, "n_predict": request.max_tokens, **held, **scored}
        answer, latency_s = await self._endpoint.post("/completion", body, _read_answer)
        if answer.finish_reason == "length" and 0 < answer.usage.answer_tokens < request.max_tokens:
            raise ContextOverflowError(self._name, "the context ended before the answer; use smaller windows")
        usage = Usage(answer.usage.prompt_tokens, answer.usage.answer_tokens, latency_s)
        return replace(answer, text=answer.text.removesuffix(end), usage=usage)

    async def choose(self, request: Request) -> Choice:
        """One of ``request.choices`` with a log-probability for each.

        A choice's probability is the product of those of its tokens, its end sign included, each among the tokens that some
        choice may go on with. Choices that go on from ``request.answer_prefix`` have no end sign.

        Raises:
            ContextOverflowError: the prompt does not fit into the context.
            MemberError: the server does not answer in the expected form.
        """
        prompt = await self._prompt(request.messages)
        if request.answer_prefix is None:
            paths = {choice: await self._tokenise(choice + self._template.end) for choice in request.choices}
        else:
            prompt = [*prompt, *await self._ids(escape_special_tokens(request.answer_prefix, self._special_tokens))]
            paths = {
                choice: await self._ids(escape_special_tokens(choice, self._special_tokens))
                for choice in request.choices
            }
        log_probs = dict.fromkeys(request.choices, 0.0)
        usage = Usage()
        for node in _branchings(paths.values()):
            log_probs_of_next, spent = await self._next_tokens(prompt, node, _following(paths.values(), node))
            usage = Usage(spent.prompt_tokens, usage.answer_tokens + 1, usage.latency_s + spent.latency_s)
            for choice, path in paths.items():
                if path[: len(node)] == node:
                    log_probs[choice] += log_probs_of_next[path[len(node)]]
        label = max(log_probs, key=lambda choice: log_probs[choice])
        return Choice(label, log_probs, usage)

    async def _next_tokens(self, prompt: Prompt, node: Path, tokens: Sequence[int]) -> tuple[dict[int, float], Usage]:
        """The log-probability of each of some tokens to come next, among them alone."""
        body = {
            "prompt": [*prompt, *node],
            "n_predict": 1,
            "temperature": 1.0,
            "samplers": ["temperature"],
            "cache_prompt": True,
            "seed": 1,
            "n_probs": len(tokens),
            "post_sampling_probs": True,
            "logit_bias": [[token, BIAS] for token in tokens],
        }
        (found, usage), latency_s = await self._endpoint.post("/completion", body, _read_probabilities)
        log_probs_of_next = {token: math.log(max(found.get(token, 0.0), _MIN)) for token in tokens}
        total = math.log(sum(math.exp(log_prob) for log_prob in log_probs_of_next.values()))
        return {token: log_prob - total for token, log_prob in log_probs_of_next.items()}, Usage(
            usage.prompt_tokens, 1, latency_s
        )

    async def _prompt(self, messages: Sequence[Message]) -> Prompt:
        """What the server is to read: text, to which it adds the first token itself, or tokens where the template has none."""
        safe = [Message(m.role, escape_special_tokens(m.content, self._special_tokens)) for m in messages]
        try:
            text = self._template.render(safe)
        except TemplateError as error:
            raise MemberError(self._name, str(error)) from error
        first = self._puts_bos or ""
        return [text.removeprefix(first)] if text.startswith(first) else await self._ids(text)

    def _grammar(self, request: Request) -> str | None:
        if not self._constrain:
            return None
        end = self._template.end
        literal = "" if end in self._special_tokens else end
        if request.copy_of is not None:
            return copy_grammar(
                escape_special_tokens(request.copy_of, self._special_tokens), literal, request.copy_types
            )
        if request.list_of is None:
            return None
        return list_grammar(
            replace(request.list_of, text=escape_special_tokens(request.list_of.text, self._special_tokens)), literal
        )

    async def _tokenise(self, text: str) -> Path:
        if text not in self._tokens:
            self._tokens[text] = await self._ids(text)
        return self._tokens[text]

    async def _ids(self, text: str) -> Path:
        ids, _ = await self._endpoint.post(
            "/tokenize", {"content": text, "add_special": False, "parse_special": True}, _read_tokens
        )
        return ids


def _branchings(paths: Iterable[Path]) -> list[Path]:
    """The beginnings after which the paths part, shortest first."""
    known = list(paths)
    beginnings = {path[:length] for path in known for length in range(len(path))}
    return sorted((node for node in beginnings if len(_following(known, node)) > 1), key=lambda node: (len(node), node))


def _following(paths: Iterable[Path], node: Path) -> list[int]:
    """The tokens that may come after a beginning, in the order of the paths."""
    after = [path[len(node)] for path in paths if len(path) > len(node) and path[: len(node)] == node]
    return list(dict.fromkeys(after))


def _read_answer(reply: Any) -> Answer:
    try:
        text, stopped, usage = reply["content"], reply["stop_type"], _read_usage(reply)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedReplyError("is no completion") from error
    if not isinstance(text, str) or stopped not in ("eos", "word", "limit"):
        raise MalformedReplyError("is no completion")
    # A server with context shift goes on writing after it has forgotten the prompt's beginning.
    cut = stopped == "limit" or bool(reply.get("truncated"))
    return Answer(text, "length" if cut else "stop", usage, _read_token_log_probs(reply))


def _read_token_log_probs(reply: Any) -> tuple[TokenLogProb, ...]:
    tokens = reply.get("completion_probabilities") or ()
    try:
        return tuple((len(token["bytes"]), float(token["logprob"])) for token in tokens)
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedReplyError("holds no token probabilities") from error


def _read_probabilities(reply: Any) -> tuple[dict[int, float], Usage]:
    try:
        likeliest = reply["completion_probabilities"][0]["top_probs"]
        return {int(token["id"]): float(token["prob"]) for token in likeliest}, _read_usage(reply)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MalformedReplyError("holds no token probabilities") from error


def _read_tokens(reply: Any) -> Path:
    try:
        return tuple(int(token) for token in reply["tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedReplyError("holds no tokens") from error


def _read_usage(reply: Any) -> Usage:
    return Usage(int(reply["tokens_evaluated"]), int(reply["tokens_predicted"]))


__all__ = ["LlamaCppClient"]
