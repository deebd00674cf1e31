"""Stands in for vLLM's server: the same start, the same completion, a child process as engines have, faults by environment."""

import argparse
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--served-model-name")
parser.add_argument("--port", type=int)
parser.add_argument("--lora-modules", nargs="*", default=[])
options, _ = parser.parse_known_args()
names = [options.served_model_name, *(module.split("=")[0] for module in options.lora_modules)]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if os.environ.get("VLLM_API_KEY") and self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self.reply(401, {})
            return
        place = 0 if os.environ.get("FAKE_DEAD_ADAPTERS") else names.index(body["model"])
        top = [{"token": "a", "logprob": -1.0 - place}]
        content = {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": top}]}
        self.reply(200, {"choices": [{"message": {"content": "a"}, "finish_reason": "length", "logprobs": content}]})

    def reply(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if os.environ.get("FAKE_FAULT"):
    print("INFO loading\nValueError: Free memory on device cuda:0 (3.1/23.6 GiB) on startup is less than desired")
    print("RuntimeError: Engine core initialization failed. See root cause above.")
    sys.exit(1)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
