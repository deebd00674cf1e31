"""The benchmark of serving: its bare client sends what the pipeline sent, and its account adds up."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Received, Reply, ScriptedServer, completion

from el4ner.config import Config, load_config
from el4ner.errors import MemberError
from el4ner.text.documents import Document

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from serving_bench.measure import flat_out, measure  # noqa: E402
from serving_bench.servers import WITHOUT_CACHE, variant  # noqa: E402

SERVED = ROOT / "configs" / "small-vllm.yaml"
METRICS = 'vllm:prefix_cache_queries_total{engine="0"} %d.0\nvllm:prefix_cache_hits_total{engine="0"} %d.0\n'
TEXTS = ("Anna Holm lives in Oslo.", "Oslo is cold.")
STAGES = ("pre-extract", "extract", "classify")


def ensemble(server: ScriptedServer) -> Config:
    """The served small models, all on one scripted server."""
    config = load_config(SERVED)
    members = tuple(member.model_copy(update={"endpoint": server.endpoint}) for member in config.members)
    return config.model_copy(update={"members": members})


def answer(body: Any) -> Reply:
    """A candidate is a location, and the city is what each text names, in JSON or on a line of its own."""
    if "regex" in body["structured_outputs"]:
        return completion("location")
    return completion('["Oslo"]' if body["model"] == "smollm2-135m" else "Oslo")


def unsalted(request: Received) -> str:
    return repr(sorted((name, repr(value)) for name, value in request.body.items() if name != "cache_salt"))


def test_the_bare_client_sends_the_pipelines_requests_again():
    models = dict.fromkeys(member.name for member in load_config(SERVED).members)
    with ScriptedServer(answer, models=models, metrics=[METRICS % (0, 0), METRICS % (200, 50)]) as server:
        documents = [Document(str(number), text) for number, text in enumerate(TEXTS)]
        found = asyncio.run(measure(ensemble(server), documents, []))
        salted = [request for request in server.asked if "cache_salt" in request.body]
        plain = [request for request in server.asked if "cache_salt" not in request.body]
    assert sorted(map(unsalted, salted)) == sorted(map(unsalted, plain))
    assert found.requests == len(plain) == 12
    assert {name: stage.requests for name, stage in found.stages.items()} == dict.fromkeys(STAGES, 4)
    assert found.stages["extract"].answer_tokens == 3 * found.stages["extract"].requests
    assert (found.sentences, found.failed, found.hits) == (2, 0, 0.25)
    assert found.ratio > 0


def test_a_refused_request_is_no_measurement():
    with ScriptedServer() as server, pytest.raises(MemberError, match="404"):
        config = ensemble(server)
        broken = config.members[0].model_copy(update={"endpoint": server.endpoint + "/nowhere"})
        requests = {
            member.name: [("/v1/chat/completions", b"{}")] if member.name == broken.name else []
            for member in config.members
        }
        asyncio.run(flat_out(config.model_copy(update={"members": (broken, *config.members[1:])}), requests))


def test_a_variant_is_the_same_ensemble_without_its_prefix_cache(tmp_path: Path):
    config = load_config(SERVED)
    for caching in (True, False):
        made = load_config(variant(config, tmp_path, prefix_caching=caching))
        arguments = [member.serve.extra_args for member in made.members if member.serve]
        assert len(arguments) == 2 and all((WITHOUT_CACHE in words) != caching for words in arguments)
        assert [m.model_dump(exclude={"serve"}) for m in made.members] == [
            m.model_dump(exclude={"serve"}) for m in config.members
        ]
