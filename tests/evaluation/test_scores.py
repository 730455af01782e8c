"""Scores of a table of predictions."""

import dataclasses

import numpy as np
import pytest

from experiments.evaluation.prediction_table import Prediction
from experiments.evaluation.run_result import DataSource, RunResult
from experiments.evaluation.scores import score_predictions
from experiments.reporting.console import headline

CLASSES = ["negative", "positive", "surprise"]


def make_rows(seeds=(0, 1), subjects=4, each=5, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for s in seeds:
        for number in range(subjects):
            corpus = "smic" if number % 2 else "casme2"
            subject = f"{corpus}/s{number}"
            for clip in range(each):
                p = rng.dirichlet(np.ones(3)).astype(np.float32)
                truth = CLASSES[(clip + number) % 3]
                guess = CLASSES[int(p.argmax())]
                rows.append(
                    Prediction(f"{subject}/c{clip}", corpus, subject, subject, s, truth, guess, tuple(map(float, p)))
                )
    return rows


def test_scores_are_pooled_over_folds_and_averaged_over_seeds():
    from sklearn.metrics import balanced_accuracy_score, f1_score

    rows = make_rows()
    result = score_predictions(rows, CLASSES, folds_expected=4)
    for index, seed in enumerate((0, 1)):
        truth, guess = zip(*[(r.label, r.prediction) for r in rows if r.seed == seed], strict=True)
        assert result.uf1.per_seed[index] == pytest.approx(f1_score(truth, guess, average="macro"), abs=1e-12)
        assert result.uar.per_seed[index] == pytest.approx(balanced_accuracy_score(truth, guess), abs=1e-12)
    assert result.uf1.mean == pytest.approx(np.mean(result.uf1.per_seed), abs=1e-12)
    assert result.uf1.sd == pytest.approx(np.std(result.uf1.per_seed, ddof=1), abs=1e-12)
    assert result.uf1.interval[0] <= result.uf1.mean <= result.uf1.interval[1]
    assert set(result.per_corpus) == {"smic", "casme2"}
    assert sum(part.clips for part in result.per_corpus.values()) == result.clips == 20


def test_headline_reports_missing_folds():
    rows = [row for row in make_rows() if row.subject != "smic/s3"]
    result = RunResult(
        data=DataSource("smic", stand_in=False, origin=""),
        method="lightman",
        protocol="loso",
        title="SMIC-HS",
        macro="",
        missing=(),
        rule="",
        scores=score_predictions(rows, CLASSES, folds_expected=4),
    )
    assert "3/4 folds" in headline(result)
    assert "15 clips" in headline(result)


def test_absent_classes_are_listed_and_have_no_recall():
    rows = [row for row in make_rows() if row.label != "surprise"]
    result = score_predictions(rows, CLASSES, folds_expected=4)
    assert result.absent_classes == ("surprise",)
    assert result.per_class["surprise"].recall is None
    assert result.per_class["surprise"].clips == 0


def test_predictions_that_cannot_be_scored_are_refused():
    rows = make_rows()
    with pytest.raises(ValueError, match="predicted twice under seed 0"):
        score_predictions([*rows, rows[0]], CLASSES, 4)
    with pytest.raises(ValueError, match="tested different clips"):
        score_predictions(rows[1:], CLASSES, 4)
    with pytest.raises(ValueError, match="no prediction"):
        score_predictions([], CLASSES, 4)
    with pytest.raises(ValueError, match="class happy"):
        score_predictions([dataclasses.replace(row, prediction="happy") for row in rows], CLASSES, 4)


def test_a_subject_of_two_corpora_counts_in_each_with_its_own_clips():
    rows = [row for row in make_rows(seeds=(0,)) if row.subject in ("casme2/s0", "smic/s1")]
    rows = [dataclasses.replace(row, subject="smic/s1") for row in rows]
    rows += [
        dataclasses.replace(row, clip=f"{row.clip}b", subject="casme2/s2") for row in rows if row.dataset == "casme2"
    ]
    scores = score_predictions(rows, CLASSES, folds_expected=2)
    found = {name: (one.clips, one.subjects) for name, one in scores.per_corpus.items()}
    assert found == {"casme2": (10, 2), "smic": (5, 1)}
