"""Whether a server answers: its models' first tokens, by chat or plainly."""

from collections.abc import Mapping
from typing import Any

from scripted_server import Reply, ScriptedServer, completion, page, status

from el4ner.serve.probe import probe


def chat(top: Mapping[str, float]) -> Reply:
    return completion("a", "length", [top])


def test_a_model_that_completes_a_token_answers():
    with ScriptedServer(first=lambda body: chat({"a": -1.0})) as server:
        assert probe(server.endpoint, ["m"], None).answers


def test_a_base_model_answers_plainly():
    def first(body: Any) -> Reply:
        if "messages" in body:
            return status(400, "no chat template")
        return page({"choices": [{"logprobs": {"top_logprobs": [{"a": -1.0, body["model"]: -2.0}]}}]})

    with ScriptedServer(first=first) as server:
        assert probe(server.endpoint, ["base", "adapter"], None).answers
        assert "no effect" in probe(server.endpoint, ["base", "base"], None).fault


def test_a_refusal_that_stays_is_told():
    with ScriptedServer(first=lambda body: status(400)) as server:
        assert "HTTP 400" in probe(server.endpoint, ["m"], None).fault
