"""Averaged models: their weights are the weighted mean, and only tunings of one model are averaged."""

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_models import save_tiny  # noqa: E402

from el4ner.learn.averaging import average  # noqa: E402
from el4ner.learn.models import load_weights  # noqa: E402
from el4ner.members.tuned import Tuned, read_tuned, write_tuned  # noqa: E402
from el4ner.models.weights import check_model_folder  # noqa: E402
from el4ner.train import main  # noqa: E402


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two tunings of one model, the second with a card."""
    folders = tmp_path / "one", tmp_path / "two"
    for seed, folder in enumerate(folders):
        save_tiny("qwen3", folder, seed)
    (folders[1] / "README.md").write_text("# tuned\n", encoding="utf-8")
    for word, folder in zip(("person", "drug"), folders, strict=True):
        write_tuned(folder, Tuned("compact", (word,)))
    return folders


def test_weights_are_the_weighted_mean(pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one, two = pair
    output = tmp_path / "mean"
    assert main(["average", "--models", str(one), f"{two}=3", "--output", str(output)]) == 0
    assert str(output) in capsys.readouterr().out
    check_model_folder(output)
    first, second, mean = (load_weights(str(folder)).state_dict() for folder in (one, two, output))
    for name, tensor in mean.items():
        assert torch.allclose(tensor, 0.25 * first[name] + 0.75 * second[name], atol=1e-6), name
    assert (output / "README.md").read_text(encoding="utf-8") == "# tuned\n"
    assert (output / "chat_template.jinja").is_file()
    assert read_tuned(output) == Tuned("compact", ("drug", "person"))


def test_a_model_averaged_with_itself_is_itself(pair: tuple[Path, Path], tmp_path: Path):
    average([(pair[0], 1.0), (pair[0], 2.0)], tmp_path / "same")
    before, after = (load_weights(str(folder)).state_dict() for folder in (pair[0], tmp_path / "same"))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_what_cannot_be_averaged_is_refused(
    pair: tuple[Path, Path], tiny_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    one, two = map(str, pair)
    other = str(tiny_model("opt"))
    cases = [
        ([one], tmp_path / "a", "two model folders at least"),
        ([one, f"{two}=0"], tmp_path / "b", "weight above 0"),
        ([one, other], tmp_path / "c", "has other tensors"),
        ([one, str(tmp_path / "missing=x")], tmp_path / "d", "missing=x"),
        ([one, two], pair[0], "holds a model already"),
    ]
    for models, output, message in cases:
        assert main(["average", "--models", *models, "--output", str(output)]) != 0
        assert message in capsys.readouterr().err.replace("\n", "")
    assert not any((tmp_path / name).exists() for name in "abcd")
