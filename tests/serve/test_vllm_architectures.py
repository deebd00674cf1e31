"""What the table of adapter targets says of GLM's architecture is what vLLM's own classes say."""

import json
import subprocess

import pytest

from el4ner.serve.adapters import TARGETS

ASK = """
import json
from vllm.model_executor.models.registry import ModelRegistry
from vllm.model_executor.models.glm4 import Glm4ForCausalLM
from vllm.model_executor.models.interfaces import supports_lora
known = set(ModelRegistry.get_supported_archs())
print(json.dumps({
    "known": [name for name in ("Glm4ForCausalLM", "GlmForCausalLM", "ChatGLMForConditionalGeneration") if name in known],
    "lora": supports_lora(Glm4ForCausalLM),
    "packed": Glm4ForCausalLM.packed_modules_mapping,
}))
"""


@pytest.mark.vllm
def test_vllm_takes_adapters_of_glm_on_the_modules_that_recipes_tune(vllm_python: str):
    done = subprocess.run([vllm_python, "-c", ASK], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["known"] == ["Glm4ForCausalLM", "GlmForCausalLM", "ChatGLMForConditionalGeneration"] and said["lora"]
    split = {part for parts in said["packed"].values() for part in parts}
    assert split == {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}
    assert split | {"o_proj", "down_proj"} == TARGETS["Glm4ForCausalLM"]
