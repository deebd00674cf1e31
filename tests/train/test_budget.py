"""Training for a given time: the rate of every shape follows the clock, and the run ends with it."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import transformers  # noqa: E402

from el4ner.prompts.formats import answer_format  # noqa: E402
from el4ner.train.batches import Batches, Limits  # noqa: E402
from el4ner.train.budget import SHAPES, TimeBudget  # noqa: E402
from el4ner.train.config import OptimisationConfig, TaskConfig, TrainConfig  # noqa: E402
from el4ner.train.data import Sentence  # noqa: E402
from el4ner.train.examples import ExampleMaker, plan_epochs  # noqa: E402
from el4ner.train.tuning import tune  # noqa: E402

from .conftest import LABELS, TYPES, prompts_of  # noqa: E402

MINUTES, PEAK, WARMUP = 10.0, 0.5, 0.2


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, step: float = 0.0) -> None:
        self.seconds = 1000.0
        self.step = step

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


@pytest.mark.parametrize(
    ("shape", "half", "end"),
    [("linear", 0.5, 0.0), ("cosine", 0.5, 0.0), ("constant_with_warmup", 1.0, 1.0)],
)
def test_the_rate_rises_then_follows_its_shape(shape: str, half: float, end: float):
    clock = Clock()
    budget = TimeBudget(MINUTES, PEAK, shape, WARMUP, clock)
    clock.seconds += 500
    budget.on_train_begin()
    start = clock.seconds
    for gone, share in [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.6, half), (1.0, end), (1.5, end)]:
        clock.seconds = start + gone * MINUTES * 60
        assert budget.rate() == pytest.approx(share * PEAK, abs=1e-9), gone


def test_a_quarter_of_a_cosine_is_no_line():
    clock = Clock()
    budget = TimeBudget(MINUTES, PEAK, "cosine", 0.0, clock)
    clock.seconds += MINUTES * 15
    assert budget.rate() == pytest.approx(PEAK * (1 + math.cos(math.pi / 4)) / 2)


def test_every_schedule_of_the_configuration_has_a_shape():
    assert set(SHAPES) == set(OptimisationConfig.model_fields["schedule"].annotation.__args__)


def test_without_warm_up_the_rate_begins_at_its_peak():
    assert TimeBudget(MINUTES, PEAK, "linear", 0.0, Clock()).rate() == PEAK


def test_each_step_gets_the_rate_of_the_moment_and_the_last_one_ends_the_run():
    clock = Clock()
    budget = TimeBudget(MINUTES, PEAK, "linear", 0.0, clock)
    optimizer = SimpleNamespace(param_groups=[{"lr": 9.0}, {"lr": 9.0}])
    control = SimpleNamespace(should_training_stop=False)
    clock.seconds += MINUTES * 30
    budget.on_step_begin(optimizer=optimizer)
    budget.on_step_end(None, None, control)
    assert [group["lr"] for group in optimizer.param_groups] == [PEAK / 2] * 2
    assert not control.should_training_stop
    clock.seconds += MINUTES * 30
    budget.on_step_end(None, None, control)
    assert control.should_training_stop


def test_the_rate_that_is_logged_is_the_one_by_the_clock():
    clock = iter([0.0, 30.0])
    budget, logs = TimeBudget(1.0, 0.01, "linear", 0.0, lambda: next(clock)), {"loss": 1.0, "learning_rate": 0.009}
    budget.on_log(None, None, None, logs=logs)
    assert logs == {"loss": 1.0, "learning_rate": pytest.approx(0.005)}
    budget.on_log(None, None, None, logs=(other := {"eval_loss": 1.0}))
    assert other == {"eval_loss": 1.0}


def test_a_run_ends_by_time_with_a_rate_near_zero(
    tiny_model: Callable[..., Path], sentences: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EL4NER_QUIET", "1")
    rates: list[float] = []

    class Watched(TimeBudget):
        def __init__(self, *settings: Any) -> None:
            super().__init__(*settings, clock=Clock(step=1.0))

        def on_step_begin(self, *arguments: Any, **more: Any) -> None:
            super().on_step_begin(*arguments, **more)
            rates.append(more["optimizer"].param_groups[0]["lr"])

    monkeypatch.setattr("el4ner.train.tuning.TimeBudget", Watched)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model("qwen3"))
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model("qwen3"), dtype="float32")
    maker = ExampleMaker(sentences, prompts_of("compact"), answer_format("inline"), TYPES, lambda _, n: (), seed=1)
    batches = Batches(plan_epochs(sentences, TaskConfig(), 0, 20.0, seed=1), maker, tokenizer, Limits(96, 256), seed=1)
    config = TrainConfig.model_validate(
        {
            "model": "m", "output": "o", "labels": LABELS, "data": [{"path": "d", "language": "en"}], "device": "cpu",
            "optimisation": {"max_minutes": 1.0, "learning_rate": 0.01, "warmup": 0.2},
        }
    )  # fmt: skip
    figures = tune(model, config, batches, None, tmp_path, resume=False)
    assert len(batches) > 60 > len(rates) > 10
    assert figures["epoch"] == pytest.approx(len(rates) / len(batches))
    assert max(rates) == pytest.approx(0.01, rel=0.15) and rates.index(max(rates)) < len(rates) / 3
    assert rates[-1] < 0.001
