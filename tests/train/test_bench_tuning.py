"""The benchmark of tuning a shape: the training command runs, and its figures stand beside the estimate's."""

import re
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, Glm4Config

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import bench_tuning


def test_a_shape_is_tuned_and_measured(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert bench_tuning.main(["--shape", "tiny", "--layers", "1", "--sentences", "4", "--scratch", str(tmp_path)]) == 0
    shape, _, memory, time, rate = capfd.readouterr().out.splitlines()
    assert shape.startswith("tiny: 0.02 billion")
    for line, name in ((memory, "memory"), (time, "time")):
        said, was, ratio = map(float, re.findall(r"\d+\.\d+", line))
        assert line.startswith(name) and said > 0 and was > 0 and ratio > 0
    tokens, share = re.search(r"rate: ([\d,]+) tokens a second on .+, (\d+)% of", rate).groups()
    assert int(tokens.replace(",", "")) > 0 and int(share) > 0
    assert not list(tmp_path.iterdir()), "a scratch model was left behind"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "none.yaml"), ("a: [", "none.yaml"), ("a: 1", "no section optimisation")]
)
def test_a_file_that_is_no_recipe_is_said(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = tmp_path / "none.yaml"
    if content is not None:
        recipe.write_text(content, encoding="utf-8")
    assert bench_tuning.main(["--recipe", str(recipe)]) == 2
    assert said in capsys.readouterr().err


def test_the_big_shape_is_glm_4_9b():
    """9.4 billion values, as its model card says."""
    with bench_tuning.torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            Glm4Config(**bench_tuning.SHAPES["glm-4-9b"], head_dim=128, tie_word_embeddings=False)
        )
    assert model.num_parameters() / 1e9 == pytest.approx(9.4, abs=0.05)
