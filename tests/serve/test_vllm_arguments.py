"""Every argument that a plan can print, read by vLLM's own parser."""

import json
import subprocess
from pathlib import Path

import pytest

from el4ner.serve.command import arguments
from el4ner.serve.control import make_plan
from el4ner.serve.placement import Placed
from tests.serve.conftest import SERVED, Member, configuration, shipped
from tests.serve.models import PUBLISHED, save_adapter

PARSE = """
import json, sys
from vllm.utils.argparse_utils import FlexibleArgumentParser
try:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
except ImportError:
    from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
names = ("model", "max_model_len", "kv_cache_memory_bytes", "tensor_parallel_size", "data_parallel_size", "load_format",
         "quantization", "max_num_seqs")
for line in sys.stdin:
    options = make_arg_parser(FlexibleArgumentParser()).parse_args(json.loads(line))
    validate_parsed_serve_args(options)
    print(json.dumps({name: getattr(options, name) for name in names}))
"""


def everything(member: Member, tmp_path: Path) -> list[Placed]:
    """Every server of every shipped configuration, and of one that needs what those do not."""
    adapter = save_adapter(tmp_path / "adapter", PUBLISHED["Qwen3-0.6B"], ["q_proj"], rank=8)
    several = configuration(
        member("wide", "phi-4", port=8001, replicas=2, extra_args=["--enforce-eager"]),
        member("ner", "Qwen3-0.6B", port=8002, adapter=str(adapter), dtype="fp8"),
    )
    plans = [make_plan(several, gpus="6x24GiB", cpu=False)]
    plans += [
        make_plan(shipped(name, tmp_path / "models"), gpus="80GB", cpu=False, sizes_suffice=True) for name in SERVED
    ]
    plans.append(make_plan(shipped("small-vllm", tmp_path / "models"), gpus=None, cpu=True, sizes_suffice=True))
    return [placed for plan in plans for placed in plan.placed]


@pytest.mark.vllm
def test_vllm_reads_every_argument_as_it_was_meant(member: Member, tmp_path: Path, vllm_python: str):
    placed = everything(member, tmp_path)
    lines = "\n".join(json.dumps(arguments(item)) for item in placed)
    done = subprocess.run([vllm_python, "-c", PARSE], input=lines, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    read = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(read) == len(placed) > 12
    for item, options in zip(placed, read, strict=True):
        assert options == {
            "model": str(item.server.model.path), "max_model_len": item.server.asked.context,
            "kv_cache_memory_bytes": item.need.kv, "tensor_parallel_size": item.tensor_parallel,
            "data_parallel_size": item.replicas, "load_format": "safetensors",
            "quantization": "fp8" if item.server.asked.fp8 else None, "max_num_seqs": item.server.asked.concurrency,
        }  # fmt: skip
