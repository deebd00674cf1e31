"""The model behind vLLM on this machine's CPU, for as long as it is measured."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from serving_bench.servers import running, variant

from el4ner.config import Config
from engine_bench.setting import Setting

ENDPOINT = "http://127.0.0.1:8197/v1"
CONTEXT = 4096


def vllm_server(setting: Setting) -> tuple[Config, AbstractContextManager[Callable[[], float]]]:
    """The configuration of the served member, and its server, which says how much memory its processes held."""
    serve = {
        "model": str(setting.folder),
        "dtype": "bfloat16",
        "context": CONTEXT,
        "kv_tokens": 8 * CONTEXT,
        "extra_args": ["--enforce-eager"],
    }
    config = setting.config(engine="http", model="model", endpoint=ENDPOINT, serve=serve, concurrency=16, timeout_s=600)
    return config, _served(setting, config)


@contextmanager
def _served(setting: Setting, config: Config) -> Iterator[Callable[[], float]]:
    path = variant(config, setting.output, prefix_caching=True)
    with running(path, gpus=None, cpu=True):
        yield _served_mib


def _served_mib() -> float:
    """Most memory of vLLM's processes on this machine, MiB."""
    peaks = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"vllm" in (folder / "cmdline").read_bytes().lower():
                peaks += [
                    int(line.split()[1]) / 1024
                    for line in (folder / "status").read_text().splitlines()
                    if line.startswith("VmHWM")
                ]
        except OSError:
            continue
    return sum(peaks)
