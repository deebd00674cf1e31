"""A recorded run replays; what was not recorded is an error, not an answer."""

import asyncio
import stat
from pathlib import Path

import pytest

from el4ner.engines.base import Answer, Choice, Message, Request
from el4ner.engines.recorded import RecordedEngine, Recorder
from el4ner.errors import ConfigError, MemberError


class Fixed:
    name, fingerprint = "fixed", "some engine"

    async def generate(self, request):
        return Answer("[[北京]] 😀", "stop")

    async def choose(self, request):
        return Choice("LOC", {"LOC": -0.1, "PER": -2.4})

    async def close(self):
        pass


EXTRACT = Request("extract", (Message("user", "a confidential sentence"),), 8, template="v1")
CLASSIFY = Request("classify", (Message("user", "a confidential sentence"),), 8, choices=("LOC", "PER"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"

    async def record():
        recorder = Recorder(Fixed(), path)
        await recorder.generate(EXTRACT)
        await recorder.choose(CLASSIFY)
        await recorder.close()

    asyncio.run(record())
    return path


def test_a_recording_replays_under_any_name(recording: Path):
    member = RecordedEngine("another", recording)
    assert asyncio.run(member.generate(EXTRACT)) == Answer("[[北京]] 😀", "stop")
    assert asyncio.run(member.choose(CLASSIFY)) == Choice("LOC", {"LOC": -0.1, "PER": -2.4})


def test_a_recording_is_private(recording: Path):
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600


def test_an_unknown_request_names_stage_and_key_but_no_text(recording: Path):
    unknown = Request("extract", EXTRACT.messages, 8, template="v2")
    with pytest.raises(MemberError, match=r"stage extract, request [0-9a-f]{12}: .*record again") as raised:
        asyncio.run(RecordedEngine("m", recording).generate(unknown))
    assert "confidential" not in str(raised.value)
    assert not raised.value.retryable


def test_a_recorded_text_is_no_choice(recording: Path):
    with pytest.raises(MemberError):
        asyncio.run(RecordedEngine("m", recording).choose(EXTRACT))


def test_a_recorded_label_outside_the_choices_is_refused(tmp_path: Path):
    path = tmp_path / "odd.jsonl"
    request = Request("classify", CLASSIFY.messages, 8, choices=("PER", "ORG"))
    asyncio.run(Recorder(Fixed(), path).choose(request))
    with pytest.raises(MemberError, match="none of the choices"):
        asyncio.run(RecordedEngine("m", path).choose(request))


def test_the_fingerprint_follows_the_content(recording: Path, tmp_path: Path):
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(recording.read_bytes())
    first = RecordedEngine("m", recording).fingerprint
    assert RecordedEngine("n", copy).fingerprint == first
    copy.write_bytes(recording.read_bytes().replace(b"LOC", b"PER"))
    assert RecordedEngine("m", copy).fingerprint != first


def test_replaying_never_changes_the_file(recording: Path):
    recording.write_bytes(recording.read_bytes() + b'{"key": "torn')
    before = recording.read_bytes()
    recording.chmod(0o400)
    assert asyncio.run(RecordedEngine("m", recording).generate(EXTRACT)).text
    assert recording.read_bytes() == before


def test_a_missing_file_is_a_configuration_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot open"):
        RecordedEngine("m", tmp_path / "none.jsonl")
