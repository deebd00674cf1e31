import io
import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.text.conll import parse_conll, to_conll
from el4ner.text.documents import Document, Item, Unreadable
from el4ner.text.files import read_lines
from el4ner.text.spans import Entity, Span
from el4ner.text.tokens import join_tokens, tokenize


def items(content: bytes) -> list[Item]:
    return [item for _, item in parse_conll(read_lines(io.BytesIO(content), "f.conll"), "f.conll", "f")]


def parse(content: str) -> list[Document]:
    found = items(content.encode())
    return [item for item in found if isinstance(item, Document)]


def found(document: Document) -> list[tuple[str, str]]:
    return [(entity.span.surface(document.text), entity.type) for entity in document.entities or ()]


def column(*tags: str) -> str:
    return "\n".join(f"t{number} {tag}" for number, tag in enumerate(tags))


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        (("B-X", "I-X", "O", "B-X", "B-X"), [("t0 t1", "X"), ("t3", "X"), ("t4", "X")]),
        (("B-X", "M-X", "E-X", "S-Y"), [("t0 t1 t2", "X"), ("t3", "Y")]),
        (("B-X", "I-X", "L-X", "U-X"), [("t0 t1 t2", "X"), ("t3", "X")]),
        (("S-X", "S-X", "B-X", "E-X", "B-X"), [("t0", "X"), ("t1", "X"), ("t2 t3", "X"), ("t4", "X")]),
        (("I-X", "I-X", "B-X", "I-Y", "O"), [("t0 t1", "X"), ("t2", "X"), ("t3", "Y")]),
        (("B-A-B.C", "I-A-B.C"), [("t0 t1", "A-B.C")]),
        (("O", "O"), []),
    ],
)
def test_tag_schemes(tags: tuple[str, ...], entities: list[tuple[str, str]]) -> None:
    (document,) = parse(column(*tags))
    assert found(document) == entities


def test_tags_that_go_on_with_nothing_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        parse(column("I-X", "O", "E-X"))
    assert "2 tag(s)" in caplog.text and "t0" not in caplog.text


def test_sentences_comments_ids_and_document_marks() -> None:
    content = (
        "-DOCSTART- -X- O\n\n# a remark about vitamin O\n# sent_id = s-1\nMara NNP B-PER\n# # O\nslept VBD O\n\n\n"
        "Hm UH O\n# id = late\n\n# id = nothing\n\n# id = last\nTomas NNP B-PER"
    )
    documents = parse(content)
    assert [(document.id, document.text) for document in documents] == [
        ("s-1", "Mara # slept"),
        ("f:2", "Hm"),
        ("nothing", ""),
        ("last", "Tomas"),
    ]
    assert documents[0].tokens == (Span(0, 4), Span(5, 6), Span(7, 12))


def test_tab_columns_keep_odd_tokens_and_crlf_goes() -> None:
    (document,) = parse("#\tO\r\n#rain\tB-TAG\r\n5 000\tO\r\n\r\n")
    assert document.text == "# #rain 5 000"
    assert found(document) == [("#rain", "TAG")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Mara B-PER\nslept", "line 2: expected a token and a tag"),
        ("Mara NNP", "line 1: the last column is not a tag"),
        ("Mara B-", "line 1: the last column is not a tag"),
        ("\tO", "line 1: expected a token"),
        ("a\0b O", "NUL"),
    ],
)
def test_bad_lines_are_named_without_their_text(content: str, message: str) -> None:
    (item,) = items(content.encode())
    assert isinstance(item, Unreadable) and message in item.reason
    assert "Mara" not in item.reason


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["Mara", "met", "Tomas", "."], "Mara met Tomas ."),
        (["宁波", "的", "港口", "，", "很", "大"], "宁波的港口，很大"),
        (["用", "GPT", "写", "诗"], "用 GPT 写诗"),
        (["我", "爱", "A", "I", "2", "0"], "我爱AI20"),
        (["他", "说", "：", "“", "好的", "”"], "他说：“好的”"),
        (["a", "b"], "a b"),
        (["서울", "에서"], "서울 에서"),
        ([], ""),
    ],
)
def test_join_tokens(tokens: list[str], text: str) -> None:
    joined, spans = join_tokens(tokens)
    assert joined == text
    assert [span.surface(joined) for span in spans] == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Mara's 3.5 km_run, ok", ["Mara", "'", "s", "3", ".", "5", "km", "_", "run", ",", "ok"]),
        ("我在GPT4公司\u3000。", ["我", "在", "GPT4", "公", "司", "。"]),
        ("cafe\u0301s!", ["cafe\u0301s", "!"]),
        (" \n", []),
    ],
)
def test_tokenize(text: str, tokens: list[str]) -> None:
    assert [span.surface(text) for span in tokenize(text)] == tokens


@given(st.text())
def test_tokens_cover_all_but_white_space(text: str) -> None:
    spans = tokenize(text)
    assert "".join(span.surface(text) for span in spans) == "".join(text.split())
    assert all(left.end <= right.start for left, right in pairwise(spans))


def test_to_conll_writes_iob2_and_counts_what_it_cannot_hold() -> None:
    text = "Mara Lund of Nordvik Lab"
    entities = [
        Entity(0, 9, "PER"),
        Entity(5, 9, "PER"),
        Entity(10, 20, "ORG"),
        Entity(13, 24, "ORG"),
        Entity(0, 3, "PER"),
        Entity(9, 9, "PER"),
        Entity(5, 5, "PER"),
    ]
    block, dropped = to_conll(text, None, entities, "d1")
    assert block == "# id = d1\nMara\tB-PER\nLund\tI-PER\nof\tO\nNordvik\tB-ORG\nLab\tI-ORG\n\n"
    assert dropped == 5


def test_an_empty_document_keeps_its_place_by_its_id() -> None:
    blocks = "".join(to_conll(text, None, [], identity)[0] for identity, text in [("a", "x"), ("b", ""), ("c", "y")])
    assert [(document.id, document.text) for document in parse(blocks)] == [("a", "x"), ("b", ""), ("c", "y")]


TOKENS = st.lists(
    st.sampled_from(["Mara", "宁波", "，", "#", "#a", "5 000", "é", "ß", "A", "的", "’", "😀", "O"]), min_size=1
)


@given(TOKENS, st.data())
def test_writing_and_reading_give_the_same_document(tokens: list[str], data: st.DataObject) -> None:
    text, spans = join_tokens(tokens)
    entities = []
    start = 0
    while start < len(spans):
        end = data.draw(st.integers(start, len(spans) - 1))
        if data.draw(st.booleans()):
            entities.append(Entity(spans[start].start, spans[end].end, data.draw(st.sampled_from(["X", "Y-Z"]))))
        start = end + 1
    block, dropped = to_conll(text, spans, entities, "d")
    assert dropped == 0
    assert parse(block) == [Document("d", text, tuple(entities), spans)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_may_end_as_on_any_machine(end: str) -> None:
    documents = parse(end.join(["Mara B-PER", "slept O", "", "Oslo B-LOC", ""]))
    assert [(document.text, found(document)) for document in documents] == [
        ("Mara slept", [("Mara", "PER")]),
        ("Oslo", [("Oslo", "LOC")]),
    ]


def test_a_first_line_with_a_hash_is_a_token_if_it_has_as_many_columns_as_the_others() -> None:
    (document,) = parse("# SYM O\n4 NUM O\nMara NNP B-PER\n")
    assert document.text == "# 4 Mara"
    (document,) = parse("# one remark O\nMara NNP B-PER\n")
    assert document.text == "Mara"
    (document,) = parse("# O\n")
    assert document.text == "#"


def test_an_id_that_looks_like_a_tag_is_an_id() -> None:
    first, second = parse("# id = S-1\nMara NNP x B-PER\n\n# id = B-2\nOslo NNP x B-LOC\n")
    assert [(first.id, first.text), (second.id, second.text)] == [("S-1", "Mara"), ("B-2", "Oslo")]


def test_a_sentence_that_cannot_be_read_leaves_the_others_alone() -> None:
    read = items(b"# id = a\nMara B-PER\n\n# id = b\n\xff O\n\nOslo B-LOC\n\nrain\n\n# id = c\x01\nTomas B-PER\n")
    assert [(item.id, isinstance(item, Unreadable)) for item in read] == [
        ("a", False),
        ("b", True),
        ("f:3", False),
        ("f:4", True),
        ("f:5", True),
    ]
