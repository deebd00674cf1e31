"""One model on several engines, asked the same requests: speed, memory, first token, F1.

    python scripts/bench_engines.py --gold FILE --pool FILE [--model smollm2-135m] [--sentences 100] [--output out/engines]

The first engine (llama.cpp) runs the whole pipeline over the sentences: extraction zero-shot and with five demonstrations,
and typing of every candidate. Its requests are recorded, and each other engine answers them. Then each engine's answers go
through the pipeline, which asks further where they differ, and the result is scored. Every engine has a process of its own,
and all cores. Results are kept in the output folder, and an engine that is there is not measured again.

engines   llama.cpp: the GGUF file that configurations run; vllm: a server on this machine's CPU, asked everything at once
          (EL4NER_VLLM_PYTHON names the interpreter that has it); transformers: in float32, one request after the other,
          answers not held to a form.

sent/s    sentences a second, loading not counted.   read/s, write/s  tokens of prompts and answers over the same time.
first ms  median time to the first token of a prompt that shares nothing with others.
MiB       most memory that the process held (of vllm: the server's).
lost      answers that could not be given, or were cut.

On two cores, llama.cpp takes about a minute for 20 sentences with a model of 135 million parameters.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from el4ner.environment import go_offline

go_offline()

from engine_bench.measure import ENGINES, measure  # noqa: E402
from engine_bench.setting import Setting  # noqa: E402
from engine_bench.table import print_table  # noqa: E402

from el4ner.errors import El4nerError, InputError  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--gold", type=Path, required=True, help="labelled sentences (PER, LOC, ORG)")
    add("--pool", type=Path, required=True, help="labelled sentences for demonstrations")
    add("--model", default="smollm2-135m", help="registry name or GGUF file (default: %(default)s)")
    add("--folder", type=Path, help="the same model as a safetensors folder (default: made from the registry's)")
    add("--engines", nargs="+", default=list(ENGINES), choices=ENGINES, metavar="NAME", help="which (default: all)")
    add("--sentences", type=int, default=100, help="at even distances (default: %(default)s)")
    add("--output", type=Path, default=Path("out/engines"), help="folder (default: %(default)s)")
    add("--only", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        setting = Setting.of(options)
        if options.only:
            measure(setting, options.only)
            return 0
        for engine in dict.fromkeys(["llama.cpp", *options.engines]):
            if not setting.result(engine).exists():
                _in_own_process(engine, list(arguments or sys.argv[1:]))
        print_table(setting, options.engines)
    except El4nerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _in_own_process(engine: str, arguments: list[str]) -> None:
    print(f"{engine} ...", file=sys.stderr, flush=True)
    if subprocess.run([sys.executable, __file__, *arguments, "--only", engine], check=False).returncode:
        raise InputError(f"engine {engine} could not be measured; leave it out with --engines")


if __name__ == "__main__":
    sys.exit(main())
