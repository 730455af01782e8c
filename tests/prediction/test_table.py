"""The table of movements: every kind has its row, only micro- and macro-expressions a class, and long videos print few lines."""

import csv

import numpy as np
import pytest

from experiments.cli.terminal import PlainConsole
from experiments.prediction.table import Row, print_table, write_table
from lightman_jax.data.vision.movement_kinds import KINDS, WITH_CLASS
from lightman_jax.model.saved_model import Model
from tests.inputs import CLASSES

MODEL = Model({"classes": CLASSES, "views": [], "networks": 2, "origin": "smic", "stand_in": False}, [], {})


def row_of(kind, begin, face_name=""):
    row = Row("a.avi", kind=kind, face_name=face_name, fps=50, frames=9000, pixels=1.5)
    row = row._replace(span=(round(50 * begin) + 1,) * 3, times=(begin, begin + 0.1, begin + 0.24))
    if kind in WITH_CLASS:
        return row._replace(probabilities=np.array([[0.2, 0.7, 0.1], [0.4, 0.5, 0.1]]))
    return row._replace(reason=f"{kind}: no class is predicted")


def printed(rows):
    console = PlainConsole(width=120, record=True, quiet=False)
    with console.capture() as capture:
        print_table(console, rows, MODEL)
    return capture.get()


@pytest.mark.parametrize("kind", KINDS)
def test_only_some_kinds_have_a_class(tmp_path, kind):
    write_table(tmp_path / "p.csv", [row_of(kind, 2.0, "face 2")], MODEL, 0)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["kind"], row["face_name"], row["format_version"]) == (kind, "face 2", "5")
    assert (row["onset"], row["onset_s"], row["apex_s"], row["offset_s"]) == ("101", "2.000", "2.100", "2.240")
    if kind in WITH_CLASS:
        assert (row["status"], row["reason"], row["prediction"]) == ("predicted", "", CLASSES[1])
    else:
        assert (row["status"], row["prediction"], row["p_positive"]) == ("not predicted", "", "")
        assert row["reason"] == f"{kind}: no class is predicted"


def test_unknown_times_are_empty(tmp_path):
    write_table(tmp_path / "p.csv", [row_of(KINDS[0], 2.0)._replace(times=(np.nan,) * 3)], MODEL, 0)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["onset"], row["onset_s"], row["apex_s"], row["offset_s"]) == ("101", "", "", "")


def test_a_hundred_blinks_are_one_line():
    blinks = [row_of("blink or gaze", 0.8 + k) for k in range(100)]
    text = printed([row_of("micro-expression", 0.2), *blinks, row_of("macro-expression", 7.5), row_of("speech", 9.0)])
    assert len(text.splitlines()) < 12
    assert "no class: a.avi: blink or gaze: 100, at 0.8, 1.8, 2.8, 3.8, 4.8 s ...; speech: 1, at 9.0 s" in text
    assert "micro" in text
    assert "macro" in text
    assert "not predicted" not in text


def test_the_faces_of_a_video_are_listed_apart():
    text = printed(
        [row_of("speech", 1.0, "face 1"), row_of("head motion", 2.0, "face 2"), Row("b.avi", "no face was found")]
    )
    assert "no class: a.avi, face 1: speech: 1, at 1.0 s" in text
    assert "no class: a.avi, face 2: head motion: 1, at 2.0 s" in text
    assert "not predicted: b.avi: no face was found" in text
