"""Movements of kinds without class are an answer: they have rows without prediction and figure, and the exit status is 0."""

import csv
from pathlib import Path

import numpy as np
import pytest

from experiments import predict
from experiments.prediction.models import NOTICE
from experiments.prediction.predictor import Predictor
from experiments.prediction.table import Row
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.vision.movement_kinds import KINDS, WITH_CLASS
from lightman_jax.data.vision.spotting import CurvePoint, Search, Spotted
from lightman_jax.data.vision.video import Video
from tests.inputs import CLASSES

FACE = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
ABOUT = {"motion": vars(MotionConfig(face_side=64)), "notice": NOTICE, "stand_in": True, "networks": 4, "flow": "float"}


class StubModel:
    views, classes = (), CLASSES
    about = ABOUT | {"origin": "smic", "method": "lightman"}

    def predict(self, images):
        return np.tile(np.array([0.2, 0.7, 0.1]), (4, len(images), 1))

    def saliency(self, images):
        return np.ones(images.shape[:3])


def movement_of(kind, onset=10):
    faces = tuple(np.roll(FACE, shift, axis=1) for shift in (0, 1, 0))
    times = (onset / 25, (onset + 1) / 25, (onset + 2) / 25)
    return Spotted(onset, onset + 1, onset + 2, 1.0, faces, None, 0, kind, times, "face 1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_what_was_found_and_a_prediction_for_some_kinds(kind):
    row = Predictor(StubModel()).row_of(Row("a.avi", fps=25.0), movement_of(kind))
    assert (row.name, row.kind, row.face_name, row.span, row.times) == (
        "a.avi",
        kind,
        "face 1",
        (10, 11, 12),
        (0.4, 0.44, 0.48),
    )
    if kind in WITH_CLASS:
        assert row.reason == ""
        np.testing.assert_array_equal(row.probabilities, np.tile([0.2, 0.7, 0.1], (4, 1)))
    else:
        assert row.reason == f"{kind}: no class is predicted"
        assert row.probabilities is None


@pytest.fixture
def status(monkeypatch, tmp_path):
    """Exit status of the command, and the rows of its table, for a video with movements of some kinds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "set_up_jax", lambda data_cache: None)
    monkeypatch.setattr(predict, "open_model", lambda path, steps: StubModel())
    monkeypatch.setattr(
        predict, "find_videos", lambda names: [Video(name, (Path(name),), True, 25.0) for name in names]
    )

    def run(*kinds, whole=True):
        found = tuple(movement_of(kind, 10 + 20 * place) for place, kind in enumerate(kinds))

        def find(video, settings, on_frame, on_movement):
            for movement in found:
                on_movement(movement)
            return Search(found, (CurvePoint(0.5, 1.0, 0.1, "face 1"),), (), 300, whole, 12.0)

        monkeypatch.setattr(predict.movements, "find_movements", find)
        done = predict.main(["a.avi", "--model=m"])
        with (tmp_path / "predictions" / predict.TABLE).open(newline="", encoding="utf-8") as file:
            return done, list(csv.DictReader(file))

    return run


def test_a_video_of_blinks_alone_is_analysed(status, capsys):
    done, rows = status("blink or gaze", "head motion", whole=False)
    assert done == 0
    assert [(row["kind"], row["status"], row["figure"]) for row in rows] == [
        ("blink or gaze", "not predicted", ""),
        ("head motion", "not predicted", ""),
    ]
    assert not any(Path("predictions/figures").iterdir())
    assert [path.name for path in Path("predictions/timelines").iterdir()] == ["001_a.avi.png"]
    assert "no class: a.avi: blink or gaze: 1, at 0.4 s; head motion: 1, at 1.2 s" in capsys.readouterr().out


def test_a_video_without_any_movement_has_no_answer(status):
    done, rows = status()
    assert done == 1
    assert [(row["kind"], row["status"]) for row in rows] == [("", "not predicted")]


def test_figures_are_drawn_for_movements_with_a_class_alone(status):
    done, rows = status("speech", "macro-expression", "face lost")
    assert done == 0
    assert [bool(row["figure"]) for row in rows] == [False, True, False]
    assert [path.name for path in Path("predictions/figures").iterdir()] == ["001_a.avi_2.png"]
