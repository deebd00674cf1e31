import os
import stat

import pytest

from el4ner.batch.journal import Journal, count_records, read_predictions
from el4ner.batch.prediction import Prediction, parse_line
from el4ner.errors import ConfigError, InputError
from el4ner.text.documents import Document
from el4ner.vote.entities import VotedEntity

JUDGED = VotedEntity(0, 4, "PER", 0.5, {"one": "PER", "two": None}, {"one": True, "two": False})
ANNA = Prediction("a", "partial", (JUDGED,), ("Ann\u2028",), ("one",), "why", score_kind="votes")


def test_a_record_comes_back_as_it_was():
    assert parse_line(ANNA.to_line(), "here") == ANNA
    assert parse_line(Prediction("b", "ok").to_line(), "here").id == "b"


def test_a_record_is_one_line_whatever_the_text():
    prediction = Prediction("x\n\u2028\x85", "ok", (VotedEntity(0, 3, "PER"),), ("a\nb",))
    assert prediction.to_line().count(b"\n") == 1


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'{"id": "a"}', b'{"id":"a","status":"fine","entities":[]}']
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(InputError, match="line 3"):
        parse_line(line, "line 3")


def test_a_record_knows_its_document():
    ANNA.check(Document("a", "Ann\u2028 sings"))
    with pytest.raises(InputError, match="'a'"):
        ANNA.check(Document("b", "Ann\u2028 sings"))


def test_wherever_the_file_is_torn_whole_records_are_kept(tmp_path, monkeypatch):
    """Every length that a kill may leave, that of a last record without its line end included."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    written = [Prediction("文0", "ok"), ANNA]
    with Journal(tmp_path) as journal:
        for prediction in written:
            journal.append(prediction)
    whole = journal.path.read_bytes()
    for length in range(len(whole) + 1):
        os.truncate(journal.path, length)
        kept = whole[:length].count(b"\n")
        assert count_records(journal.path) == kept
        with Journal(tmp_path) as journal:
            assert journal.kept == kept
            assert journal.cut_bytes == length - (whole[:length].rfind(b"\n") + 1)
            for prediction in written[kept:]:
                journal.append(prediction)
        assert journal.path.read_bytes() == whole
    assert list(read_predictions(journal.path)) == [parse_line(p.to_line(), "") for p in written]


def test_blocks_of_zeros_after_a_power_loss_are_cut(tmp_path):
    with Journal(tmp_path) as journal:
        journal.append(ANNA)
    with journal.path.open("ab") as stream:
        stream.write(b"\0" * 4096 + b"\n")
    with Journal(tmp_path) as journal:
        assert (journal.kept, journal.cut_bytes) == (1, 4097)


def test_it_is_for_its_owner_alone_and_for_one_process(tmp_path):
    with Journal(tmp_path / "deep" / "er") as journal:
        assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
        with pytest.raises(ConfigError, match="another process"):
            Journal(tmp_path / "deep" / "er")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another --output"):
        Journal(tmp_path / "file" / "out")
