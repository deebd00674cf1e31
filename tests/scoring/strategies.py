"""Random labellings: flat ones as tag sequences, nested ones as entity sets."""

from hypothesis import strategies as st

from el4ner.text.spans import Entity

TYPES = ("PER", "ORG", "LOC")


@st.composite
def tag_sequences(draw: st.DrawFn, length: int) -> list[str]:
    """A valid IOB2 sequence of that many tags."""
    tags: list[str] = []
    while len(tags) < length:
        kind = draw(st.sampled_from(("O", *TYPES)))
        size = min(draw(st.integers(1, 3)), length - len(tags))
        tags += [kind] * size if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
    return tags


@st.composite
def tag_corpora(draw: st.DrawFn) -> tuple[list[list[str]], list[list[str]]]:
    """Gold and predicted tags of some sentences; gold has at least one entity."""
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    gold = [draw(tag_sequences(length)) for length in lengths]
    predicted = [
        tags if draw(st.booleans()) else draw(tag_sequences(length)) for tags, length in zip(gold, lengths, strict=True)
    ]
    return [["B-PER"], *gold], [[draw(st.sampled_from(("O", "B-PER", "B-ORG")))], *predicted]


def decode(tags: list[str]) -> frozenset[Entity]:
    """The entities of valid IOB2 tags, in token offsets."""
    starts = [index for index, tag in enumerate(tags) if tag.startswith("B-")]
    entities = set()
    for start in starts:
        end = start + 1
        while end < len(tags) and tags[end].startswith("I-"):
            end += 1
        entities.add(Entity(start, end, tags[start][2:]))
    return frozenset(entities)


entities = st.builds(
    lambda start, size, kind: Entity(start, start + size, kind),
    st.integers(0, 12),
    st.integers(1, 6),
    st.sampled_from(TYPES),
)
entity_sets = st.frozensets(entities, max_size=8)
labellings = st.lists(st.tuples(entity_sets, entity_sets), min_size=1, max_size=6)
"""Documents as (gold, predicted) pairs of sets; entities may nest, cross and share spans."""
