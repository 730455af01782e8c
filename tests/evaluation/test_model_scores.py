"""Scores of a trained model on other clips: its images are multiplied, and clips it cannot or must not predict are refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.cli.flags import ConfigError
from experiments.evaluation.model_scores import measurement_of, predict_with_model
from experiments.evaluation.scores import score_predictions
from lightman_jax.types import ClipSet
from tests.inputs import CLASSES

VIEWS = ("megc2019_rise", "causalnet_rise", "causalnet_fall")
ABOUT = {
    "image_shape": [2, 2, 3],
    "flow": "pixels",
    "scaling": "clip_rms",
    "dataset": "simulated_au",
    "stand_in": False,
}


class StubModel:
    """Two networks that give a clip the probabilities in its first pixel; a fall that is not reversed would be negative."""

    def __init__(self, views=(), classes=CLASSES, **about):
        self.views, self.classes, self.about = views, classes, ABOUT | about

    def predict(self, images):
        first = images[:, 0, 0] * (1, 1, 1)
        return np.stack([first, first])


def prepared_of(probabilities, views=(), corpus="smic", stand_in=False, flow="8-bit"):
    """Clips of two subjects with the probabilities `[n, (V,) 3]` as image; NaN where a clip lacks a view."""
    given = np.asarray(probabilities, np.float32)
    image = np.broadcast_to(given[..., None, None, :], (*given.shape[:-1], 2, 2, 3)).copy()
    subject = tuple(f"{corpus}/s{row % 2}" for row in range(len(given)))
    clip = tuple(f"{name}/{row}" for row, name in enumerate(subject))
    label = np.arange(len(given), dtype=np.int32) % 3
    manifest = SimpleNamespace(stand_in=stand_in, flow=flow, layout="flow_release")
    return SimpleNamespace(micro=ClipSet(image, label, subject, clip, CLASSES, views), manifest=manifest)


def by_clip(rows):
    return {row.clip: row for row in rows}


def test_every_clip_is_predicted_once_by_the_mean_of_the_networks():
    given = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
    found = by_clip(predict_with_model(StubModel(), prepared_of(given)))
    assert sorted(found) == ["smic/s0/0", "smic/s0/2", "smic/s1/1"]
    np.testing.assert_allclose([row.probabilities for _, row in sorted(found.items())], np.array(given)[[0, 2, 1]])
    assert [row.label for _, row in sorted(found.items())] == ["negative", "surprise", "positive"]


def test_rises_are_multiplied_and_a_fall_is_used_where_there_is_no_rise():
    none = [np.nan] * 3
    one, two = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.6, 0.3])
    # The third channel is the strain, which has no sign.
    fall = [-0.2, -0.5, 0.3]
    clips = [[one, two, fall], [one, none, fall], [none, none, fall]]
    found = by_clip(predict_with_model(StubModel(), prepared_of(clips, VIEWS)))
    geometric = np.sqrt(one * two)
    expected = {"smic/s0/0": geometric / geometric.sum(), "smic/s1/1": one, "smic/s0/2": [0.2, 0.5, 0.3]}
    for name, row in found.items():
        np.testing.assert_allclose(row.probabilities, expected[name], atol=1e-6)


def test_a_model_of_the_same_views_gets_all_of_them():
    model = StubModel(VIEWS[:2], image_shape=[2, 2, 2, 3])
    model.predict = lambda images: np.stack([images[:, 0, 0, 0]])
    found = predict_with_model(model, prepared_of([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]] * 3, VIEWS[:2]))
    assert {row.prediction for row in found} == {"negative"}


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (StubModel(classes=("a", "b")), {}, "model predicts a, b, and the clips have the classes negative, .*--labels"),
        (
            StubModel(image_shape=[4, 4, 3]),
            {},
            r"takes images \(4, 4, 3\) of the views -, those of the clips are \(2, 2, 3\)",
        ),
        (StubModel(VIEWS[:2], image_shape=[2, 2, 2, 3]), {}, "of the views megc2019_rise, causalnet_rise, those"),
        (StubModel(scaling="fold_rms"), {}, "flow in pixels with the scaling fold_rms, and that of the clips is 8-bit"),
        (StubModel(dataset="megc2019"), {}, "was trained on smic, so a score on it is no test"),
        (StubModel(dataset="smic_stand_in", stand_in=True), {"stand_in": True}, "was trained on smic, so a score"),
        (StubModel(), {"corpus": "simulated_au", "stand_in": True}, "was trained on simulated_au, so a score"),
    ],
)
def test_clips_that_a_model_cannot_or_must_not_predict_are_refused(model, data, message):
    with pytest.raises(ConfigError, match=message):
        predict_with_model(model, prepared_of([[1, 0, 0]] * 2, **data))


def test_a_stand_in_model_may_predict_the_corpus():
    assert predict_with_model(StubModel(dataset="smic_stand_in", stand_in=True), prepared_of([[1, 0, 0]] * 2))


def test_the_measurement_names_clips_subjects_and_corpora():
    prepared = prepared_of([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    scores = score_predictions(predict_with_model(StubModel(), prepared), CLASSES, 2)
    measured = measurement_of(scores, prepared)
    assert measured.data == "3 clips of 2 subjects (SMIC-HS; released 8-bit flow)"
    assert measured.uf1[0] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert measured.uf1[1] <= measured.uf1[0] <= measured.uf1[2]
