"""The data of a run: what is refused before anything is trained."""

import dataclasses

import numpy as np
import pytest

from experiments.cli.config import DataConfig
from experiments.evaluation.data import refuse_single_class
from lightman_jax.data.corpora.records import DataError
from tests.inputs import CLASSES, make_clips


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:1]])
def test_clips_of_one_class_alone_are_refused(classes):
    clips = make_clips(subjects=2)
    refuse_single_class(DataConfig(), clips)
    one = dataclasses.replace(clips, label=np.zeros_like(clips.label), classes=classes)
    with pytest.raises(DataError, match=r"all 12 micro clips of smic have the class negative.*another class.*--labels"):
        refuse_single_class(DataConfig(), one)
