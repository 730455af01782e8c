"""The data of a run: what is refused before anything is trained."""

import dataclasses
import types

import numpy as np
import pytest

from experiments.cli.config import DataConfig
from experiments.evaluation.data import data_notes, refuse_single_class
from lightman_jax.data.records import DataError, Problem
from tests.inputs import CLASSES, make_clips


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:1]])
def test_clips_of_one_class_alone_are_refused(classes):
    clips = make_clips(subjects=2)
    refuse_single_class(DataConfig(), clips)
    one = dataclasses.replace(clips, label=np.zeros_like(clips.label), classes=classes)
    with pytest.raises(DataError, match=r"all 12 micro clips of smic have the class negative.*another class.*--labels"):
        refuse_single_class(DataConfig(), one)


def test_every_choice_made_in_reading_the_data_is_one_line():
    flag, remedy = "--incomplete=keep", "the middle frame is used"
    problems = (
        *(Problem(f"row {k}", f"apex {k}", "none", remedy, lost=False) for k in range(7)),
        Problem("row 8", "an offset", "none", "correct it", flag=flag),
        Problem("row 9", "images", "none", "unpack it"),
    )
    manifest = types.SimpleNamespace(
        notes=("clips.csv: read as UTF-16",), problems=problems, corrections=("a/b: 1 to 2",)
    )
    assert data_notes(manifest) == (
        "clips.csv: read as UTF-16",
        f"7 clips or rows used with a change ({remedy}): row 0, row 1, row 2, row 3, row 4 and 2 more",
        f"1 clips or rows left out, {flag} takes them: row 8",
        "1 clips or rows not usable and left out: row 9",
        "1 clips or rows corrected: a/b: 1 to 2",
    )
