import json

import pytest
import yaml

from el4ner.run import main

from .fakes import build, check_served, config_data, write_corpus


class Command:
    """The command over the fake pipeline, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "config.yaml"
        self.corpus = folder / "corpus.jsonl"
        self.output = folder / "out"
        self.configure()

    def configure(self, **sections):
        self.config.write_text(yaml.safe_dump(config_data(**sections)), encoding="utf-8")

    def write(self, texts):
        write_corpus(self.corpus, texts)

    def arguments(self, *more):
        return ["--config", str(self.config), "--input", str(self.corpus), "--output", str(self.output), *more]

    def __call__(self, *more, build=build):
        return main(self.arguments(*more), build=build)

    def records(self):
        return [json.loads(line) for line in (self.output / "predictions.jsonl").read_bytes().splitlines()]

    def run_json(self):
        return json.loads((self.output / "run.json").read_text(encoding="utf-8"))


@pytest.fixture
def command(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        for place in ("job", "preview"):
            patch.setattr(f"el4ner.batch.{place}.check_engines", check_served)
        yield Command(tmp_path)
