"""Records of arrays: joining sets of clips."""

import dataclasses

import numpy as np
import pytest

from lightman_jax.types import natural_order
from tests.inputs import make_clips


def test_joined_clips_keep_their_order_and_need_the_same_classes():
    first, second = make_clips(subjects=2, each=1), make_clips(subjects=1, each=2, corpus="casme2", seed=1)
    both = first.join(second)
    assert len(both) == len(first) + len(second) == 12
    for name in ("image", "label"):
        np.testing.assert_array_equal(getattr(both, name)[:6], getattr(first, name))
        np.testing.assert_array_equal(getattr(both, name)[6:], getattr(second, name))
    assert (both.subject[6:], both.clip[6:], both.classes) == (second.subject, second.clip, first.classes)
    assert set(both.dataset) == {"smic", "casme2"}
    with pytest.raises(ValueError, match="classes"):
        first.join(dataclasses.replace(second, classes=("a", "b", "c")))


def test_natural_order_takes_names_in_any_script():
    names = ["s10", "s2", "s\N{SUPERSCRIPT TWO}", "\N{CIRCLED DIGIT ONE}", "\N{ARABIC-INDIC DIGIT THREE}", ""]
    assert sorted(names, key=natural_order) == ["", "\N{ARABIC-INDIC DIGIT THREE}", "s2", "s10", *names[2:4]]
