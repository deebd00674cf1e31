"""What a dry run says that a job would cost where members answer questions."""

from scripted_members import config_of

from el4ner.batch.preview import REASONS_SHOWN, estimate, measure
from el4ner.text.documents import Document, Unreadable

from .fakes import make_config

WINDOWS = {"en": 10, "zh": 3}
POOL = {"path": "pool.jsonl"}


def requests(*names: str, **settings: object) -> dict[str, str]:
    roles = {name: {"role": "mrc"} for name in names if name.startswith("glm")}
    return estimate(config_of(names, settings, **roles), WINDOWS)


def test_members_that_answer_questions_take_no_part_in_the_other_steps():
    rows = requests("a", "glm", pool=POOL, verify={"mode": "all"})
    assert rows == {
        "pre-extract": "13",
        "extract": "13",
        "classify": "up to 1 for each place of a candidate",
        "verify": "1 for each typed entity",
        "mrc": "39",
    }
    assert "mrc" not in requests("a", "b")


def test_several_types_a_call_are_fewer_calls():
    assert requests("a", "glm", mrc={"types_per_call": 2})["mrc"] == "26"
    assert requests("a", "glm-1", "glm-2", mrc={"types_per_call": 3})["mrc"] == "26"


def test_alone_they_are_asked_twice_where_their_spans_choose_the_demonstrations():
    assert requests("glm", pool=POOL)["mrc"] == "78"
    assert requests("glm", pool=POOL, demonstrations={"method": "sentence"})["mrc"] == "39"
    assert requests("glm")["mrc"] == "39"
    assert requests("glm")["verify"] == "0"


def test_what_only_doubtful_windows_are_asked_is_an_upper_bound():
    assert requests("a", "b", pool=POOL, extract={"few_shot": "doubtful"})["extract"] == "up to 26"


def test_documents_and_windows_are_counted_and_the_first_window_is_kept():
    """Those that cannot be read are counted too, and the first of their reasons are kept."""
    broken = [Unreadable(f"u{n}", "p", f"reason {n}", "f") for n in range(REASONS_SHOWN + 2)]
    items = [
        broken[0],
        Document("blank", " "),
        Document("a", "Anna met Bob. " * 10),
        *broken[1:],
        Document("b", "张三来了。"),
    ]
    extent = measure(items, make_config())
    assert (extent.documents, extent.unreadable) == (15, 12)
    assert extent.reasons == [f"reason {n}" for n in range(REASONS_SHOWN)]
    assert extent.windows == {"en": 3, "zh": 1}
    assert extent.first is not None and (extent.first.document_id, extent.first.index) == ("a", 0)


def test_a_dry_run_shows_the_method_the_work_and_a_prompt_of_each_stage(command, capsys):
    command.write(["Anna met Bob.", "张三来了。"])
    assert command("--dry-run") == 0
    lines = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    method, work = lines.index("Method"), lines.index("Work")
    assert lines[method + 2 : method + 6] == [
        "members one: local, inline",
        "two: local, inline",
        "three: local, inline",
        "types PER, LOC",
    ]
    assert "windows.max_columns 60" in lines[method:work] and "verify.member -" in lines[method:work]
    assert not any(line.startswith("mrc") for line in lines[method:work])
    assert lines[work + 2 : work + 9] == [
        "documents 2",
        "windows (en) 1",
        "windows (zh) 1",
        "requests: pre-extract 6",
        "requests: extract 0",
        "requests: classify up to 3 for each place of a candidate",
        "requests: verify 1 for each typed entity",
    ]
    shown = [line for line in lines[work + 9 :] if line and line[0] not in "└─"]
    assert shown[1] == "Find names in: Anna met Bob." and shown[3] == "Is it true?"
    assert shown[0].startswith("prompt: pre-extract -") and shown[2].startswith("prompt: verify -")
    assert shown[4] == "Dry run: all checks passed, nothing was written."
    assert not command.output.exists()
