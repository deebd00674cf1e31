"""Answer formats: what is written reads back, what models make of it is tolerated, and garbage is never an empty answer."""

import contextlib
import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from el4ner.errors import AlignmentError, ConfigError, ParseError
from el4ner.prompts.copying import escape_marks
from el4ner.prompts.formats import answer_format, clean
from el4ner.text.align import find
from el4ner.text.spans import Span, crosses

INLINE, LINES, JSON = map(answer_format, ("inline", "lines", "json"))
TEXT = "Ada Lovelace wrote from London to Ada in Łódź."
ZH = "张伟去年从北京搬到了上海，在远山科技公司工作。"
SAYS_NOTHING = {"", "none", "no entities", "no entity", "n/a", "nothing", "null", "无", "没有", "无实体"}

characters = st.one_of(
    st.sampled_from("aZ é\u0301\u0308ß İıŉ中国京🙂👩\u200d🚀🇨🇭\ufe0f\ufffd「」\"'`-.,:1０Ａ　\t\n\u2028[](){}<>"),
    st.characters(exclude_categories=["Cs"]),
)


@st.composite
def planted(draw: st.DrawFn, alphabet: st.SearchStrategy[str] = characters) -> tuple[str, list[Span]]:
    """A text that is safe for marks, and spans in it that neither begin nor end in white space or brackets."""
    text = escape_marks("".join(draw(st.lists(alphabet, min_size=1, max_size=40))))
    ends = [i for i, c in enumerate(text) if not c.isspace() and c not in "[]"]
    if not ends:
        return text, []
    pairs = draw(st.lists(st.tuples(st.sampled_from(ends), st.sampled_from(ends)), max_size=5))
    spans: list[Span] = []
    for a, b in pairs:
        span = Span(min(a, b), max(a, b) + 1)
        if not any(crosses(other, span) for other in spans):
            spans.append(span)
    return text, sorted(set(spans))


@given(planted())
@example(("e\u0301", [Span(0, 1)]))
@example(("José\u0301 x", [Span(0, 5)]))
@example(("[Paris]", [Span(1, 6)]))
@example(("```\nParis\n```", [Span(4, 9)]))
@example(("<think>Paris", [Span(7, 12)]))
@example(("Answer: Paris", [Span(8, 13)]))
@example(("none", [Span(0, 4)]))
@example(("aa", [Span(0, 1), Span(0, 2), Span(1, 2)]))
def test_inline_reads_exactly_what_was_written(case: tuple[str, list[Span]]):
    text, spans = case
    read = INLINE.read(INLINE.write(text, spans), text) if text.strip() else []
    assert sorted(mention.span for mention in read if mention.span) == (spans if text.strip() else [])
    assert all(mention.span and mention.surface == mention.span.surface(text) for mention in read)


@given(planted(alphabet=st.sampled_from("aZz éßİ中国🙂👩\u200d🚀「」\"'`-.,1０Ａ\t\n[](){}")))
def test_inline_offsets_survive_another_case_and_other_white_space(case: tuple[str, list[Span]]):
    text, spans = case
    answer = "".join(c.swapcase() if c.isascii() else c for c in INLINE.write(text, spans)).replace(" ", "\u3000\n")
    if text.strip() and "```" not in answer:
        assert sorted(mention.span for mention in INLINE.read(answer, text) if mention.span) == spans


def test_of_spans_that_cross_the_longer_one_is_marked():
    """Marks of both would say that the whole and what they share are mentions."""
    text = "New York Times Square"
    answer = INLINE.write(text, [Span(0, 14), Span(9, 21), Span(0, 8)])
    assert answer == "[[[[New York]] Times]] Square"
    assert {mention.span for mention in INLINE.read(answer, text)} == {Span(0, 14), Span(0, 8)}


def surfaces_of(text: str, spans: list[Span]) -> list[str]:
    return list(dict.fromkeys(span.surface(text) for span in spans))


@given(planted())
def test_json_reads_the_surfaces_that_were_written(case: tuple[str, list[Span]]):
    text, spans = case
    surfaces = surfaces_of(text, spans)
    if all(surface.strip("\"'`“”‘’「」『』《》.。() ").casefold() in SAYS_NOTHING for surface in surfaces) or any(
        "```" in surface or "<think" in surface for surface in surfaces
    ):
        return
    assert [mention.surface for mention in JSON.read(JSON.write(text, spans), text)] == surfaces


words = st.text(st.sampled_from("abÉß中国🙂e\u0301Ａ"), min_size=1, max_size=6).map(lambda word: f"X{word}")


@given(st.lists(words, min_size=1, max_size=6), st.sampled_from([" ", ", ", "。", "\n", "\u2028", " - ", ' "']))
def test_lines_read_the_surfaces_that_were_written(names: list[str], between: str):
    text = between.join(names)
    at, spans = 0, []
    for name in names:
        spans.append(Span(at, at + len(name)))
        at += len(name) + len(between)
    read = [mention.surface for mention in LINES.read(LINES.write(text, spans), text)]
    assert read == surfaces_of(text, spans)
    assert all(find(surface, text) for surface in read)


@pytest.mark.parametrize("surface", ["1. FC Köln", "10:30 Club", "100.3 FM", "《红楼梦》", "“Heroes”", "7．天"])
def test_numbers_and_quotes_of_a_name_are_kept_in_lines(surface: str):
    text = f"They like {surface} and Oslo"
    start = text.index(surface)
    answer = LINES.write(text, [Span(start, start + len(surface)), Span(len(text) - 4, len(text))])
    assert [mention.surface for mention in LINES.read(answer, text)] == [surface, "Oslo"]


def test_a_mention_over_a_line_break_stays_one_line():
    text = "He lives in New\nYork."
    answer = LINES.write(text, [Span(12, 20)])
    assert answer == "New York"
    assert find(answer, text) == [Span(12, 20)]


@pytest.mark.parametrize("fmt", [INLINE, LINES, JSON], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("text", [TEXT, ZH, "Nothing here."])
def test_no_spans_read_back_as_none(fmt, text):
    assert fmt.read(fmt.write(text, []), text) == []


@pytest.mark.parametrize("span", [Span(0, 0), Span(-1, 2), Span(0, 99)])
@pytest.mark.parametrize("fmt", [INLINE, LINES, JSON], ids=lambda fmt: fmt.name)
def test_a_span_outside_the_text_is_never_written(fmt, span):
    with pytest.raises(AlignmentError):
        fmt.write("short", [span])


ADA, LONDON, ADA_2, LODZ = (0, 12), (24, 30), (34, 37), (41, 45)


@pytest.mark.parametrize(
    ("answer", "spans"),
    [
        ("[[Ada Lovelace]] wrote from London to [[Ada]] in Łódź.", [ADA, ADA_2]),
        ("[[Ada Lovelace]] wrote from [[ London ]] to Ada in Łódź.", [ADA, LONDON]),
        ("[[ada lovelace]] WROTE FROM [[LONDON]] to Ada in Łódź.", [ADA, LONDON]),
        ("Ada Lovelace wrote from London to Ada in [[Łodz]].", [LODZ]),
        ("[[Ada  Lovelace]]\nwrote from [[London]]\n to Ada in Łódź", [ADA, LONDON]),
        ("［Ada Lovelace］ wrote from [[Ｌｏｎｄｏｎ]] to Ada in Łódź.", [LONDON]),
        ("Ada Lovelace wrote from [[London]] to Ada in [[\ufffd\ufffdd\ufffd]].", [LONDON, LODZ]),
        ("Ada Lovelace wrote from [[L\ufffdndon]] to Ada in Łódź.", [LONDON]),
        ("```\nAda Lovelace wrote from [[London]] to Ada in Łódź.\n```", [LONDON]),
        ("```text\nAda Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("```Ada Lovelace wrote from [[London]] to Ada in Łódź.```", [LONDON]),
        ("Answer: Ada Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("Text: Ada Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("<think>Ada? [[London]]!</think>\nAda Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("hmm, places</think>Ada Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ('"Ada Lovelace wrote from [[London]] to Ada in Łódź."', [LONDON]),
        ("Ada Lovelace wrote from [[London]] to Ada in Łódź.\n\nThere is one mark.", [LONDON]),
        ("[[Ada Lovelace wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("Ada Lovelace]] wrote from [[London]] to Ada in Łódź.", [LONDON]),
        ("Ada Lovelace wrote from [[]] [[London]] to Ada in Łódź.", [LONDON]),
        ("[[[[Ada]] Lovelace]] wrote from London to Ada in Łódź.", [(0, 3), ADA]),
        ("Ada Lovelace wrote from [[London]] to Ada", [LONDON]),
    ],
)
def test_inline_tolerates_what_models_do(answer: str, spans: list[tuple[int, int]]):
    read = [(m.span.start, m.span.end) for m in INLINE.read(answer, TEXT) if m.span]
    assert sorted(read) == sorted(spans)


def test_an_invented_mention_has_no_span():
    answer = "Ada Lovelace and [[Babbage]] wrote from [[London]] to Ada in Łódź."
    assert [(m.surface, m.span) for m in INLINE.read(answer, TEXT)] == [
        ("Babbage", None),
        ("London", Span(*LONDON)),
    ]


def test_a_decomposed_accent_belongs_to_its_mention():
    text = "Se\u0301bastien met Rene\u0301 there."
    answer = "sebastien MET [[rene]] there."
    assert [m.span for m in INLINE.read(answer, text)] == [Span(15, 20)]


def test_the_dotted_capital_i_shifts_no_offsets():
    text = "İİİ İstanbul ve [x] Bursa."
    assert [m.span for m in INLINE.read("iii istanbul ve [x] [[bursa]].", text)] == [Span(20, 25)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("London\nAda Lovelace", ["London", "Ada Lovelace"]),
        ("1. London\n2) Ada Lovelace\n（3）Łódź", ["London", "Ada Lovelace", "Łódź"]),
        ("- London\n* Ada Lovelace\n• Łódź", ["London", "Ada Lovelace", "Łódź"]),
        ("“London”\n'Ada Lovelace'\n`Łódź`", ["London", "Ada Lovelace", "Łódź"]),
        ("Answer:\nLondon\n\nLondon", ["London"]),
        ("```\nLondon\n```", ["London"]),
        ("```London```", ["London"]),
        ("<think>Which?</think>London", ["London"]),
        ("I see places.</think>\nLondon", ["London"]),
        ("London\n---\n...", ["London"]),
        ("none", []),
        ("None.", []),
        ("(none)", []),
        ("无", []),
        ("没有。", []),
        ("No entities.", []),
        ("答案：无", []),
    ],
)
def test_lines_tolerate_what_models_do(answer: str, expected: list[str]):
    assert [mention.surface for mention in LINES.read(answer, TEXT)] == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('["London", "Ada"]', ["London", "Ada"]),
        ('```json\n["London"]\n```', ["London"]),
        ('Here it is: ["London"] I hope that helps.', ["London"]),
        ('As [1] says: ["London"]', ["London"]),
        ('[{"mention": "London", "type": "LOC"}, {"mention": "Ada"}]', ["London", "Ada"]),
        ('[{"mention": "London"}, {"mention": "Ada"},]', ["London", "Ada"]),
        ('{"entities": ["London", {"text": "Ada"}]}', ["London", "Ada"]),
        ('{"text": "Ada Lovelace wrote", "entities": ["London"]}', ["London"]),
        ('{"PER": ["Ada"], "LOC": ["London"]}', ["Ada", "London"]),
        ('{"PER": "Ada"}', ["Ada"]),
        ('{"Ada": "PER"}', ["Ada"]),
        ("［“London”，“Ada”］", ["London", "Ada"]),
        ("[“London”, “Ada”]", ["London", "Ada"]),
        ("[「London」]", ["London"]),
        ('["London", "London", " "]', ["London"]),
        ('[["London"], ["Ada"]]', ["London", "Ada"]),
        ("[]", []),
        ("{}", []),
        ('{"entities": []}', []),
        ('{"language": "en", "entities": []}', []),
        ('{"entities": null}', []),
        ('{"entities": "none"}', []),
        ('["none"]', []),
        ("none", []),
        ("<think>[1, 2</think>[]", []),
    ],
)
def test_json_tolerates_what_models_do(answer: str, expected: list[str]):
    assert [mention.surface for mention in JSON.read(answer, TEXT)] == expected


PEOPLE = "Ada Lovelace met Karl Benz in Paris and London for Acme Corp. They are persons."
BOTH = ["Ada Lovelace", "Karl Benz"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"mention": "Ada Lovelace"}\n{"mention": "Karl Benz"}', BOTH),
        ('["Ada Lovelace", "Karl Benz"]\n["Paris"]', [*BOTH, "Paris"]),
        ('Persons: ["Ada Lovelace", "Karl Benz"]\nPlaces: []', BOTH),
        ('```json\n["Ada Lovelace"]\n```\n```json\n["Karl Benz"]\n```', BOTH),
        ('Persons: ["Ada Lovelace"]\n```json\n["Karl Benz"]\n```', BOTH),
        ('{"PER": ["Ada Lovelace"], "PER": ["Karl Benz"]}', BOTH),
        ('{"mention": "Ada Lovelace", "mention": "Karl Benz"}', BOTH),
        ('{"organisations": [], "places": []}\n{"persons": ["Ada Lovelace"]}', ["Ada Lovelace"]),
        ('{"PER": ["Ada Lovelace"], "LOC": "Paris"}', ["Paris", "Ada Lovelace"]),
        ('{"mention": "Ada Lovelace", "others": ["Karl Benz"]}', BOTH),
        ('{"entity": "PER", "word": "Ada Lovelace"}', ["Ada Lovelace"]),
        ('{"entity": "persons", "word": "Ada Lovelace"}', ["Ada Lovelace"]),
        ('[{"entity": "PER", "text": "Ada Lovelace"}]', ["Ada Lovelace"]),
        ('{"name": "PER", "entity": "Ada Lovelace"}', ["Ada Lovelace"]),
        ('{"text": "Ada Lovelace", "types": ["persons"], "label": "persons"}', ["Ada Lovelace"]),
        ('{"type": "persons", "value": "Ada Lovelace"}', ["Ada Lovelace"]),
        ('{"Ada Lovelace": ["PER"], "Karl Benz": ["PER"]}', BOTH),
        ('{"Ada Lovelace": "PER", "Paris": "LOC"}', ["Ada Lovelace", "Paris"]),
        ('{"PER": "Ada Lovelace, Karl Benz"}', BOTH),
        ('["Ada Lovelace, Karl Benz"]', BOTH),
        ('{"PER": "Ada Lovelace", "LOC": "Lundon"}', ["Ada Lovelace", "Lundon"]),
        ("['Ada Lovelace', 'Karl Benz']", BOTH),
        ("{'PER': ['Ada Lovelace'], 'PER': ['Karl Benz',]}", BOTH),
    ],
)
def test_all_of_an_answer_in_json_counts(answer: str, expected: list[str]):
    assert [mention.surface for mention in JSON.read(answer, PEOPLE)] == expected


def test_apostrophes_in_single_quotes_are_kept():
    text = "O'Brien met D'Arcy."
    assert [m.surface for m in JSON.read("['O'Brien', 'D\\'Arcy']", text)] == ["O'Brien", "D'Arcy"]


@pytest.mark.parametrize(
    "answer",
    ['["Ada Lovelace"]\n["Karl', '["Ada Lovelace"] ["Karl Benz" "Paris"]', '["Ada Lovelace"], {"PER": Karl "Benz"}'],
)
def test_json_of_which_a_part_cannot_be_read_is_an_abstention(answer: str):
    with pytest.raises(ParseError):
        JSON.read(answer, PEOPLE)


@pytest.mark.parametrize(
    ("answer", "text", "expected"),
    [
        ("Paris, London, Rome", "In Paris, London and Rome.", ["Paris", "London", "Rome"]),
        ("Paris, London", "In Paris, London and Rome.", ["Paris", "London"]),
        ("Paris, London and Rome", "In Paris, London and Rome.", ["Paris", "London", "Rome"]),
        ("北京、上海", "他在北京、上海工作。", ["北京", "上海"]),
        ("北京、上海和广州", "他在北京、上海和广州工作。", ["北京", "上海", "广州"]),
        ("Washington, D.C.", "She left Washington, D.C. for Acme, Inc.", ["Washington, D.C."]),
        (
            "Washington, D.C., Acme, Inc.",
            "She left Washington, D.C. for Acme, Inc.",
            ["Washington, D.C.", "Acme, Inc."],
        ),
        ("May 3, 2020", "Born on May 3, 2020.", ["May 3, 2020"]),
        ("20 mg, twice a day", "Take 20 mg, twice a day.", ["20 mg, twice a day"]),
        ("1,000 euros", "It cost 1,000 euros.", ["1,000 euros"]),
        ("Trinidad and Tobago", "From Trinidad and Tobago.", ["Trinidad and Tobago"]),
        ('"Paris, London"', "In Paris, London and Rome.", ["Paris, London"]),
        ("Person: Ada Lovelace, Karl Benz\nLocation: Paris", PEOPLE, [*BOTH, "Paris"]),
        ("People: Ada Lovelace; Karl Benz", PEOPLE, BOTH),
        ("persons: Ada Lovelace", PEOPLE, ["persons", "Ada Lovelace"]),
        ("Ada Lovelace (person)\nKarl Benz [PER]", PEOPLE, BOTH),
        ("Ada Lovelace - person\nKarl Benz | PER", PEOPLE, BOTH),
        ("Ada Lovelace: person\nKarl Benz -> PER", PEOPLE, BOTH),
        ("**Ada Lovelace**\n* *Karl Benz*", PEOPLE, BOTH),
        ("- **Person**: Ada Lovelace, Karl Benz", PEOPLE, BOTH),
        ("1. Ada Lovelace (person), Karl Benz (person)", PEOPLE, BOTH),
        (
            "Here they are:\n```\nAda Lovelace\n```\nand\n```\nKarl Benz\n```",
            PEOPLE,
            ["Here they are:", BOTH[0], "and", BOTH[1]],
        ),
        ("Sure:\n```\nnone\n```", "Nothing here.", []),
    ],
)
def test_all_of_an_answer_in_lines_counts(answer: str, text: str, expected: list[str]):
    assert [mention.surface for mention in LINES.read(answer, text)] == expected


def test_a_fence_of_the_text_itself_is_no_fence_of_the_answer():
    text = "Ada wrote:\n```\nhello London\n```\nKarl wrote nothing."
    answer = "[[Ada]] wrote:\n```\nhello [[London]]\n```\n[[Karl]] wrote nothing"
    assert [mention.surface for mention in INLINE.read(answer, text)] == ["Ada", "London", "Karl"]


@pytest.mark.parametrize("unit", ["[1 ", "[", "[[1],", "['a", '["', "'a, ", "(a ", "[1,[2,x]] ", "a: ", "a, ", "1. "])
@pytest.mark.parametrize("fmt", [LINES, JSON], ids=lambda fmt: fmt.name)
def test_long_answers_take_time_in_proportion(fmt, unit: str):
    def seconds(length: int) -> float:
        began = time.process_time()
        with contextlib.suppress(ParseError):
            fmt.read(unit * (length // len(unit)), TEXT)
        return time.process_time() - began

    assert seconds(40_000) < 10 * seconds(10_000) + 0.5


@pytest.mark.parametrize("fmt", [INLINE, LINES, JSON], ids=lambda fmt: fmt.name)
def test_an_endless_answer_is_refused(fmt):
    with pytest.raises(ParseError):
        fmt.read("[[London]] " * 100_000, TEXT)


def test_a_copy_that_goes_on_for_ever_is_refused_before_it_is_aligned():
    began = time.process_time()
    with pytest.raises(ParseError, match="many times as long"):
        INLINE.read("[[Ada]] x " * 4_000, TEXT)
    assert time.process_time() - began < 5
    talk = "I marked the places that I found. " * 40
    assert [m.surface for m in INLINE.read(f"{talk}\n{TEXT.replace('London', '[[London]]')}", TEXT)] == ["London"]


GARBAGE = [
    "",
    " \n",
    "...",
    '"""',
    "```\n```",
    "<think>Is it London? Or",
    "<THINK>Is it London? Or",
    "<think>a</think>",
    "\ufffd",
]


@pytest.mark.parametrize("answer", GARBAGE)
@pytest.mark.parametrize("fmt", [INLINE, LINES, JSON], ids=lambda fmt: fmt.name)
def test_garbage_is_a_parse_error_in_every_format(fmt, answer):
    with pytest.raises(ParseError):
        fmt.read(answer, TEXT)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("I'm sorry, but I cannot help with that request as a language model.", TEXT),
        ("The text names one person and two places in it, as far as I can see.", TEXT),
        ("[[Ada Lovelace]] wrote", TEXT),
        ("Ada Lovelace wrote from London", TEXT),
        ("[[London]]", TEXT),
        ("抱歉，我无法回答这个问题。", ZH),
        ("张伟是人名，北京和上海是地名，远山科技公司是机构。", ZH),
        ("[[张伟]]去年从", ZH),
        ("[[" * 500, TEXT),
        ("]]" * 500, TEXT),
    ],
)
def test_what_is_no_copy_is_a_parse_error(answer: str, text: str):
    with pytest.raises(ParseError):
        INLINE.read(answer, text)


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot help with that.",
        '["London", "Lo',
        '[{"mention": "London"}, {"mention": "Ad',
        '[{"mention": "London"},',
        '{"entities": ["London"',
        "[1, 2]",
        '{"error": "no access"}',
        "[" * 5000,
        "[" * 3000 + "]" * 3000,
        "[" + "1" * 5000 + "]",
    ],
)
def test_what_is_no_complete_json_is_a_parse_error(answer: str):
    with pytest.raises(ParseError):
        JSON.read(answer, TEXT)


@given(st.text(), st.sampled_from([INLINE, LINES, JSON]))
def test_any_answer_is_read_or_refused(answer: str, fmt):
    try:
        mentions = fmt.read(answer, TEXT)
    except ParseError as error:
        assert "Lovelace" not in str(error)
    else:
        assert all(m.span is None or m.span.end <= len(TEXT) for m in mentions)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_any_json_is_read_or_refused(value: object):
    try:
        mentions = JSON.read(json.dumps(value), TEXT)
    except ParseError:
        return
    assert all(mention.surface.strip() for mention in mentions)


def test_clean_leaves_an_ordinary_answer_alone():
    assert clean("  Ada [[London]]. ") == "Ada [[London]]."


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="inline, lines, json"):
        answer_format("xml")
