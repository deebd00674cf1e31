"""A causal language model with its tokenizer, from a folder, in the asked precision."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from el4ner.errors import ModelError
from el4ner.members.bloom import fuse_bloom
from el4ner.members.int8 import quantise
from el4ner.models.weights import check_model_folder
from el4ner.prompts.chat import ChatTemplate


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
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return list(dict.fromkeys([*own, *ends]))


def template_of(tokenizer: Any, arguments: Mapping[str, Any] | None = None) -> ChatTemplate:
    """How conversations with a tokenizer's model are written: by its chat template, or plainly where it has none.

    Args:
        tokenizer: of Transformers.
        arguments: further variables of the template.

    Raises:
        ModelError: the template is no valid Jinja, or there are several and none is the default.
    """
    source = tokenizer.chat_template or None
    if isinstance(source, dict):
        if "default" not in source:
            raise ModelError(
                f"the tokenizer has the chat templates {', '.join(sorted(source))}; call one of them default"
            )
        source = source["default"]
    bos = tokenizer.bos_token_id
    puts_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    return ChatTemplate(source, tokenizer.bos_token, tokenizer.eos_token, arguments, puts_bos=puts_bos)
