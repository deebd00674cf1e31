"""Training for a given time: the learning rate follows the clock instead of the steps, so it ends where the time ends."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant_with_warmup": lambda _done: 1.0,
}


class TimeBudget(TrainerCallback):  # type: ignore[misc]
    """Sets the learning rate by the share of the time that is gone, and stops the training when all of it is.

    Args:
        minutes: how long to train, evaluations included.
        peak: learning rate after warm-up.
        shape: a schedule of :data:`SHAPES`, over the time after warm-up.
        warmup: share of the time in which the rate rises.
        clock: seconds; for tests.
    """

    def __init__(
        self, minutes: float, peak: float, shape: str, warmup: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = minutes * 60
        self._peak = peak
        self._shape = SHAPES[shape]
        self._warmup = warmup
        self._clock = clock
        self._start = clock()

    def rate(self) -> float:
        """The learning rate of this moment."""
        gone = self._gone()
        if gone < self._warmup:
            return self._peak * gone / self._warmup
        return self._peak * self._shape((gone - self._warmup) / (1 - self._warmup))

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The time counts from here."""
        self._start = self._clock()

    def on_step_begin(self, *_: Any, optimizer: Any, **__: Any) -> None:
        """The scheduler of the Trainer has set a rate by steps; the next update uses this one."""
        for group in optimizer.param_groups:
            group["lr"] = self.rate()

    def on_step_end(self, _arguments: Any, _state: Any, control: Any, **_: Any) -> None:
        """Stop once the time is gone."""
        if self._gone() >= 1:
            control.should_training_stop = True

    def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
        """The rate to be logged is this one, not that of the Trainer's scheduler; see :meth:`on_step_begin`."""
        if "learning_rate" in logs:
            logs["learning_rate"] = self.rate()

    def _gone(self) -> float:
        return min(1.0, (self._clock() - self._start) / self._seconds)
