"""From GGUF to a folder that Transformers, PEFT and vLLM load, tensor by tensor."""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from el4ner.errors import ModelError
from el4ner.models import store
from el4ner.models.architectures import config_of, end_ids, is_whole, restored, tensor_name
from el4ner.models.checkpoint import Checkpoint, row_blocks, shape_of
from el4ner.models.tokenizer import build_tokenizer


def safetensors_folder(name: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of an installed model that Transformers loads; made of its GGUF file the first time.

    Raises:
        ModelError: it cannot be converted, or does not fit on the disk.
    """
    folder = store.model_folder(name) / store.SAFETENSORS
    if (folder / "config.json").is_file():  # folders appear whole
        return folder
    with store.lock(name, say) as work:
        record = store.installed(name)
        if record is None:
            raise ModelError(f"{name} is not installed")
        try:
            if not folder.exists():
                say(f"{name}: writing {folder}")
                shutil.rmtree(work)
                (work / store.SAFETENSORS).mkdir(parents=True)
                convert(store.model_folder(name) / store.MODEL, work / store.SAFETENSORS)
                store.publish(name, record.source, [store.SAFETENSORS])
        finally:
            shutil.rmtree(work)
    return folder


def convert(source: Path, folder: Path) -> None:
    """Write configuration, tokenizer and weights (float16) of a GGUF file into an existing, empty folder.

    A head that the file stores apart from the embeddings stays apart: the two may be quantised differently.

    Raises:
        ModelError: the file is damaged, or holds something that cannot be converted.
        OSError: the folder cannot be written.
    """
    file = Checkpoint(source)
    config = config_of(file)
    _write_json(folder / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "pad_token_id") if config[key] is not None}
    _write_json(folder / "generation_config.json", {**ids, "eos_token_id": end_ids(file)})
    build_tokenizer(file).save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(file, config))
    _write_weights(file, folder / "model.safetensors")


def _tokenizer_config(file: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    names = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "pad_token": "pad_token_id"}
    tokens = {name: file.tokens[config[key]] for name, key in names.items() if config[key] is not None}
    template = file.value("tokenizer.chat_template")
    return {
        "tokenizer_class": "TokenizersBackend",
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
        **tokens,
        **({"chat_template": template} if template else {}),
    }


def _write_weights(file: Checkpoint, path: Path) -> None:
    """The safetensors format, written as the values come: a length, a header in JSON, then all values."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in file.tensors.items():
        shape = shape_of(tensor)
        start, end = end, end + 2 * int(np.prod(shape))
        header[tensor_name(file, name)] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    store.check_space(str(path), path.parent, end)
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)  # readers want aligned values
    with path.open("xb") as out:
        out.write(struct.pack("<Q", len(content)) + content)
        for name in file.tensors:
            for values in _halves(file, name):
                out.write(values.tobytes())
        out.flush()
        os.fsync(out.fileno())


def _halves(file: Checkpoint, name: str) -> Iterator[NDArray[np.float16]]:
    blocks = row_blocks(file.tensors[name])
    for values in [np.concatenate(list(blocks))] if is_whole(file, name) else blocks:
        with np.errstate(over="ignore"):
            half = restored(file, name, values).astype("<f2")
        if not np.isfinite(half).all():
            raise ModelError(f"{file.path}: tensor {name} does not fit float16; bring the published folder instead")
        yield half


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
