"""A student comes nearer to its teacher, and stops with the time."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")

from transformers import AutoModelForCausalLM

from el4ner.learn.encode import IGNORE
from el4ner.starter.matching import distance, match
from tests.tiny_models import save_tiny


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    labels = ids.clone()
    labels[:, :6] = IGNORE
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def models(tmp_path: Path) -> tuple[torch.nn.Module, torch.nn.Module]:
    teacher = AutoModelForCausalLM.from_pretrained(save_tiny("qwen3", tmp_path / "teacher"), dtype=torch.float32)
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(teacher.config), teacher.eval()


def test_a_model_is_at_no_distance_from_itself(tmp_path: Path):
    _, teacher = models(tmp_path)
    found = distance(teacher, teacher, batch())
    assert (float(found.streams), float(found.answers)) == (0.0, pytest.approx(0.0, abs=1e-6))


def test_only_answers_and_real_tokens_count(tmp_path: Path):
    student, teacher = models(tmp_path)
    given = batch()
    padded = {**given, "input_ids": given["input_ids"].clone()}
    padded["input_ids"][0, :4] = 7
    first, second = distance(student, teacher, given), distance(student, teacher, padded)
    assert float(first.streams) == pytest.approx(float(second.streams), rel=1e-4)
    nothing = distance(student, teacher, {**given, "labels": torch.full_like(given["labels"], IGNORE)})
    assert float(nothing.answers) == 0.0
    assert float(nothing.streams) == pytest.approx(float(first.streams))


def test_the_student_comes_nearer_until_the_time_is_gone(tmp_path: Path):
    student, teacher = models(tmp_path)
    before = distance(student, teacher, batch())
    weights = [parameter.clone() for parameter in teacher.parameters()]
    ticks = iter(range(1000))
    match(student, teacher, [batch()], minutes=1.0, clock=lambda: float(next(ticks)))
    after = distance(student, teacher, batch())
    assert after.streams < 0.8 * before.streams and after.answers < before.answers
    assert 55 < next(ticks) < 65
    assert all(torch.equal(a, b) for a, b in zip(weights, teacher.parameters(), strict=True))
