"""A device that is not here is refused before anything is read."""

import sys

import pytest

torch = pytest.importorskip("torch")

from el4ner.config import EmbedderConfig  # noqa: E402
from el4ner.demos.embed import build_embedder  # noqa: E402
from el4ner.devices import check_device  # noqa: E402
from el4ner.errors import ConfigError  # noqa: E402


def with_cards(monkeypatch: pytest.MonkeyPatch, cards: int, built: bool = True) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)


@pytest.mark.parametrize(
    ("device", "cards", "built", "words"),
    [
        ("cuda", 0, False, "setup.sh --cuda"),
        ("cuda", 0, True, "nvidia-smi"),
        ("cuda:1", 1, True, "cuda:0 alone"),
        ("cuda:4", 2, True, "cuda:0 to cuda:1"),
        ("gpu", 1, True, "cuda:N"),
        ("cuda:x", 1, True, "cuda:N"),
    ],
)
def test_what_is_not_here_is_refused(device: str, cards: int, built: bool, words: str, monkeypatch) -> None:
    with_cards(monkeypatch, cards, built)
    with pytest.raises(ConfigError, match="training: device") as refused:
        check_device(device, "training")
    assert words in str(refused.value) and device in str(refused.value)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_what_is_here_is_taken(device: str, monkeypatch) -> None:
    with_cards(monkeypatch, 2)
    check_device(device, "training")


def test_the_cpu_needs_no_torch(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    check_device("cpu", "training")


def test_an_embedder_needs_its_device_too(tmp_path, monkeypatch) -> None:
    with_cards(monkeypatch, 0)
    (tmp_path / "modules.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="embedder: device cuda"):
        build_embedder(EmbedderConfig(path=str(tmp_path), device="cuda"))
