"""The MRC experiment on a few sentences of our own: every arm runs, nothing is done twice, and the table says what it says."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import experiment_mrc  # noqa: E402
from mrc_experiment.arms import ARMS, CORPORA, FULL, Arm  # noqa: E402
from mrc_experiment.copier import write_copied  # noqa: E402
from mrc_experiment.scores import Row, rows_of  # noqa: E402
from mrc_experiment.settings import Base, Run, ensemble, training  # noqa: E402
from mrc_experiment.table import line_of  # noqa: E402
from mrc_experiment.tagger import entities_of, features, is_installed, tags  # noqa: E402

from el4ner.config import parse_config  # noqa: E402
from el4ner.errors import ConfigError  # noqa: E402
from el4ner.text.documents import Document  # noqa: E402
from el4ner.text.spans import Entity  # noqa: E402
from el4ner.train.config import load_train_config  # noqa: E402
from tests.engines.tiny_gguf import CHATML, CONTROL, VOCABULARY, write_gguf_of  # noqa: E402
from tests.models.tiny_gguf import byte_letters  # noqa: E402

SENTENCES = ["林晓梅任海风公司经理。", "她是汉族，本科学历。", "王大海在青岛工作，任会计。", "他们没有见到任何人。"]
NAMES = {
    "林晓梅": "NAME",
    "王大海": "NAME",
    "海风公司": "ORG",
    "经理": "TITLE",
    "会计": "TITLE",
    "汉族": "RACE",
    "本科": "EDU",
}


def record(number: int, text: str) -> dict[str, Any]:
    entities = [
        {"start": text.index(name), "end": text.index(name) + len(name), "type": kind, "text": name}
        for name, kind in NAMES.items()
        if name in text
    ]
    return {"id": str(number), "text": text, "entities": entities}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with a small resume_zh, one of its dev sentences in its training half as well."""
    folder = tmp_path / "data" / "resume_zh"
    folder.mkdir(parents=True)
    for half, sentences in (("train", SENTENCES), ("dev", [SENTENCES[3], "王大海任经理。"])):
        lines = [json.dumps(record(number, text), ensure_ascii=False) for number, text in enumerate(sentences)]
        (folder / f"{half}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny Qwen2 as a folder and as a GGUF file, with one token a byte."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=2048, initializer_range=0.2, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=CONTROL["<|im_end|>"], pad_token_id=None,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokens = {token: number for number, token in enumerate([*byte_letters(), *CONTROL, "th"])}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[("t", "h")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in CONTROL])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHATML
    ).save_pretrained(folder)
    return Base.of(str(folder), write_gguf_of(model, folder.with_suffix(".gguf")))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    content = yaml.safe_load((ROOT / "configs" / "train" / "mrc-experiment.yaml").read_text(encoding="utf-8"))
    content["optimisation"] |= {"max_length": 1500, "max_steps": 2}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


Words = Callable[..., list[str]]


@pytest.fixture
def words(data: Path, recipe: Path, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """The command's words for one short training of each arm into ``out``, and more of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    given = {"data-root": data, "recipe": recipe, "output": tmp_path / "out", "minutes": 0, "epochs": 1, "seeds": 1}
    given |= {"base": base.weights, "gguf": base.file}
    always = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return lambda *more: [*always, "--samples", "50", *more]


@pytest.mark.slow
def test_the_arms_run_are_kept_and_are_tabulated(
    words: Words, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EL4NER_QUIET", "1")
    output = tmp_path / "out"
    arms = ["--arms", "demos only", FULL, f"{FULL}, prompt", "demos copied", *(["CRF"] if is_installed() else [])]
    given = words(*arms)
    assert experiment_mrc.main(given) == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if line.startswith(("demos", "LoRA", "CRF"))]
    assert [line[:27].strip() for line in lines] == arms[1:]
    assert "resume_zh: 1 training sentences stand in dev as well" in err
    assert len((output / "resume_zh" / "train.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    assert (output / "resume_zh" / "dev.jsonl").stat().st_mode & 0o077 == 0
    adapter = output / "resume_zh" / "lora-span-demos" / "seed-1" / "adapter" / "adapter_model.safetensors"
    written = adapter.stat().st_mtime_ns
    monkeypatch.setattr("mrc_experiment.work.do", lambda *_: pytest.fail("a finished run is done again"))
    assert experiment_mrc.main(given) == 0
    assert capsys.readouterr().out == out and adapter.stat().st_mtime_ns == written
    numbers, kept = json.loads((output / "table.json").read_text()), tmp_path / "kept"
    assert experiment_mrc.main([*given, "--export", str(kept)]) == 0
    assert {path.name for path in kept.rglob("*") if path.is_file()} == {"figures.json"}
    assert capsys.readouterr().out == out
    again = ["--report", "--output", str(kept), "--data-root", str(tmp_path / "none"), "--sets", "resume_zh"]
    assert experiment_mrc.main([*again, "--seeds", "1", "--samples", "50", *arms]) == 0
    assert capsys.readouterr().out == out and not (kept / "table.json").exists()
    assert {row["arm"] for row in numbers["resume_zh"]} == set(arms[1:])
    assert experiment_mrc.main([*given, "--limit", "1"]) == 2
    assert "is of another experiment" in capsys.readouterr().err


def test_a_fault_is_no_outcome(words: Words, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("el4ner.recognisers.mrc.MrcRecogniser.question_request", lambda *_: 1 / 0)
    assert experiment_mrc.main(words("--arms", "demos only")) == 2
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err
    assert not any("counts" in path.read_text() for path in (tmp_path / "out").rglob("figures.json"))


def test_without_the_data_it_says_so(tmp_path: Path, capsys: Any):
    assert experiment_mrc.main(["--data-root", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("skipped: ") and not (tmp_path / "out").exists()


def test_a_report_does_nothing_and_counts_what_is_left(data: Path, tmp_path: Path, capsys: Any):
    given = ["--data-root", str(data), "--output", str(tmp_path / "out"), "--report", "--seeds", "3"]
    assert experiment_mrc.main(given) == 0
    by_seed = sum(arm.varies for arm in ARMS)
    assert f"; {3 * by_seed + len(ARMS) - by_seed} runs to go" in capsys.readouterr().out


def run_of(arm: Arm, folder: Path) -> Run:
    corpus = CORPORA["resume_zh"]
    return Run(arm, corpus, 7, folder / arm.folder, folder / "train.jsonl", folder / "dev.jsonl")


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm.reads], ids=lambda arm: arm.name)
def test_training_and_ensemble_ask_and_show_alike(arm: Arm, recipe: Path, tmp_path: Path):
    run = run_of(arm, tmp_path)
    (tmp_path / "train.jsonl").write_text(json.dumps(record(1, SENTENCES[0])) + "\n")
    given = yaml.safe_load(recipe.read_text())
    model = Base.of(given["model"])
    config = parse_config(ensemble(run, given, model), base=tmp_path)
    (member,) = config.members
    assert member.role == "mrc" and (member.adapter is not None) == (arm.tuned or arm.based_on is not None)
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(training(run, given, model, 5, 2)))
    learnt = load_train_config(path)
    assert learnt.demonstrations == config.demonstrations and learnt.demonstrations.method == arm.shown
    assert learnt.mrc == config.mrc.model_copy(update={"lookup": 0}) and config.mrc.lookup == 2 * arm.adds
    assert (learnt.mrc.types_per_call > 1) == arm.joint
    assert learnt.model == member.model == "qwen2.5-coder-0.5b"
    assert learnt.labels == config.labels and learnt.prompt_style == member.prompt_style
    assert (learnt.optimisation.max_minutes, learnt.optimisation.epochs, learnt.seed) == (5, 2, 7)
    assert learnt.optimisation.accumulate == (1 if arm.shown == "none" else 3)
    assert learnt.evaluation.fraction == 0


def test_a_base_is_a_name_or_a_folder_with_its_gguf_file(tmp_path: Path):
    assert Base.of("smollm2-135m") == Base("smollm2-135m", "smollm2-135m")
    assert Base.of("/models/base", tmp_path / "base.gguf") == Base("/models/base", str(tmp_path / "base.gguf"))
    with pytest.raises(ConfigError, match="name that file with --gguf"):
        Base.of("/models/base")


def test_the_arms_are_those_of_the_paper_and_what_a_user_would_train():
    assert [arm.shown for arm in ARMS if arm.tuned and not arm.joint] == ["none", "random", "sentence", "span"]
    assert len({arm.folder for arm in ARMS}) == len(ARMS)
    assert sum(arm.crf for arm in ARMS) == 1 and sum(arm.joint for arm in ARMS) == 1


def test_rows_are_means_over_the_seeds_and_differences_to_the_full_arm(tmp_path: Path):
    gold = [len(record(number, text)["entities"]) for number, text in enumerate(SENTENCES)]

    def done(name: str, seed: int, keep: int) -> Run:
        (arm,) = [arm for arm in ARMS if arm.name == name]
        run = Run(arm, CORPORA["resume_zh"], seed, tmp_path / arm.folder / str(seed), tmp_path, tmp_path)
        run.folder.mkdir(parents=True)
        counts = [[min(keep, many), 0, max(0, many - keep)] for many in gold]
        (run.folder / "figures.json").write_text(json.dumps({"train_s": 120, "found_s": 1, "counts": counts}))
        return run

    runs = {FULL: [done(FULL, 1, 9), done(FULL, 2, 1)], "LoRA alone": [done("LoRA alone", 1, 1)], "CRF": []}
    full, alone = rows_of(runs, samples=50)
    recall = sum(min(1, many) for many in gold) / sum(gold)
    f1 = 2 * recall / (1 + recall)
    assert (full.arm, full.f1, full.minutes) == (FULL, pytest.approx((1 + f1) / 2), 2.0)
    assert (full.by_seed, full.difference) == ((1.0, pytest.approx(f1)), None)
    assert full.spread == pytest.approx((1 - f1) / math.sqrt(2))
    assert alone.f1 == pytest.approx(f1) and alone.spread == 0
    both = (1 + recall) / 2
    assert alone.difference == pytest.approx(2 * both / (1 + both) - f1)
    assert 0 < alone.p_value <= 1
    steady = {FULL: [done(FULL, 3, 9), done(FULL, 4, 9)], "LoRA alone": runs["LoRA alone"]}
    _, sure = rows_of(steady, samples=200)
    _, unsure = rows_of(runs, samples=200)
    assert sure.p_value < unsure.p_value, "an advantage that hangs on the seed is less sure"


def test_a_line_of_the_table_is_in_percent():
    row = Row("LoRA + span demos, prompt", 0.5, 0.25, 1 / 3, (0.3, 1 / 3, 0.35), 0.012, 4.25, 0.1234, 0.02)
    said = line_of(row)
    assert len(said) <= 80
    assert said[26:].split() == ["3", "50.0", "25.0", "33.3", "1.2", "+12.3", "0.020", "4.2"]
    assert line_of(Row("CRF", 0, 0, 0, (0.0,), 0, 0, None, None)).split()[-3:] == ["-", "-", "0.0"]


def test_copies_are_a_prediction_file(tmp_path: Path):
    train = [Document("1", "海风公司的经理", (Entity(0, 4, "ORG"), Entity(5, 7, "TITLE")))]
    path = tmp_path / "found" / "predictions.jsonl"
    write_copied(train, [Document("a", "去海风公司见经理。", ())], 1, path)
    found = [(one["start"], one["end"], one["type"]) for one in json.loads(path.read_text())["entities"]]
    assert found == [(1, 5, "ORG"), (6, 8, "TITLE")]


@pytest.mark.parametrize("name", [arm.name for arm in ARMS if arm.based_on])
def test_what_an_arm_goes_on_from_must_be_there(name: str, words: Words, capsys: Any):
    assert experiment_mrc.main(words("--arms", name)) == 2
    assert f"{name} goes on from LoRA " in capsys.readouterr().err


def test_tags_lead_to_entities_and_back():
    document = Document("1", "林晓梅王大海去", (Entity(0, 3, "NAME"), Entity(3, 6, "NAME")))
    assert tags(document) == ["B-NAME", "I-NAME", "I-NAME", "B-NAME", "I-NAME", "I-NAME", "O"]
    found = [(item["start"], item["end"], item["type"]) for item in entities_of(tags(document))]
    assert found == [(0, 3, "NAME"), (3, 6, "NAME")]
    assert entities_of(["I-A", "I-B", "O", "I-B"]) == [
        {"start": 0, "end": 1, "type": "A"}, {"start": 1, "end": 2, "type": "B"}, {"start": 3, "end": 4, "type": "B"},
    ]  # fmt: skip
    assert len(features("去A1，")) == 4 and len(set(map(tuple, features("去去去去去去去")))) > 4
