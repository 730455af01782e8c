"""Scores compared with published confusion matrices and with scikit-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from lightman_jax.metrics import (
    absent_classes,
    accuracy,
    bootstrap_interval,
    confusion_matrix,
    f1_per_class,
    recall_per_class,
    uar,
    uf1,
)

# Matrices of the log published with STSTNet, rows truth: UF1, recall, macro-precision, accuracy.
GOLDEN = {
    "full": ([[219, 22, 9], [40, 62, 7], [21, 3, 59]], 0.7353, 0.7186, 0.7605, 0.7692),
    "smic": ([[54, 10, 6], [17, 30, 4], [14, 1, 28]], 0.6801, 0.6703, 0.7013, 0.6829),
    "casme2": ([[83, 5, 0], [12, 19, 1], [2, 0, 23]], 0.8382, 0.8190, 0.8686, 0.8621),
    "samm": ([[82, 7, 3], [11, 13, 2], [5, 2, 8]], 0.6588, 0.6415, 0.6810, 0.7744),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_scores_of_published_matrices_and_published_uar_is_precision(name):
    matrix, f1, recall, precision, share = GOLDEN[name]
    assert round(float(uf1(matrix)), 4) == f1
    assert round(float(uar(matrix)), 4) == recall
    assert round(float(accuracy(matrix)), 4) == share
    macro_precision = np.mean(np.diag(matrix) / np.sum(matrix, axis=0))
    assert round(float(macro_precision), 4) == precision
    assert abs(float(uar(matrix)) - precision) > 0.02


def test_matrices_of_corpora_are_summed_before_the_score():
    total = sum(np.array(GOLDEN[name][0]) for name in ("smic", "casme2", "samm"))
    assert total.tolist() == GOLDEN["full"][0]
    mean_of_scores = np.mean([uf1(GOLDEN[name][0]) for name in ("smic", "casme2", "samm")])
    assert abs(mean_of_scores - uf1(total)) > 0.005


def test_scores_equal_scikit_learn_with_absent_classes():
    rng = np.random.default_rng(0)
    absent_seen = 0
    for _ in range(300):
        classes, clips = int(rng.integers(2, 8)), int(rng.integers(1, 60))
        chosen = rng.choice(classes, size=int(rng.integers(1, classes + 1)), replace=False)
        truth, guess = rng.choice(chosen, clips), rng.integers(0, classes, clips)
        matrix = confusion_matrix(truth, guess, classes)
        labels = list(range(classes))
        np.testing.assert_array_equal(matrix, sk.confusion_matrix(truth, guess, labels=labels))
        expected = sk.f1_score(truth, guess, labels=labels, average="macro", zero_division=0)
        assert abs(float(uf1(matrix)) - expected) < 1e-12
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert abs(float(uar(matrix)) - sk.balanced_accuracy_score(truth, guess)) < 1e-12
        assert abs(float(accuracy(matrix)) - sk.accuracy_score(truth, guess)) < 1e-12
        missing = sorted(set(labels) - set(truth.tolist()))
        assert absent_classes(matrix) == missing
        absent_seen += bool(missing)
    assert absent_seen > 60


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40), st.permutations([0, 1, 2]))
def test_scores_do_not_depend_on_the_order_of_classes(pairs, order):
    truth, guess = np.array(pairs).T
    renamed = np.array(order)
    first, second = confusion_matrix(truth, guess, 3), confusion_matrix(renamed[truth], renamed[guess], 3)
    for score in (uf1, uar, accuracy):
        assert float(score(first)) == pytest.approx(float(score(second)), abs=1e-12)


def test_scores_of_empty_matrices_and_absent_classes():
    empty = np.zeros((3, 3), int)
    assert np.isnan(uar(empty))
    assert np.isnan(accuracy(empty))
    assert float(uf1(empty)) == 0
    half = [[2, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert np.isnan(recall_per_class(half)[1])
    assert f1_per_class(half)[1] == 0
    assert float(uar(half)) == 1
    assert float(uf1(half)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("truth", "guess", "text"), [([0, 3], [0, 0], "whole numbers in 0..2"), ([0], [0, 1], "1 labels but 2")]
)
def test_errors_name_the_wrong_input(truth, guess, text):
    with pytest.raises(ValueError, match=text):
        confusion_matrix(truth, guess, 3)


def test_bootstrap_resamples_subjects_and_covers_the_estimate():
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 6, size=(3, 12, 3, 3))
    low, high = bootstrap_interval(counts, uf1, replicates=4000)
    estimate = uf1(counts.sum(axis=1)).mean()
    assert low < estimate < high
    assert (low, high) == bootstrap_interval(counts, uf1, replicates=4000)
    # One of two subjects is entirely wrong: resampling clips would give a narrower interval than resampling subjects.
    lopsided = np.zeros((1, 2, 2, 2), int)
    lopsided[0, 0, 0, 0], lopsided[0, 1, 0, 1] = 50, 50
    assert bootstrap_interval(lopsided, accuracy) == (0.0, 1.0)
    with pytest.raises(ValueError, match="subjects"):
        bootstrap_interval(np.zeros((3, 3)))
