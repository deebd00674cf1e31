"""Runs that are killed, stopped or repeated, compared with the run that nothing happened to."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from el4ner.batch.journal import Journal
from el4ner.batch.resume import comparable

from .fakes import FakePipeline, make_config

FAKES = Path(__file__).with_name("fakes.py")
TEXTS = [
    f"Anna {number} went to Rome.\r\n"
    + "She met Bob 😀 in 张三 town. " * (number % 7)
    + ("#silent" if number % 5 == 0 else "")
    for number in range(60)
]


def start(command, *more, delay_s=0.02):
    program = [sys.executable, str(FAKES), *command.arguments("--quiet", *more)]
    environment = {**os.environ, "FAKE_DELAY_S": str(delay_s)}
    return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE)


def wait_for_records(command, process, count):
    path = command.output / "predictions.jsonl"
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.002)


@pytest.fixture
def expected(command):
    command.configure(batch={"windows_in_flight": 5})
    command.write(TEXTS)
    assert command("--quiet", "--format", "conll") == 0
    files = {name: (command.output / name).read_bytes() for name in ("predictions.jsonl", "predictions.conll")}
    for path in command.output.iterdir():
        path.unlink()
    return files


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_byte_for_byte_like_the_one_that_was_not(command, expected):
    chance = random.Random(7)
    journal = command.output / "predictions.jsonl"
    for count in (1, 14, 33, 50):
        process = start(command, "--format", "conll")
        wait_for_records(command, process, count)
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert expected["predictions.jsonl"].startswith(journal.read_bytes())
        if chance.random() < 0.7:
            with journal.open("ab") as stream:
                stream.write(expected["predictions.jsonl"][journal.stat().st_size :][:17])
    assert command("--quiet", "--format", "conll") == 0
    assert {name: (command.output / name).read_bytes() for name in expected} == expected
    run = command.run_json()
    assert run["state"] == "finished"
    assert len(run["attempts"]) > 2
    assert run["attempts"][-1]["resumed_at"] >= 50
    assert run["results"]["documents"] == 60


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_130_and_it_goes_on_later(command, expected, number):
    process = start(command)
    wait_for_records(command, process, 5)
    process.send_signal(number)
    assert process.wait(timeout=20) == 130
    assert command.run_json()["state"] == "interrupted"
    assert 5 <= len(command.records()) < 60
    assert command("--quiet") == 0
    assert (command.output / "predictions.jsonl").read_bytes() == expected["predictions.jsonl"]


def counting(asked):
    class Counting(FakePipeline):
        async def find(self, window):
            asked.append(window.document_id)
            return await super().find(window)

    return lambda config, meter, cache: Counting(meter)


def test_a_finished_run_is_not_done_again(command, capsys):
    command.write(["Anna.", "Bob."])
    assert command() == 0
    before = command.run_json()
    asked = []
    assert command(build=counting(asked)) == 0
    assert (asked, command.run_json()) == ([], before)
    assert "finished" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--resume"]])
def test_documents_that_a_finished_run_lacks_by_now_are_done(command, more):
    command.write(["Anna.", "Bob."])
    command("--quiet")
    command.write(["Anna.", "Bob.", "Carl."])
    asked = []
    assert command("--quiet", *more, build=counting(asked)) == 0
    assert asked == ["d2"]
    assert [record["id"] for record in command.records()] == ["d0", "d1", "d2"]


def test_a_wider_limit_goes_on_and_costs_of_both_attempts_are_added(command):
    command.write(["Anna.", "Bob.", "Carl."])
    command("--quiet", "--limit", "1")
    asked = []
    assert command("--quiet", build=counting(asked)) == 0
    assert asked == ["d1", "d2"]
    totals = command.run_json()["totals"]
    assert totals["windows"] == 3
    assert totals["counts"] == {"not-in-text": 3}
    assert totals["members"]["one"]["extract"]["requests"] == 3
    assert "all" not in totals["members"]["one"]


def test_columns_can_be_had_from_a_finished_run_without_asking_again(command):
    command.write(["Anna met Bob."])
    command("--quiet")
    asked = []
    assert command("--quiet", "--format", "conll", build=counting(asked)) == 0
    assert asked == []
    assert "Anna\tB-PER" in (command.output / "predictions.conll").read_text()


def test_fresh_forgets_what_was(command):
    command.write(["Anna."])
    command("--quiet")
    command.write(["Bob."])
    assert command("--quiet", "--fresh") == 0
    assert [record["entities"][0]["text"] for record in command.records()] == ["Bob"]
    assert len(command.run_json()["attempts"]) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_fresh_that_is_killed_while_it_clears_begins_anew(command, monkeypatch, when):
    command.write(["Anna.", "Bob."])
    command("--quiet")
    clear = Journal.clear

    def killed(journal):
        if when == "after":
            clear(journal)
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Journal, "clear", killed)
        command("--quiet", "--fresh")
    asked = []
    assert command("--quiet", build=counting(asked)) == 0
    assert asked == ["d0", "d1"] and len(command.records()) == 2
    assert command.run_json()["state"] == "finished"


def test_a_finished_run_whose_records_were_cut_goes_on(command):
    command.write(["Anna.", "Bob."])
    command("--quiet")
    journal = command.output / "predictions.jsonl"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    asked = []
    assert command("--quiet", build=counting(asked)) == 0
    assert asked == ["d1"] and len(command.records()) == 2


def test_another_configuration_is_refused_by_the_name_of_the_key(command, capsys):
    command.write(["Anna."])
    command("--quiet")
    before = (command.output / "predictions.jsonl").read_bytes()
    command.configure(extract={"occurrences": "marked"})
    assert command("--quiet") == 2
    message = capsys.readouterr().err
    assert "extract.occurrences" in message
    assert "--fresh" in message
    assert (command.output / "predictions.jsonl").read_bytes() == before


def members_named(*names, **more):
    return [{"name": name, "engine": "local", "model": f"{name}.gguf"} | more for name in names]


MAY_CHANGE = {
    "batch.windows_in_flight",
    "batch.cache",
    *(f"members.0.{key}" for key in ("endpoint", "api_key_env", "concurrency", "timeout_s", "retries")),
}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"batch": {"quorum": 2}}, "batch.quorum"),
        ({"batch": {"candidates": True}}, "batch.candidates"),
        ({"members": members_named("one", "two", "three", prompt_style="compact")}, "members.0.prompt_style"),
        ({"members": members_named("one", "two", "three", "four")}, "members.3."),
        ({"members": members_named("one", "two")}, "members.2."),
        ({"allow_hosts": ["models.example"]}, "allow_hosts"),
        ({"seed": 14}, "seed"),
    ],
)
def test_whatever_can_change_a_result_may_not_change(command, capsys, changed, key):
    command.write(["Anna.", "Bob."])
    assert command("--quiet", "--limit", "1") == 0
    command.configure(**changed)
    assert command("--quiet") == 2
    assert key in capsys.readouterr().err
    assert len(command.records()) == 1


def leaves(data, path=""):
    """Every value of a nested configuration with its path."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        name = f"{path}.{key}" if path else str(key)
        yield from leaves(value, name) if isinstance(value, dict | list) and value else [(data, key, name)]


def test_every_key_is_compared_but_those_of_speed_and_transport():
    """The types in which a server computes its weights among them."""
    served = {"engine": "http", "model": "m", "endpoint": "http://127.0.0.1:9/v1", "serve": {"model": "weights"}}
    dump = make_config(members=[served | {"name": name} for name in ("one", "two")]).model_dump(mode="json")
    assert "dtype" in dump["members"][0]["serve"]
    same = comparable(dump)
    free = set()
    for holder, key, name in list(leaves(dump)):
        before, holder[key] = holder[key], "another value"
        free |= {name} if comparable(dump) == same else set()
        holder[key] = before
    assert {name for name in free if not name.startswith("members.1.")} == MAY_CHANGE
    assert comparable(dump) == same


def test_of_many_changed_keys_five_are_named(command, capsys):
    command.write(["Anna."])
    command("--quiet")
    windows = {"max_columns": 70, "overlap_columns": 10}
    command.configure(windows=windows, seed=14)
    assert command("--quiet") == 2
    assert "(changed: seed, windows.max_columns, windows.overlap_columns)" in capsys.readouterr().err
    command.configure(windows=windows, seed=14, batch={"quorum": 2, "candidates": True})
    assert command("--quiet") == 2
    five = "batch.candidates, batch.quorum, seed, windows.max_columns, windows.overlap_columns"
    assert f"(changed: {five})" in capsys.readouterr().err
    command.configure(windows=windows, seed=14, batch={"quorum": 2, "candidates": True}, language="en")
    assert command("--quiet") == 2
    assert (
        f"(changed: {five.replace('seed', 'language, seed').rpartition(', ')[0]} and more)" in capsys.readouterr().err
    )


def test_a_run_that_an_earlier_version_began_elsewhere_goes_on(command, capsys):
    """Its record has the former names of keys, the former place of what ships, and nothing that came later."""
    command.write(["Anna.", "Bob."])
    assert command("--quiet", "--limit", "1") == 0
    run = command.run_json()
    classify = run["configuration"]["classify"]
    classify["trust_unfound"] = classify.pop("unextracted_vote_discount")
    classify["weigh"] = classify.pop("rescore_disputed")
    run["configuration"]["embedder"]["path"] = "/opt/former/lib/el4ner/bundled/embedder"
    for key in ("limit", "format", "inputs", "seeds", "warnings"):
        del run[key]
    (command.output / "run.json").write_text(json.dumps(run))
    (first,) = command.records()
    for entity in first["entities"]:
        entity["verified"] = False
    first.pop("text_hash")
    (command.output / "predictions.jsonl").write_text(json.dumps(first) + "\n")
    assert command("--quiet", "--resume") == 0
    assert [(record["id"], record["status"]) for record in command.records()] == [("d0", "ok"), ("d1", "ok")]
    classify["trust_unfound"] = 0.5
    (command.output / "run.json").write_text(json.dumps(run))
    assert command("--quiet", "--resume") == 2
    assert "changed: classify.unextracted_vote_discount" in capsys.readouterr().err


def test_how_fast_a_run_goes_may_change(command):
    command.write(["Anna.", "Bob."])
    command("--quiet", "--limit", "1")
    flow = {"windows_in_flight": 1, "cache": True}
    command.configure(members=members_named("one", "two", "three", concurrency=3, timeout_s=9), batch=flow)
    assert command("--quiet") == 0
    assert len(command.records()) == 2


def test_changed_models_are_refused(command, capsys):
    command.write(["Anna.", "Bob."])
    command("--quiet", "--limit", "1")

    class Changed(FakePipeline):
        def provenance(self):
            return {"members": {"one": "other weights"}}

    assert command("--quiet", build=lambda config, meter, cache: Changed(meter)) == 2
    assert "have changed" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--resume"]])
@pytest.mark.parametrize("texts", [["Anna."], ["Anna.", "Eve?"], ["Anna.", "Bob. It rained."]])
def test_an_input_that_is_not_the_earlier_one_is_refused_without_quoting_it(command, capsys, texts, more):
    command.write(["Anna.", "Bob."])
    command("--quiet")
    command.write(texts)
    assert command("--quiet", *more) == 2
    message = capsys.readouterr().err
    assert "record 2 of 2" in message
    assert "Bob" not in message
    assert len(command.records()) == 2


def test_predictions_of_unknown_origin_are_not_overwritten(command, capsys):
    command.write(["Anna."])
    command.output.mkdir()
    (command.output / "predictions.jsonl").write_text("precious\n")
    assert command("--quiet") == 2
    assert "without run.json" in capsys.readouterr().err
    assert (command.output / "predictions.jsonl").read_text() == "precious\n"


def test_nothing_to_resume_is_said(command, capsys):
    command.write(["Anna."])
    assert command("--quiet", "--resume") == 2
    assert "no run to resume" in capsys.readouterr().err


def test_text_and_no_text_are_not_mixed_in_one_file(command, capsys):
    command.write(["Anna.", "Bob."])
    command("--quiet", "--limit", "1")
    assert command("--quiet", "--no-text") == 2
    assert "holds a run without --no-text; use the same option" in capsys.readouterr().err
    assert command("--quiet", "--no-text", "--fresh", "--limit", "1") == 0
    assert command("--quiet") == 2
    assert "holds a run with --no-text; use the same option" in capsys.readouterr().err


def test_two_processes_do_not_write_one_folder(command, capsys):
    command.write(["Anna."])
    with Journal(command.output):
        assert command("--quiet") == 2
    assert "another process" in capsys.readouterr().err


def test_a_run_stopped_by_failures_goes_on_after_them(command):
    command.write(["#error", "#error", "Anna.", "Bob."])
    assert command("--quiet", "--max-failures", "1") == 3
    assert command.run_json()["state"] == "max-failures"
    assert len(command.records()) == 2
    assert command("--quiet", "--max-failures", "1") == 1
    assert [record["status"] for record in command.records()] == ["failed", "failed", "ok", "ok"]
