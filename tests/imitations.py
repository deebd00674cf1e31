"""Imitations of servers that cannot be run in the tests, for the scripted server; shapes as their documentation gives them.

What a real Ollama does beyond that, nothing here can tell. llama.cpp and vLLM are real in other tests; here they only have
faults that a real one does not have on demand.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripted_server import MODEL, Reply, ScriptedServer, completion, page, status, words_in

Answer = Callable[[Any], str]
"""From the body of a request to what the model would write."""


def quoted(text: str) -> str:
    """A text as JSON."""
    return json.dumps(text, ensure_ascii=False)


def held(schema: Any, text: str) -> str:
    """What a server that holds answers to JSON schemas makes of a text."""
    if "enum" in schema:
        return quoted(next((choice for choice in schema["enum"] if choice in text), schema["enum"][0]))
    return text if text.startswith("[") else json.dumps([text])


@dataclass
class Ollama:
    """Ollama's own API: ``/api/version``, ``/api/show``, ``/api/chat``.

    Attributes:
        write: what its model writes.
        version: what it says that it is.
        cuts: whether it cuts a prompt without a word, whatever it is asked.
        parameters: of the Modelfile.
        context: what the model was trained for; a prompt may have as many words as ``num_ctx``.
        log_probs: whether it gives log-probabilities.
        alternatives: what else might begin an answer, with its log-probability.
        has_system: whether the model's template has a system role; if not, the message is dropped.
    """

    write: Answer = lambda body: "fine"
    version: str = "0.13.5"
    cuts: bool = False
    parameters: str = ""
    context: int = 40_960
    log_probs: bool = True
    alternatives: Mapping[str, float] = field(default_factory=dict)
    has_system: bool = True

    def server(self) -> ScriptedServer:
        """It, listening."""
        return ScriptedServer(
            owner="library",
            pages={"/api/version": lambda _: page({"version": self.version}), "/api/show": self.show},
            answer=self.chat,
            first=self.chat,
        )

    def show(self, body: Any) -> Reply:
        """``/api/show``."""
        information = {"general.architecture": "llama", "llama.context_length": self.context}
        return page({"parameters": self.parameters, "model_info": information, "details": {"family": "llama"}})

    def chat(self, body: Any) -> Reply:
        """``/api/chat``."""
        words, options = words_in(body), body["options"]
        if not self.has_system:
            words -= sum(len(m["content"].split()) for m in body["messages"] if m["role"] == "system")
        if words >= options["num_ctx"]:
            if not self.cuts and not body["truncate"] and not body["shift"]:
                said = "the prompt is longer than the context length currently available to the model"
                return Reply(json.dumps({"error": said}).encode(), 400)
            words = options["num_ctx"] // 2
        text = self.write(body)
        for stop in options.get("stop", ()):
            text = text.partition(stop)[0]
        reply = {
            "model": MODEL,
            "message": {"role": "assistant", "content": held(body["format"], text) if "format" in body else text},
            "done": True,
            "done_reason": "stop" if options["num_predict"] > 1 else "length",
            "prompt_eval_count": words,
            "eval_count": 1 if options["num_predict"] == 1 else 3,
        }
        if body.get("logprobs") and self.log_probs:
            reply["logprobs"] = self.tokens(text)
        return page(reply)

    def tokens(self, text: str) -> list[Any]:
        """The whole text as one token, and what else might stand there."""
        top = [{"token": text, "logprob": -0.5}]
        top += [{"token": token, "logprob": value} for token, value in self.alternatives.items() if token != text]
        return [top[0] | {"top_logprobs": top}]


@dataclass
class Other:
    """A server of another kind: ``/v1/chat/completions`` and nothing else.

    Attributes:
        write: what its model writes.
        supports_json_schema: whether it follows ``response_format``; None: it refuses the field.
        most_log_probs: the largest ``top_logprobs`` that it takes; 0: it ignores the field.
        takes_arguments: whether it takes ``chat_template_kwargs``.
        cut_at: words of the longest prompt; more are cut without a word.
    """

    write: Answer = lambda body: "fine"
    supports_json_schema: bool | None = True
    most_log_probs: int = 20
    takes_arguments: bool = True
    cut_at: int = 10_000

    def server(self) -> ScriptedServer:
        """It, listening."""
        return ScriptedServer(owner="somebody", answer=self.chat, first=self.chat)

    def chat(self, body: Any) -> Reply:
        """``/v1/chat/completions``."""
        wanted = body.get("top_logprobs", 0)
        if wanted > self.most_log_probs > 0 or ("chat_template_kwargs" in body and not self.takes_arguments):
            return status(400, "unknown field")
        if "response_format" in body and self.supports_json_schema is None:
            return status(422, "unknown field")
        text = self.write(body)
        for stop in body.get("stop", ()):
            text = text.partition(stop)[0]
        if "response_format" in body and self.supports_json_schema:
            text = held(body["response_format"]["json_schema"]["schema"], text)
        log_probs = [{text: -0.1}] if wanted and self.most_log_probs else None
        reason = "length" if body.get("max_tokens") == 1 else "stop"
        tokens = 1 if body.get("max_tokens") == 1 else 3
        return completion(text, reason, log_probs, tokens=tokens, prompt_tokens=min(words_in(body), self.cut_at))


def llamacpp_pages(**properties: Any) -> Mapping[str, Callable[[Any], Reply]]:
    """Pages by which the scripted server passes for llama.cpp, with a template whose end is one token."""
    template = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
    settings = {"n_ctx": properties.pop("n_ctx", 4096)}
    props = {"chat_template": template, "default_generation_settings": settings, "eos_token": "<|end|>"} | properties
    return {
        "/props": lambda _: page(props),
        "/tokenize": lambda body: page({"tokens": [{"id": 7, "piece": "<|end|>"}] if body["content"] else []}),
        "/completion": lambda body: page(
            {"content": "fine", "stop_type": "eos", "tokens_evaluated": 9, "tokens_predicted": 3}
        ),
    }
