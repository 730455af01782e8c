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


def viewed_clips():
    single = make_clips(subjects=1, each=2)
    views = np.stack([single.image, single.image, -single.image], axis=1)
    return dataclasses.replace(single, image=views, views=["dis_rise", "dis_fall", "tvl1_rise"])


@pytest.mark.parametrize("views", ["abc", ("dis_rise",), (1, 2, 3), ("dis_rise", "dis_rise", "dis_fall")])
def test_views_are_at_least_two_different_names(views):
    clips = viewed_clips()
    assert clips.views == ("dis_rise", "dis_fall", "tvl1_rise")
    with pytest.raises(ValueError, match="no list of at least two different names; give one name per view"):
        dataclasses.replace(clips, views=views)


@pytest.mark.parametrize("pixel", [(0, 0, 0), (3, 4, 2)])
def test_a_view_is_missing_in_all_its_pixels_or_in_none(pixel):
    clips = viewed_clips()
    image = clips.image.copy()
    image[1, 0] = np.nan
    partly = dataclasses.replace(clips, image=image)
    assert partly.has_view[1].tolist() == [False, True, True]
    assert len(partly.view("dis_rise")) == len(clips) - 1
    image = image.copy()
    image[(2, 1, *pixel)] = np.nan
    with pytest.raises(
        ValueError, match=f"{clips.clip[2]} has nan in a part of the view dis_fall; correct it, or mark"
    ):
        dataclasses.replace(clips, image=image)


def test_natural_order_takes_names_in_any_script():
    names = ["s10", "s2", "s\N{SUPERSCRIPT TWO}", "\N{CIRCLED DIGIT ONE}", "\N{ARABIC-INDIC DIGIT THREE}", ""]
    assert sorted(names, key=natural_order) == ["", "\N{ARABIC-INDIC DIGIT THREE}", "s2", "s10", *names[2:4]]
