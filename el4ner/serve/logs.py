"""Why a server died, read from the end of its log, and what to do about it."""

import re
from pathlib import Path

TAIL = 200_000
"""Bytes read from the end of a log."""
_FAULT = re.compile(r"(?:\b[\w.]*(?:Error|Exception|OutOfMemory\w*)\b: ?.*|\berror: .+|No module named .+|Killed.*)")
_EMPTY = re.compile(r"(?:Engine core initialization failed|Failed core proc|WorkerProc initialization failed)")
_HARMLESS = re.compile(r"\b(?:DEBUG|INFO|WARNING)\b")
"""Levels of lines that may speak of errors without one."""
_ADVICE = (
    (r"No module named '?vllm", "install vLLM, or name an interpreter that has it: EL4NER_VLLM_PYTHON"),
    (r"Free memory on device|Available memory on node", "something else holds the memory; look with nvidia-smi or free -g"),
    (r"larger than the maximum number of tokens|max seq len|KV cache is needed", "raise serve.kv_tokens or lower serve.context"),
    (r"out of memory|OutOfMemory|Cannot allocate memory", "lower serve.kv_tokens or serve.concurrency"),
    (r"ddress already in use", "another program has the port; change the endpoint or end that program"),
    (r"unrecognized arguments|invalid choice", "this vLLM does not know an argument; use a supported version (docs/serving.md)"),
    (r"trust_remote_code|trust-remote-code", "remote code is refused; use weights that vLLM supports natively"),
    (r"Python\.h|C compiler|cc: |gcc: ", "add serve.extra_args: [--enforce-eager], or install a compiler and Python headers"),
    (r"target modules|max_lora_rank|LoRA", "check the adapter against its base (docs/serving.md, LoRA)"),
)  # fmt: skip


def tail(path: Path) -> str:
    """The end of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def reason(log: str) -> str:
    """One line: the root fault (the last one that says something), and what to do.

    Engines report a fault several times over; the general ones ("initialization failed") come last and say least.
    """
    lines = [line for line in log.splitlines() if not (_EMPTY.search(line) or _HARMLESS.search(line))]
    faults = [match[0].strip() for line in lines if (match := _FAULT.search(line))]
    fault = faults[-1][:300] if faults else "it wrote no error; see its log"
    advice = next((advice for pattern, advice in _ADVICE if re.search(pattern, fault)), "")
    return f"{fault}; {advice}" if advice else fault
