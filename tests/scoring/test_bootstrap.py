import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from el4ner.errors import InputError
from el4ner.scoring import bootstrap
from el4ner.scoring.bootstrap import bootstrap_f1, bootstrap_p_value, compare_systems, f1_scores, randomisation_p_value
from el4ner.scoring.counts import Counts


def system(n_documents: int, recall: float, seed: int) -> np.ndarray:
    """Counts of a made-up system, five gold entities a document, ``(n_documents, 3)``."""
    rng = np.random.default_rng(seed)
    tp = rng.binomial(5, recall, n_documents)
    return np.stack([tp, rng.binomial(2, 0.3, n_documents), 5 - tp], axis=1)


@given(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)))
def test_f1_is_the_f1_of_counts(row):
    assert f1_scores(np.array(row)) == pytest.approx(Counts(*row).f1)


def test_samples_have_the_mean_and_spread_of_plain_resampling():
    counts = system(60, 0.7, 1)
    fast = bootstrap_f1(counts[None], samples=4000, seed=5)[:, 0]
    rng = np.random.default_rng(17)
    plain = np.array([f1_scores(counts[rng.integers(60, size=60)].sum(axis=0)) for _ in range(4000)])
    assert fast.mean() == pytest.approx(plain.mean(), abs=0.003)
    assert fast.std() == pytest.approx(plain.std(), rel=0.1)


def test_one_document_gives_its_own_score_in_every_sample():
    assert bootstrap_f1(np.array([[[2, 1, 1]]]), samples=50).tolist() == [[pytest.approx(4 / 6)]] * 50


def test_identical_systems_do_not_differ():
    counts = np.stack([system(40, 0.6, 2)] * 2)
    (comparison,) = compare_systems(counts, bootstrap_f1(counts))
    assert (comparison.difference.estimate, comparison.difference.low, comparison.difference.high) == (0, 0, 0)
    assert comparison.p_bootstrap == 1
    assert comparison.p_randomisation == 1


def test_a_clearly_better_system_is_found_out():
    counts = np.stack([system(200, 0.9, 3), system(200, 0.5, 4)])
    (comparison,) = compare_systems(counts, bootstrap_f1(counts))
    assert comparison.difference.low > 0.1
    assert comparison.p_bootstrap == pytest.approx(1 / 1001)
    assert comparison.p_randomisation == pytest.approx(1 / 1001)


def test_equally_good_systems_are_rarely_told_apart():
    p_values = []
    for seed in range(100):
        counts = np.stack([system(80, 0.7, 2 * seed), system(80, 0.7, 2 * seed + 1)])
        (comparison,) = compare_systems(counts, bootstrap_f1(counts, samples=200), seed=seed)
        p_values.append((comparison.p_bootstrap, comparison.p_randomisation))
    small = (np.array(p_values) < 0.05).sum(axis=0)
    assert (small <= 13).all()


def test_intervals_cover_the_true_value_about_as_often_as_they_say():
    true_f1 = 2 * 3.5 / (3.5 + 0.6 + 5)
    covered = 0
    for seed in range(200):
        sampled = bootstrap_f1(system(100, 0.7, seed)[None], samples=300, seed=seed)[:, 0]
        interval = bootstrap.interval(0.0, sampled)
        covered += interval.low <= true_f1 <= interval.high
    assert 178 <= covered <= 200


def test_the_interval_contains_the_estimate():
    for seed in range(20):
        counts = system(30, 0.6, seed)[None]
        interval = bootstrap.interval(float(f1_scores(counts.sum(axis=1))[0]), bootstrap_f1(counts)[:, 0])
        assert interval.low < interval.estimate < interval.high


def test_p_value_by_hand():
    sampled = np.array([0.1, 0.3, 0.5, -0.1, 0.2])
    assert bootstrap_p_value(0.2, sampled) == pytest.approx((1 + 2) / 6)


def test_randomisation_by_hand_on_one_document():
    better, worse = np.array([[3, 0, 0]]), np.array([[0, 0, 3]])
    assert randomisation_p_value(better, worse) == 1


def test_the_direction_of_a_comparison_does_not_matter_for_p():
    first, second = system(50, 0.7, 8), system(50, 0.62, 9)
    assert randomisation_p_value(first, second) == pytest.approx(randomisation_p_value(second, first))
    there = compare_systems(np.stack([first, second]), bootstrap_f1(np.stack([first, second])))[0]
    back = compare_systems(np.stack([second, first]), bootstrap_f1(np.stack([second, first])))[0]
    assert there.difference.estimate == pytest.approx(-back.difference.estimate)
    assert there.p_bootstrap == back.p_bootstrap


def test_the_same_seed_gives_the_same_samples_whatever_stands_beside():
    first, second = system(50, 0.7, 8), system(50, 0.6, 9)
    alone = bootstrap_f1(first[None], seed=4)
    assert np.array_equal(alone[:, 0], bootstrap_f1(np.stack([second, first]), seed=4)[:, 1])
    assert not np.array_equal(alone, bootstrap_f1(first[None], seed=5))


def test_working_in_chunks_changes_nothing(monkeypatch):
    counts = np.stack([system(50, 0.7, 8), system(50, 0.6, 9)])
    whole = bootstrap_f1(counts, samples=101)
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", 700)
    assert np.array_equal(whole, bootstrap_f1(counts, samples=101))
    assert len(bootstrap._chunks(101, 50)) == 8


def test_no_documents():
    with pytest.raises(InputError, match="no documents"):
        bootstrap_f1(np.zeros((1, 0, 3), dtype=np.int64))
