"""A causal language model with its tokenizer, from a folder, in the asked precision."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from el4ner.errors import ModelError
from el4ner.members.bloom import fuse_bloom
from el4ner.members.int8 import quantise
from el4ner.models.weights import check_model_folder


def load(folder: Path, adapter: Path | None, device: str, dtype: str) -> tuple[Any, Any]:
    """Tokenizer and model, the adapter merged into it.

    Args:
        folder: model folder.
        adapter: folder of a PEFT adapter, if any.
        device: cpu, cuda or cuda:N.
        dtype: float32, bfloat16, float16 or int8.

    Raises:
        ModelError: the folder cannot or may not be loaded.
    """
    import transformers

    check_model_folder(folder)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32 if dtype == "int8" else getattr(torch, dtype), use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be loaded ({type(error).__name__}); check that the download is complete"
        ) from error
    if not tokenizer.chat_template:
        raise ModelError(f"{folder} has no chat template; use an instruction-tuned model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = _with_adapter(model, adapter).to(device).eval()
    fuse_bloom(model)
    if dtype == "int8":
        quantise(model.base_model)
    return tokenizer, model


def _with_adapter(model: Any, adapter: Path | None) -> Any:
    if adapter is None:
        return model
    from peft import PeftConfig, PeftModel

    try:
        tuned = PeftModel(model, PeftConfig.from_pretrained(adapter))
        lacking = tuned.load_adapter(adapter, "default").missing_keys
        merged = tuned.merge_and_unload()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{adapter} cannot be put on this model ({type(error).__name__}); give an adapter that was tuned on it"
        ) from error
    if lacking:  # PEFT would only warn, and the base model would answer
        raise ModelError(f"{adapter} lacks {len(lacking)} of the tensors that it names; fetch or train it again")
    return merged


def context_of(config: Any, tokenizer: Any) -> int:
    """Most tokens of prompt and answer together."""
    lengths = [getattr(config, name, None) for name in ("max_position_embeddings", "seq_length", "n_positions")]
    known = [length for length in [*lengths, tokenizer.model_max_length] if isinstance(length, int) and length < 10**9]
    return min(known, default=4096)


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer, the tokenizer's own first."""
    configured = model.generation_config.eos_token_id
    ends = [configured] if isinstance(configured, int) else list(configured or [])
    return list(dict.fromkeys([tokenizer.eos_token_id, *ends]))
