"""A model states what it was trained on and what it scored: in the box, the table, the figures and the live window."""

import csv

import numpy as np
import pytest

from experiments.prediction import figures
from experiments.prediction.live_view import Live, draw_live
from experiments.prediction.origin import caution_of, scores_text
from experiments.prediction.table import Row, write_table
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.vision.spotting import Search, SpotConfig
from lightman_jax.model.saved_model import Model
from tests.inputs import CLASSES

MEASURED = {"data": "309 clips of 40 subjects", "uf1": [0.71, 0.64, 0.79], "uar": [0.72, 0.65, 0.8]}
SCORES = "UF1 0.710 [0.640, 0.790] and UAR 0.720 [0.650, 0.800] on 309 clips of 40 subjects"


def model_of(dataset, *, stand_in=False, **more):
    about = {
        "classes": CLASSES,
        "views": [],
        "motion": vars(MotionConfig()),
        "networks": 2,
        "method": "joint",
        "origin": "9 simulated expressions; no face was recorded",
        "notice": "For research.",
        "dataset": dataset,
        "stand_in": stand_in,
    }
    return Model(about | more, [], {})


DEFAULT = model_of("simulated_au", measured=MEASURED)


def test_a_model_of_simulated_clips_states_that_and_its_scores():
    caution = caution_of(DEFAULT)
    assert caution.title == "TRAINED ON SIMULATED CLIPS"
    assert "no face was recorded" in caution.text
    assert SCORES in caution.text
    assert "UF1 0.71 [0.64, 0.79]" in caution.line
    unmeasured = caution_of(model_of("simulated_au"))
    assert "not measured" in unmeasured.text
    assert "NOT MEASURED" in unmeasured.line


def test_a_stand_in_has_its_own_caution_and_a_corpus_none():
    for dataset in ("smic_stand_in", "simulated_au"):
        caution = caution_of(model_of(dataset, stand_in=True))
        assert caution.title == "TRAINED ON STAND-IN DATA"
        assert "no meaning for real faces" in caution.text
    assert caution_of(model_of("smic")) is None
    assert scores_text(model_of("smic", measured=None)) == ""


@pytest.mark.parametrize(("model", "measured"), [(DEFAULT, SCORES), (model_of("smic"), "")])
def test_the_table_has_the_scores(tmp_path, model, measured):
    write_table(tmp_path / "a.csv", [Row("a.avi", "no movement")], model, 0)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["measured"] == measured
    assert row["trained_on"].startswith("9 simulated")


def test_the_figures_and_the_live_window_have_the_scores(tmp_path, monkeypatch):
    kept, written = [], []
    monkeypatch.setattr(figures, "save_figure", lambda path, figure, dpi: kept.append(figure))
    figures.save_timeline(
        tmp_path / "a.png", Search((), (), (), 100, whole=False, seconds=4.0), [Row("a.avi")], DEFAULT, SpotConfig()
    )
    assert "UF1 0.71 [0.64, 0.79]" in kept[0].get_supxlabel()
    monkeypatch.setattr("experiments.prediction.live_view._write", lambda panel, text, *_: written.append(text) or 0)
    draw_live(Live(np.zeros((48, 64, 3), np.uint8), 9.0), DEFAULT, 0.25)
    assert "UF1 0.71 [0.64, 0.79]" in " ".join(written)
