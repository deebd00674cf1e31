"""The three starter members and an adapter on real servers: what they answer, and that it is what the local engine answers."""

import asyncio
import json
import math
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from el4ner.config import Language, load_config
from el4ner.errors import ContextOverflowError
from el4ner.members.base import Answer, Choice, Member, Message, Request
from el4ner.members.http import HttpMember
from el4ner.members.local import LocalMember
from el4ner.members.meter import Meter
from el4ner.members.structured import structured_outputs
from el4ner.pipeline import build_pipeline
from el4ner.prompts.copying import CLOSE, OPEN
from el4ner.prompts.formats import answer_format
from el4ner.scoring.counts import micro, strict_counts
from el4ner.scoring.predictions import read_gold, read_predictions
from el4ner.stages.classify import classification_request
from el4ner.starter import __file__ as starter
from el4ner.text.documents import Document
from el4ner.text.spans import Span
from tests.vllm.box import KEY, ROOT, Box

pytestmark = pytest.mark.vllm
POOL = Path(starter).parent / "pool.jsonl"
DEV = ROOT.parent / "shared" / "data" / "uner_en_ewt" / "dev.jsonl"
TEXT = "Angela Merkel met Emmanuel Macron of the European Union in Paris on Friday."


def f1(path: Path, gold: Sequence[Document]) -> float:
    """Strict micro-F1 of a prediction file, in percent."""
    entities = [frozenset(document.entities or ()) for document in gold]
    return 100 * micro(strict_counts(entities, read_predictions(path, gold).entities)).f1


def ask(member: Member, request: Request) -> Any:
    """One answer of a member, which is closed afterwards."""

    async def once() -> Answer | Choice:
        try:
            return await (member.choose(request) if request.choices else member.generate(request))
        finally:
            await member.close()

    return asyncio.run(once())


def served(box: Box, name: str, **changes: Any) -> HttpMember:
    config = load_config(box.config)
    settings = next(member for member in config.members if member.name == name)
    return HttpMember(settings.model_copy(update=changes))


def post(box: Box, name: str, **body: Any) -> dict[str, Any]:
    """The reply to a bare chat request."""
    member = next(member for member in load_config(box.config).members if member.name == name)
    headers = {"Authorization": f"Bearer {os.environ[KEY]}"}
    content = {"model": member.model, "messages": [{"role": "user", "content": TEXT}], "temperature": 0, **body}
    reply = httpx.post(
        f"{member.endpoint}/chat/completions", json=content, headers=headers, timeout=300, trust_env=False
    )
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_every_member_is_up_and_starting_twice_changes_nothing(box: Box):
    before = box.processes()
    assert set(before) == {"opt", "bloom", "qwen3"}
    assert box.serve("start", "--cpu") == 0 and "running already" in box.said
    assert box.processes() == before
    assert box.serve("status") == 0 and box.said.count("answers") == 3


def test_a_server_listens_on_loopback_and_wants_its_key(box: Box):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{box.ports[0]}/v1/models", timeout=60)
    for process in box.processes().values():
        words = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        assert words[words.index("--host") + 1] == "127.0.0.1"
        assert os.environ[KEY] not in words


@pytest.mark.parametrize(
    ("text", "surface", "language"), [(TEXT, "Angela Merkel", "en"), ("张三在北京大学工作。", "北京大学", "zh")]
)
@pytest.mark.parametrize("name", ["opt", "bloom", "qwen3"])
def test_choices_come_with_the_probabilities_of_the_local_engine(
    box: Box, name: str, text: str, surface: str, language: Language
):
    pipeline = build_pipeline(load_config(box.three), Meter())
    voice = next(voice for voice in pipeline.voices if voice.name == name)
    span = Span(text.index(surface), text.index(surface) + len(surface))
    request = classification_request(voice, text, span, language, ())
    there = ask(served(box, name), request)
    settings = next(member for member in load_config(box.local).members if member.name == name)
    here = ask(LocalMember(settings, threads=1), request)
    print(f"\n{name}, {language}: {there.label} {there.log_probs}, locally {here.label} {here.log_probs}")
    assert there.label == here.label
    assert there.log_probs is not None and here.log_probs is not None
    assert sum(map(math.exp, there.log_probs.values())) == pytest.approx(1)
    for label in request.choices:
        assert math.exp(there.log_probs[label]) == pytest.approx(math.exp(here.log_probs[label]), abs=0.02)


def test_constraints_are_honoured_and_old_names_of_them_are_not(box: Box):
    asked: dict[str, Any] = {"max_tokens": 16}
    held, free = (
        post(box, "bloom", **constraint, **asked)["choices"][0]["message"]["content"].replace(" ", "")
        for constraint in ({"structured_outputs": {"choice": ["zebra", "yak"]}}, {"guided_choice": ["zebra", "yak"]})
    )
    assert held in ("zebra", "yak") and free not in ("zebra", "yak")


@pytest.mark.parametrize(
    "text", [TEXT, "张三在北京大学工作。", "a+b [c] {d} ^e$ \\ | 7/8 ? \"x\" - 'y'", "naïve 😀\nİx\t_"]
)
def test_every_text_can_be_held_to_its_copy(box: Box, text: str):
    """Asked of the member whose tokenizer has a token for every byte, so that it can spell any text."""
    asked = Request("extract", (Message("user", TEXT),), 400, copy_of=text)
    reply = post(box, "qwen3", structured_outputs=structured_outputs(asked, True, ()), max_tokens=400)["choices"][0]
    unmarked = reply["message"]["content"].replace(OPEN, "").replace(CLOSE, "")
    assert reply["finish_reason"] == "stop"
    assert "".join(unmarked.split()) == "".join(text.split())


@pytest.mark.parametrize("name", ["lines", "json"])
@pytest.mark.parametrize(
    "text", [TEXT, "张三在北京大学工作。", "a+b [c] {d} ^e$ \\ | 7/8 ? \"x\" - 'y'", "naïve 😀\nİx\t_"]
)
def test_every_list_can_be_held_to_its_text(box: Box, text: str, name: str):
    form = answer_format(name)
    asked = Request("extract", (Message("user", TEXT),), 400, list_of=form.list_form(text))
    reply = post(box, "qwen3", structured_outputs=structured_outputs(asked, True, ()), max_tokens=400)["choices"][0]
    assert reply["finish_reason"] == "stop"
    spaced = "".join(text.split())
    for mention in form.read(reply["message"]["content"], text):
        assert "".join(mention.surface.split()) in spaced


def test_the_adapter_answers_otherwise_than_its_base(box: Box):
    asked: dict[str, Any] = {"max_tokens": 1, "logprobs": True, "top_logprobs": 5}
    base, adapter = (
        post(box, name, **asked)["choices"][0]["logprobs"]["content"][0]["top_logprobs"] for name in ("qwen3", "ner")
    )
    assert base != adapter


def test_a_prompt_beyond_the_context_is_told_as_such(box: Box):
    with pytest.raises(ContextOverflowError):
        ask(served(box, "opt"), Request("extract", (Message("user", "word " * 600),), 16))


@pytest.fixture(scope="module")
def examples(box: Box) -> Path:
    """The example documents through both engines; the folder of the outputs."""
    for name in ("local", "three"):
        box.run(getattr(box, name), f"examples-{name}", ROOT / "examples")
    return box.folder


def test_the_examples_get_the_same_entities_from_both_engines(box: Box, examples: Path):
    here, there = (box.predictions(f"examples-{name}") for name in ("local", "three"))
    assert len(there) == len(here) > 40
    assert all(record["status"] == "ok" or record["reason"] for record in there)
    assert sum(record["status"] == "failed" for record in there) <= len(there) / 10
    mine, theirs = (
        {(r["id"], e["start"], e["end"], e["type"]) for r in records for e in r["entities"]}
        for records in (here, there)
    )
    agreement = 2 * len(mine & theirs) / (len(mine) + len(theirs))
    print(
        f"\nexamples: {len(mine)} entities locally, {len(theirs)} from the servers, agreement {100 * agreement:.1f} %"
    )
    # The local engine holds a copy token by token; served word pieces are free, and long texts lead them astray at times.
    assert agreement > 0.9


def test_the_run_record_tells_what_each_member_cost(box: Box, examples: Path):
    for name, stages in box.record("examples-three")["attempts"][-1]["members"].items():
        cost = stages["all"]
        assert cost["requests"] > 100 and cost["prompt_tokens"] > 1000 and cost["errors"] < cost["requests"] / 50, name
        assert 0 < cost["latency_s"]["p50"] <= cost["latency_s"]["p99"]
        assert cost["server"]["prefix_cache_hit_rate"] > 0.1
        print(f"\n{name}: {json.dumps(cost)}")


def test_both_engines_score_alike(box: Box, tmp_path: Path):
    """Within one point of F1 over 200 labelled sentences: of a dev set where it is at hand, else of the bundled pool."""
    source = DEV if DEV.exists() else POOL
    gold_path = tmp_path / "gold.jsonl"
    gold_path.write_text("".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[:200]), encoding="utf-8")
    gold = read_gold(gold_path)
    scores = {}
    for name in ("local", "three"):
        run = box.run(getattr(box, name), f"gold-{name}", gold_path)
        scores[name] = f1(box.folder / f"gold-{name}" / "predictions.jsonl", gold)
        print(f"\n{source.parent.name}, {name}: F1 {scores[name]:.2f}, {run['totals']['wall_s']:.0f} s")
    assert scores["three"] == pytest.approx(scores["local"], abs=1.0)
