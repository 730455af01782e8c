"""Combinations of action units of the classes of every label space."""

import pytest

from lightman_jax.data.corpora.action_units import objective_class
from lightman_jax.data.corpora.labels import LabelSpace, label_space
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.records import DataError, RawClip
from lightman_jax.data.synthetic.action_unit_fields import SIMULATED_UNITS
from lightman_jax.data.synthetic.emotion_units import COMBINATIONS, combinations_of
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig, simulated_au_reading
from lightman_jax.data.synthetic.unit_shapes import UNIT_SHAPES

SPACES = {(name, corpus.classes[name]) for corpus in CORPORA.values() for name in corpus.classes} | {
    (name, label_space(name, ["casme2"]).classes) for name in ("3", "4", "objective", "au4", "au12", "au1", "au17")
}


@pytest.mark.parametrize("units", [UNIT_SHAPES, SIMULATED_UNITS], ids=["geometry", "patches"])
@pytest.mark.parametrize(("name", "classes"), sorted(SPACES))
def test_simulated_clips_get_the_class_that_they_were_simulated_for(name, classes, units):
    space = LabelSpace(name, classes)
    for label in classes:
        found = combinations_of(label, name, units)
        assert found
        for one in found:
            assert set(one) <= set(units)
            assert name != "objective" or objective_class(one) == label
    patches = SimulatedAUConfig(subjects=2, micro_clips=3, macro_clips=1, label_space=name, classes=classes)
    for clip in simulated_au_reading(patches).clips:
        assert space.class_of(clip) == clip.clip.split("/")[-1].rsplit("_", 1)[0]


def test_classes_differ_in_their_units():
    every = [one for label in ("negative", "positive", "surprise") for one in set(COMBINATIONS[label])]
    assert len(every) == len(set(every))


def test_a_class_without_units_is_refused():
    with pytest.raises(DataError, match=r"'boredom' can be simulated; classes with units are negative, positive"):
        combinations_of("boredom", "own", UNIT_SHAPES)
    with pytest.raises(DataError, match="'present' can be simulated"):
        combinations_of("present", "au43", UNIT_SHAPES)
    assert combinations_of("absent", "au43", UNIT_SHAPES)


def test_the_clips_are_of_the_corpus():
    clip = simulated_au_reading(SimulatedAUConfig(subjects=1, micro_clips=1, macro_clips=0)).clips[0]
    assert isinstance(clip, RawClip)
    assert (clip.corpus, clip.kind, clip.cropped) == ("simulated_au", "simulated", True)
