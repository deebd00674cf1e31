import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import InputError
from el4ner.text.documents import Document, Unreadable, digest
from el4ner.text.files import Line
from el4ner.text.formats import count_documents, read_documents, read_items, read_labelled
from el4ner.text.jsonl import parse_document, parse_jsonl
from el4ner.text.spans import Entity

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(*inputs: str, stdin: bytes = b"") -> list[Document]:
    return list(read_documents(inputs, stdin=io.BytesIO(stdin)))


def test_plain_text_is_kept_to_the_last_line_end(tmp_path: Path) -> None:
    text = "Mara\r\nslept.\r\r\n😀 𠮷\n\x85\u2028end\n"
    assert read(write(tmp_path / "note.txt", "\ufeff" + text)) == [Document("note", text)]
    assert read(write(tmp_path / "empty.TXT", "")) == [Document("empty", "")]


def test_jsonl_ids_and_entities(tmp_path: Path) -> None:
    lines = [
        {"id": "a", "text": "Mara met 王小明", "entities": [{"start": 9, "end": 12, "type": "PER", "text": "王小明"}]},
        {"id": 7, "text": "", "entities": []},
        {"text": "no id\u2028here", "language": "en"},
        {"id": None, "text": "x", "entities": None},
    ]
    path = write(
        tmp_path / "in.jsonl", "\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    )
    assert read(path) == [
        Document("a", "Mara met 王小明", (Entity(9, 12, "PER"),)),
        Document("7", "", ()),
        Document("in:5", "no id\u2028here"),
        Document("in:7", "x"),
    ]


def test_entities_are_sorted_and_equal_ones_merged(tmp_path: Path) -> None:
    spans = [(5, 8, "B"), (0, 4, "A"), (5, 8, "B")]
    entities = [{"start": start, "end": end, "type": kind} for start, end, kind in spans]
    path = write(tmp_path / "in.jsonl", json.dumps({"id": 1, "text": "Mara met", "entities": entities}))
    assert read(path)[0].entities == (Entity(0, 4, "A"), Entity(5, 8, "B"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'id': 1}", r"line 2: not a JSON object .*column 2"),
        ("[1]", "line 2: not a JSON object .*a list"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id": 1}', '"text" must be a string; it is missing'),
        ('{"id": 1, "text": 5}', '"text" must be a string; it is a number'),
        ('{"id": true, "text": "Mara"}', '"id" must be'),
        ('{"id": "", "text": "Mara"}', '"id" must be'),
        ('{"id": 1.5, "text": "Mara"}', '"id" must be'),
        ('{"id": 1, "text": "Mara", "entities": {}}', '"entities" must be a list'),
        ('{"id": 1, "text": "Mara", "entities": [3]}', "line 2, entity 1: expected"),
        ('{"id": 1, "text": "Mara", "entities": [{"start": "0", "end": 4, "type": "A"}]}', "whole numbers"),
        ('{"id": 1, "text": "Mara", "entities": [{"start": 0, "end": true, "type": "A"}]}', "whole numbers"),
        ('{"id": 1, "text": "Mara", "entities": [{"start": 0, "end": 4}]}', '"type" must be'),
        ('{"id": 1, "text": "Mara", "entities": [{"start": 0, "end": 5, "type": "A"}]}', "line 2, entity 1: span"),
        ('{"id": 1, "text": "Mara", "entities": [{"start": 2, "end": 2, "type": "A"}]}', "code points"),
        ('{"id": 1, "text": "Mara", "entities": [{"start": 0, "end": 3, "type": "A", "text": "Mara"}]}', "UTF-16"),
        ('{"id": 1, "text": "Mara\\ud83d"}', "surrogate pair at offset 4"),
        ('{"id": 1, "text": "Mara\\u0000"}', "NUL character at offset 4"),
        ('{"id": "\\ud83d", "text": "Mara"}', "id: half of a surrogate"),
    ],
)
def test_bad_jsonl_names_the_place_and_never_the_text(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "in.jsonl", f"\n{line}\n")
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert f"{path}, line 2" in str(caught.value) and "Mara" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers())
def test_any_text_comes_through_json_lines(text: str, identity: int) -> None:
    line = json.dumps({"id": identity, "text": text})
    (found,) = parse_jsonl([Line(1, line.encode(), "f")], "f")
    assert found == ("f, line 1", Document(str(identity), text))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "第一行\n港口".encode("gb18030"), "line 1, byte 1: not UTF-8; .*iconv -f GB18030"),
        ("a.txt", b"\xef\xbb\xbfab\xff", "line 1, byte 6: not UTF-8"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "caf\xe9"}', "line 2, byte 14: not UTF-8"),
        ("a.conll", b"a O\n\n\xff O", "line 3, byte 1: not UTF-8"),
        ("a.txt", "Mara".encode("utf-16"), "UTF-16"),
        ("a.txt", b"ab\0c", "NUL character at offset 2"),
        ("a.txt", b"\xed\xa0\x80", "not UTF-8"),
    ],
)
def test_anything_but_utf8_is_refused_with_the_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / name, content))


def test_a_folder_is_read_sorted_and_names_what_it_skips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "b.txt", "b")
    write(tmp_path / "a" / "z.iob2", "z\tO\n\ny\tO\n")
    write(tmp_path / "a.jsonl", '{"text": "j"}')
    write(tmp_path / "a" / "z.v2.txt", "t")
    write(tmp_path / "scan.pdf", b"\xff")
    write(tmp_path / ".hidden.txt", "h")
    with caplog.at_level(logging.WARNING):
        documents = read(str(tmp_path))
    assert [document.id for document in documents] == ["a:1", "b", "a/z:1", "a/z:2", "a/z.v2"]
    assert "skipped 1 file(s)" in caplog.text and "scan.pdf" in caplog.text and "hidden" not in caplog.text
    assert count_documents([str(tmp_path)]) == 5


@pytest.mark.parametrize("name", ["missing.txt", "notes.docx", "nothing"])
def test_inputs_that_cannot_be_read_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "notes.docx", "x")
    (tmp_path / "nothing").mkdir()
    for use in (read, lambda path: count_documents([path])):
        with pytest.raises(InputError, match=name):
            use(str(tmp_path / name))


def test_duplicate_ids_name_both_places(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", '{"id": 1, "text": "x"}\n{"id": 2, "text": "x"}\n')
    second = write(tmp_path / "b.jsonl", '{"id": 3, "text": "x"}\n{"id": "2", "text": "x"}\n')
    with pytest.raises(InputError) as caught:
        read(first, second)
    assert f"{second}, line 2" in str(caught.value) and f"{first}, line 2" in str(caught.value)
    with pytest.raises(InputError, match="standard input"):
        read("-", second, stdin=b'{"id": 3, "text": "x"}')
    with pytest.raises(InputError, match="stands twice"):
        read(first, first)


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        (b"plain\r\n text", [Document("stdin", "plain\r\n text")]),
        (b"", [Document("stdin", "")]),
        (b" \n", [Document("stdin", " \n")]),
        (b'\n  {"text": "x"}\n{"id": 5, "text": "y"}', [Document("stdin:2", "x"), Document("5", "y")]),
        (b'\xef\xbb\xbf{"id": 1, "text": "x"}', [Document("1", "x")]),
        (b"\xef\xbb\xbf\nplain", [Document("stdin", "\nplain")]),
    ],
)
def test_standard_input_is_json_lines_or_one_text(content: bytes, documents: list[Document]) -> None:
    assert read("-", stdin=content) == documents
    assert count_documents(["-"]) is None


def test_documents_are_read_lazily(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": 1, "text": "x"}\nbroken\n')
    documents = read_documents([path])
    assert next(documents).id == "1"
    with pytest.raises(InputError, match="line 2"):
        next(documents)


def test_what_the_names_alone_show_is_said_before_anything_is_read(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", '{"id": 1, "text": "x"}\n')
    with pytest.raises(InputError, match=r"missing\.txt does not exist"):
        next(read_documents([first, str(tmp_path / "missing.txt")]))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "letter.txt", "x")
    with pytest.raises(InputError, match=r"two/letter\.txt: the id 'letter' stands twice, first in .*one/letter\.txt"):
        next(read_documents([first, str(tmp_path / "one"), str(tmp_path / "two" / "letter.txt")]))
    assert [document.id for document in read_documents([str(tmp_path)])] == ["1", "one/letter", "two/letter"]
    for name in (b"caf\xe9.txt", b"a\x1b[31m.txt"):
        path = os.fsencode(tmp_path) + b"/" + name
        Path(os.fsdecode(path)).write_text("x")
        with pytest.raises(InputError, match="name is not UTF-8, or holds control characters; rename it") as caught:
            list(read_documents([str(tmp_path)]))
        assert str(caught.value).isascii() and "\x1b" not in str(caught.value)
        Path(os.fsdecode(path)).unlink()


def test_counting_agrees_with_reading_and_does_not_parse(tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", '\ufeff\n{"text": "x"}\n \n{"text": "y"}')
    sentences = write(tmp_path / "b.bio", "# id = q\n\na O\n\n\nb O")
    assert count_documents([good, sentences]) == len(read(good, sentences)) == 5
    assert count_documents([write(tmp_path / "c.jsonl", "broken\n")]) == 1


def test_labelled_documents_must_state_their_labels(tmp_path: Path) -> None:
    sentences = write(tmp_path / "gold.bmes", "王 S-PER\n来 O\n")
    assert next(read_labelled(sentences)).entities == (Entity(0, 1, "PER"),)
    path = write(tmp_path / "pool.jsonl", '{"id": "p", "text": "Mara", "entities": []}\n{"id": "q", "text": "Mara"}')
    labelled = read_labelled(Path(path))
    assert next(labelled).entities == ()
    with pytest.raises(InputError, match="'q' has no labels"):
        next(labelled)


def test_the_text_room_needs_no_heavy_package() -> None:
    code = (
        "import sys, el4ner.text.formats, el4ner.text.windows, el4ner.text.align\n"
        "print(sorted({'torch', 'transformers', 'httpx', 'faiss', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the measurement data is not on this machine")
def test_the_measurement_data_reads_as_labelled() -> None:
    path = SHARED / "uner_zh_gsdsimp" / "dev.jsonl"
    documents = list(read_labelled(path))
    assert len(documents) == count_documents([str(path)]) == 500
    assert any(document.entities for document in documents)


def test_json_lines_may_end_as_on_an_old_mac(tmp_path: Path) -> None:
    path = write(tmp_path / "mac.jsonl", b'{"id": "a", "text": "x"}\r{"id": "b", "text": "y\\r"}\r')
    assert read(path) == [Document("a", "x"), Document("b", "y\r")]
    assert count_documents([path]) == 2


def test_what_cannot_be_read_stands_in_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.jsonl", '{"id": 1, "text": "x"}\nbroken\n{"id": 1, "text": "y"}\n')
    empty = write(tmp_path / "b.jsonl", "")
    first, second, third = read_items([path, empty])
    assert first == Document("1", "x")
    assert isinstance(second, Unreadable) and isinstance(third, Unreadable)
    assert (second.id, second.place, second.digest) == ("a:2", f"{path}, line 2", digest(b"broken"))
    assert "not a JSON object" in second.reason
    assert (third.id, third.place, third.digest) == ("1 (2)", f"{path}, line 3", digest(b"y"))
    assert "the id '1' stands twice" in third.reason
    assert caplog.messages == [f"{empty}: holds no document"]
    caplog.clear()
    assert len(list(read_items([path, empty], report=False))) == 3 and not caplog.messages


def test_a_single_line_is_a_document() -> None:
    assert parse_document('{"text": "x"}', "0", "texts, line 1") == Document("0", "x")
    for line, said in (('{"id": true, "text": "x"}', '"id" must'), ('{"id": 1}', '"text" must'), ("[]", "not a JSON")):
        with pytest.raises(InputError, match=f"^texts, line 1: {said}"):
            parse_document(line, "0", "texts, line 1")


def test_a_column_line_that_is_no_utf8_takes_its_sentence_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", b"a O\n\n\xff O\n\nb O\n")
    first, second, third = read_items([path])
    assert (first.id, second.id, third.id) == ("a:1", "a:2", "a:3")
    assert isinstance(second, Unreadable) and second.place == f"{path}, line 3"
