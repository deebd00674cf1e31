"""The command as its users see it."""

import json
import os
import re
import stat
import subprocess
import sys

import pytest

from el4ner.batch.job import Job
from el4ner.batch.merge import Outcome
from el4ner.batch.prediction import Prediction
from el4ner.batch.record import MAX_KINDS, Attempt, kind_of
from el4ner.run import main
from el4ner.text.formats import read_labelled

from .fakes import FakePipeline, build

SECRET = "Zebulon"


def all_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_record_holds_what_the_contract_says(command):
    command.write(["Anna met Bob."])
    assert command("--quiet") == 0
    (record,) = command.records()
    votes = {"one": "PER", "two": "PER", "three": "PER"}
    anna = {"start": 0, "end": 4, "type": "PER", "text": "Anna", "score": 1.0, "votes": votes}
    assert list(record) == ["id", "status", "entities", "members_answered", "score_kind", "text_hash"]
    assert record["entities"][0] == anna
    assert record["members_answered"] == ["one", "two", "three"]
    assert record["score_kind"] == "votes"


def test_offsets_are_code_points_of_the_text_as_given(command):
    text = "𝒜😀\r\nAnna\r\n👩‍👩‍👧 张三 Bob\u2028Rome\u0301"
    command.write([text])
    assert command("--quiet") == 0
    (record,) = command.records()
    assert [entity["text"] for entity in record["entities"]] == ["Anna", "张三", "Bob", "Rome"]
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in record["entities"])


def test_crlf_in_a_plain_file_is_kept(command, tmp_path):
    plain = tmp_path / "letter.txt"
    plain.write_bytes(b"Dear\r\nAnna,\r\n\r\nBob\r\n")
    main(["--config", str(command.config), "--input", str(plain), "--output", str(command.output), "--quiet"], build)
    found = [(entity["start"], entity["text"]) for entity in command.records()[0]["entities"]]
    assert found == [(0, "Dear"), (6, "Anna"), (15, "Bob")]


def test_what_failed_has_its_reason_and_the_exit_code_says_so(command):
    command.write(["Anna.", "Bob #mute", "Carl #error", f"{SECRET} #crash", "Dora #silent"])
    assert command("--quiet") == 1
    records = command.records()
    assert [record["status"] for record in records] == ["ok", "failed", "failed", "failed", "partial"]
    assert [record["entities"] for record in records[1:4]] == [[], [], []]
    assert "0 of 3 members answered, the quorum is 1" in records[1]["reason"]
    assert records[2]["reason"] == "window 1 of 1: member one: HTTP status 500"
    assert records[4]["reason"] == "two, extract: no answer in time"
    assert SECRET.encode() not in all_bytes(command.output)


def test_run_json_tells_what_was_run_and_what_came_of_it(command):
    command.write(["Anna met Bob.", "Rome1 #silent"])
    command("--quiet")
    run = command.run_json()
    assert run["state"] == "finished"
    assert run["results"]["by_status"] == {"ok": 1, "partial": 1, "failed": 0}
    assert run["results"]["by_type"] == {"PER": 1, "LOC": 2}
    assert set(run["versions"]) == {"el4ner", "python", "torch", "transformers", "faiss", "platform"}
    assert run["provenance"] == FakePipeline().provenance()
    assert run["seeds"] == {"seed": 13}
    assert run["totals"]["problems"] == {"two, extract: no answer in time": 1}
    assert run["totals"]["members"]["one"]["extract"]["prompt_tokens"] == 20
    (attempt,) = run["attempts"]
    assert attempt["command"][:3] == ["python", "-m", "el4ner.run"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", attempt["finished"])


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (
            "qwen3-14b, extract: the answer copies 35 of 120 characters",
            "qwen3-14b, extract: the answer copies * of * characters",
        ),
        ("one, verify: request 6f539453d1d0: no recorded answer", "one, verify: request *: no recorded answer"),
        ("phi-4, extract: HTTP 503", "phi-4, extract: HTTP 503"),
    ],
)
def test_problems_are_counted_by_kind(problem, kind):
    assert kind_of(problem) == kind


def test_the_number_of_kinds_is_bounded():
    attempt = Attempt(())
    for number in range(MAX_KINDS + 100):
        attempt.add(Outcome(Prediction("d", "ok"), problems=(f"member m{number}: away",)))
    problems = attempt.as_dict("finished", {})["problems"]
    assert len(problems) == MAX_KINDS + 1
    assert problems["other problems"] == 100


def test_user_and_password_in_the_command_line_are_left_out():
    attempt = Attempt(("run", "--input", "http://ann:secret@host/x"))
    assert attempt.as_dict("finished", {})["command"] == ["run", "--input", "http://host/x"]


def test_the_report_fits_80_columns_and_names_the_most_frequent_surfaces(command):
    command.write(["Anna met Anna and Bob." + "x" * 100 + " Q" + "u" * 120])
    command("--quiet")
    report = (command.output / "report.txt").read_text()
    assert max(map(len, report.splitlines())) <= 80
    assert re.search(r"Most frequent: PER\n +2  Anna\n", report)


def test_outputs_are_for_their_owner_alone(command):
    command.write(["Anna."])
    old = os.umask(0)
    try:
        command("--quiet", "--format", "conll")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in command.output.iterdir()}
    assert modes == dict.fromkeys(["predictions.jsonl", "predictions.conll", "run.json", "report.txt"], 0o600)


def test_no_text_keeps_it_out_of_files_and_terminal(command, capfd):
    command.write([f"{SECRET} went home.", f"{SECRET} #error", f"{SECRET} #silent"])
    assert command("--no-text") == 1
    assert SECRET.encode() not in all_bytes(command.output)
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    assert command.records()[0]["entities"][0]["end"] == len(SECRET)
    assert command("--no-text", "--fresh", "--format", "conll") == 2


def test_columns_are_read_back_and_what_they_cannot_hold_is_counted(command):
    command.write(["Anna met 张三.", "Bob #error"])
    command("--quiet", "--format", "conll")
    first, second = read_labelled(command.output / "predictions.conll")
    assert [(entity.span.surface(first.text), entity.type) for entity in first.entities] == [
        ("Anna", "PER"),
        ("张三", "PER"),
    ]
    assert second.entities == ()
    assert command.run_json()["conll"] == {"entities_left_out": 0, "failed_documents": 1}


def test_documents_are_shown_with_marks_and_markup_in_them_is_not_obeyed(command, capsys):
    command.write(["[bold]Anna[/bold] \x1b[31mBob\x07", "Carl.", "Dora.", "Emil."])
    command("--show", "2")
    out = capsys.readouterr().out
    assert "[bold][Anna](PER)[/bold] \N{REPLACEMENT CHARACTER}[31m[Bob](LOC)\N{REPLACEMENT CHARACTER}" in out
    assert "[Carl](PER)" in out
    assert "Dora" not in out
    assert "\x1b" not in out
    assert "predictions.jsonl" in out


def test_quiet_is_quiet(command, capfd):
    command.write(["Anna."])
    command("--quiet")
    assert capfd.readouterr() == ("", "")


def test_a_dry_run_shows_method_cost_and_prompts_and_writes_nothing(command, capsys):
    command.write(["Anna met Bob.", "张三在北京。", ""])
    assert command("--dry-run") == 0
    out = capsys.readouterr().out
    assert "Find names in: Anna met Bob." in out
    assert re.search(r"documents\W+3\b", out)
    assert re.search(r"windows \(zh\)\W+1\b", out)
    assert re.search(r"requests: pre-extract\W+6\b", out)
    assert "classify.rule" in out
    assert not command.output.exists()


def test_a_dry_run_finds_a_bad_line_far_in(command, capsys):
    command.write(["Anna."] * 3)
    command.corpus.write_text(command.corpus.read_text() + "{oops\n")
    assert command("--dry-run") == 1
    err = capsys.readouterr().err
    assert "corpus.jsonl, line 4: not a JSON object" in err
    assert "of 4 document(s) 1 cannot be read" in err and "exit code 1" in err
    assert not command.output.exists()


def test_purge_removes_all_text_and_the_folder_can_be_used_again(command, capsys):
    command.write([f"{SECRET} went home."])
    command("--quiet", "--format", "conll")
    (command.output / "cache.jsonl").write_text(SECRET)
    (command.output / "cache").mkdir()
    (command.output / "cache" / "answers.sqlite-wal").write_text(SECRET)
    assert main(["--purge", "--output", str(command.output)]) == 0
    assert [path.name for path in command.output.iterdir()] == ["run.json"]
    assert SECRET.encode() not in all_bytes(command.output)
    assert capsys.readouterr().out.count("removed ") == 5
    assert command("--quiet") == 0
    assert len(command.records()) == 1


def test_purge_leaves_a_folder_alone_that_is_not_ours(command, capsys):
    command.output.mkdir()
    (command.output / "predictions.jsonl").write_text("precious")
    assert main(["--purge", "--output", str(command.output)]) == 2
    assert (command.output / "predictions.jsonl").read_text() == "precious"


@pytest.mark.parametrize("left_out", ["--config", "--input", "--output"])
def test_a_missing_option_is_one_line(command, capsys, left_out):
    arguments = command.arguments()
    place = arguments.index(left_out)
    assert main(arguments[:place] + arguments[place + 2 :], build) == 2
    assert capsys.readouterr().err == f"el4ner.run: {left_out} is missing; see --help\n"


def test_a_missing_input_is_one_line_and_exit_2(command, capsys):
    assert command("--quiet") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_models_that_cannot_be_used_leave_earlier_predictions_alone(command):
    command.write(["Anna."])
    command("--quiet")
    before = command.records()

    def unusable(config, meter, cache):
        raise OSError(2, "No such file or directory", "weights")

    assert command("--quiet", "--fresh", build=unusable) == 2
    assert command.records() == before


def test_a_number_below_0_is_refused(command, capsys):
    with pytest.raises(SystemExit) as caught:
        command("--limit", "-1")
    assert caught.value.code == 2


def test_help_needs_no_model_library():
    code = "import sys; from el4ner.run import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'transformers', 'httpx', 'rich') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    assert json.dumps("--purge")[1:-1] in shown


@pytest.mark.parametrize("name", ["report.txt.part", "run.json.part", "predictions.conll.part"])
def test_a_planted_link_is_not_followed(command, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    command.output.mkdir()
    (command.output / name).symlink_to(precious)
    command.write(["Anna."])
    assert command("--quiet", "--format", "conll") == 0
    assert precious.read_text() == "mine"
    assert all(path.stat().st_mode & 0o077 == 0 for path in command.output.iterdir())


@pytest.mark.parametrize(("kept", "name"), [(True, "cache/answers.sqlite"), (False, None)])
def test_answers_are_kept_in_the_output_folder_where_that_is_asked_for(command, kept, name):
    paths = []

    def remembering(config, meter, cache_path):
        paths.append(cache_path)
        return build(config, meter, cache_path)

    command.configure(batch={"cache": kept})
    command.write(["Anna."])
    assert command("--quiet", build=remembering) == 0
    assert paths == [None if name is None else command.output / name]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["predictions.jsonl", "run.json", "report.txt"]),
        (["--format", "conll"], ["predictions.jsonl", "predictions.conll", "run.json", "report.txt"]),
    ],
)
def test_the_files_of_a_run_are_named_at_its_end(command, capsys, options, names):
    command.write(["Anna."])
    assert command(*options) == 0
    said = capsys.readouterr().out
    assert [name for name in said.replace("\n", " ").split() if name.startswith(str(command.output))] == [
        str(command.output / name) for name in names
    ]
    assert sorted(path.name for path in command.output.iterdir()) == sorted(names)


def test_an_interrupted_run_says_so_in_its_record(command, monkeypatch):
    async def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "_work", interrupted)
    command.write(["Anna."])
    assert command("--quiet") == 130
    assert command.run_json()["state"] == "interrupted"


def test_an_input_without_documents_is_named(command, tmp_path, capsys):
    empty = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in empty:
        path.write_text("", encoding="utf-8")
    words = ["--config", str(command.config), "--output", str(command.output), "--quiet", "--input"]
    assert main([*words, *map(str, empty)], build) == 2
    assert f"the input holds no document: {empty[0]}, {empty[1]}; name files" in capsys.readouterr().err
