"""The smallest real model: got from the package index as users get it, converted, compared with other readers of its file."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from el4ner.models.__main__ import main
from el4ner.models.store import model_folder

pytestmark = pytest.mark.models
NAME = "smollm2-135m"
TEXTS = [
    "Angela Merkel met Emmanuel Macron in Paris on Friday.",
    "  two spaces first,\ttabs\n\n\nlines  and trailing ",
    "In 1984, 12345.67 and ½ of Ⅷ; ١٢٣.",
    "don't I'LL we're ’s",
    "张三在北京大学工作，住在海淀区中关村大街27号。",
    "混合 mixed 文本、カタカナ 한국어 Здравствуйте العربية हिन्दी",
    "😀 👨‍👩‍👧‍👦 🇨🇳 e\u0301 \u200b\u3000\ufeff",
    "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
    "a<|endoftext|>b <jupyter_code> <|im_ende|>",
    "",
    " ",
    "\x00\x7f",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EL4NER_MODELS", str(tmp_path_factory.mktemp("models")))
        assert main(["get", NAME, "--safetensors"]) == 0
        assert main(["verify", NAME]) == 0
        yield model_folder(NAME)


def test_logits_are_those_of_transformers_reading_the_file(place: Path):
    tokenizer = AutoTokenizer.from_pretrained(place / "safetensors")
    ours = AutoModelForCausalLM.from_pretrained(place / "safetensors", dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(place, gguf_file="model.gguf", dtype=torch.float32)
    for text in (TEXTS[0], TEXTS[4], TEXTS[7]):
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            mine, other = ours(ids).logits, theirs(ids).logits
        assert torch.equal(mine.argmax(-1), other.argmax(-1))
        assert (mine - other).abs().max() < 0.1  # float16 against the products of the file's scales; logits span 40


def test_an_answer_ends_where_the_turn_ends(place: Path):
    tokenizer = AutoTokenizer.from_pretrained(place / "safetensors")
    model = AutoModelForCausalLM.from_pretrained(place / "safetensors", dtype=torch.float32)
    asked = [{"role": "user", "content": "What is the capital of France? One word."}]
    inputs = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0][inputs.input_ids.shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>") and len(answer) < 40


@pytest.fixture(scope="module", params=["model.gguf", "run.gguf"])
def llama_cpp(place: Path, request: pytest.FixtureRequest) -> Callable[[str], list[int]]:
    """The ids that llama.cpp gives a text, by its server."""
    library = pytest.importorskip("xllamacpp")
    settings = library.CommonParams()
    settings.model.path, settings.n_ctx, settings.port = str(place / request.param), 256, 0
    settings.warmup, settings.verbosity = False, -1
    server = library.Server(settings)

    def ids(text: str) -> list[int]:
        assert server
        content = json.dumps({"content": text, "add_special": True, "parse_special": True}).encode()
        asked = urllib.request.Request(
            server.listening_address + "/tokenize", content, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return json.load(reply)["tokens"]

    return ids


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_those_of_llama_cpp(text: str, place: Path, llama_cpp: Callable[[str], list[int]]):
    assert AutoTokenizer.from_pretrained(place / "safetensors")(text).input_ids == llama_cpp(text)
