"""Classes of one side of the face: which names count, and what a mirrored clip of theirs is."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.preprocessing import mirror_average
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.mirroring import mirror_partners, mirror_text, sided_classes
from lightman_jax.training.program import mirror_at_random
from lightman_jax.types import Clips, Task

SIDED = [
    *(
        "left",
        "right",
        "L",
        "R",
        "Left",
        "RIGHT",
        "l_smirk",
        "smirk-R",
        "smirk l",
        "AU12L",
        "AUL12",
        "L12",
        "R12",
        "12L",
        "lefteye",
    ),
    *(
        "RightBrow",
        "smirkR",
        "smirkright",
        "rechts",
        "linke Braue",
        "gauche",
        "droite",
        "izquierda",
        "sinistra",
        "左",
        "右眉",
        "левый",
    ),
]
ORDINARY = [
    *(
        "bright",
        "fright",
        "upright",
        "gleeful",
        "others",
        "relief",
        "neutral",
        "righteous",
        "leftover",
        "cleft",
        "l'ennui",
        "l\u2019ennui",
    ),
    *(
        "happiness",
        "sadness",
        "anger",
        "surprise",
        "fear",
        "disgust",
        "contempt",
        "repression",
        "tense",
        "negative",
        "positive",
        "other",
    ),
    *(
        "AU12",
        "4+7",
        "I",
        "II",
        "III",
        "IV",
        "V",
        "lr",
        "real",
        "lust",
        "rage",
        "light",
        "clear",
        "1",
        "12",
        "love",
        "roll",
    ),
]


@pytest.mark.parametrize("name", SIDED)
def test_a_word_for_a_side_switches_mirroring_off(name):
    assert sided_classes([name, "up"]) == [name]
    assert mirror_partners("auto", [name, "up"]) is None
    assert name in mirror_text("auto", [name, "up"])


@pytest.mark.parametrize(
    ("names", "sided"),
    [
        ("L M H", ""),
        ("A B R", ""),
        ("L0 L1 L2", ""),
        ("R+ R-", ""),
        ("L R N", "L R"),
        ("L4 R12 both", "L4 R12"),
        ("sol luna", ""),
        ("sol sağ", "sol sağ"),
        ("dx sx up", "dx sx"),
        ("dx control", ""),
        ("sinister kind", ""),
        ("droit travers", ""),
        ("gauche droit", "gauche droit"),
        ("左右 上下", ""),
    ],
)
def test_a_word_of_several_meanings_counts_beside_its_opposite_alone(names, sided):
    assert sided_classes(names.split()) == sided.split()


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_does_not(name):
    assert mirror_partners("auto", [name, "up"]) == (0, 1)
    assert mirror_text("auto", [name, "up"]) == ""


@pytest.mark.parametrize(
    "names", [("lsmirk", "rsmirk"), ("smirkl", "smirkr"), ("LAU12", "RAU12"), ("brauelinks", "brauerechts")]
)
def test_two_names_that_differ_in_the_side_alone_count(names):
    assert sided_classes([*names, "up"]) == list(names)
    assert sided_classes([names[0], "up"]) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(ORDINARY), max_size=4, unique=True),
    st.sampled_from(SIDED),
    st.sampled_from(["", " ", "_smile", " (strong)", "-2", "+4"]),
)
def test_one_sided_name_among_any_others_is_found_whatever_follows(others, name, end):
    separate = "_" if re.search(r"[^\W\d_]$", name) and end[:1].isalnum() else ""
    # One letter among others may be a code, as L in L, M, H.
    others = [other for other in others if len(other) > 1]
    assert sided_classes([*others, name + separate + end])[-1] == name + separate + end


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6).map(str.strip).filter(bool), min_size=2, max_size=5, unique=True))
def test_a_pair_of_any_names_exchanges_them(names):
    if ":" in "".join(names) or "," in "".join(names):
        return
    assert mirror_partners(f"{names[0]}:{names[1]}", names) == (1, 0, *range(2, len(names)))


def test_names_with_commas_and_colons_can_be_paired():
    assert mirror_partners("a,b:c:d", ["a,b", "c:d", "e"]) == (1, 0, 2)
    assert mirror_text("left : right", ["right", "up", "left"]) == "mirrored clips exchange the classes right and left"
    assert mirror_partners("up:up", ["left", "up"]) == (0, 1)
    assert mirror_partners("off", ["up", "down"]) is None


@pytest.mark.parametrize(
    ("mirror", "text"),
    [
        ("a:c", "c is not among the classes; choose pairs NAME:NAME of a, b"),
        ("a:b,b:a", "two pairs"),
        ("on", "neither auto"),
    ],
)
def test_other_pairs_are_refused(mirror, text):
    with pytest.raises(ValueError, match=text):
        mirror_partners(mirror, ["a", "b"])


def test_other_settings_are_refused_before_the_data_are_read():
    with pytest.raises(ValueError, match="mirror 'yes' is neither auto, off nor pairs"):
        TrainConfig(mirror="yes")


def tasks_of(classes=3, shots=4):
    label = jnp.asarray(np.tile(np.repeat(np.arange(classes), shots), (2, 1)), jnp.int32)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(*label.shape, 2, 2, 3)), jnp.float32)
    clips = Clips(image, label, jnp.ones(label.shape, bool))
    return Task(clips, clips, clips)


def test_a_mirrored_clip_has_the_label_of_its_partner_and_classes_keep_their_number_of_clips():
    tasks = tasks_of()
    mirrored = mirror_at_random(jax.random.key(0), tasks, (1, 0, 2)).support
    flipped = np.asarray((mirrored.image != tasks.support.image).any((-1, -2, -3)))
    old, new = np.asarray(tasks.support.label), np.asarray(mirrored.label)
    np.testing.assert_array_equal(new, np.where(flipped, np.array([1, 0, 2])[old], old))
    assert 0 < flipped[old == 0].sum() < flipped[old == 0].size
    for row in new:
        np.testing.assert_array_equal(np.bincount(row), [4, 4, 4])


def test_without_partners_nothing_changes_and_with_ordinary_ones_only_the_images_do():
    tasks = tasks_of()
    assert mirror_at_random(jax.random.key(0), tasks, None) is tasks
    ordinary = mirror_at_random(jax.random.key(0), tasks, (0, 1, 2))
    same = mirror_at_random(jax.random.key(0), tasks)
    for a, b in zip(jax.tree.leaves(ordinary), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert ordinary.support.label is tasks.support.label


def test_a_mirrored_prediction_is_permuted_before_the_mean():
    def probabilities(x):
        """Class 0 for movement to the left, 1 to the right."""
        u = x[..., 0].mean(axis=(1, 2))
        return jax.nn.softmax(jnp.stack([-u, u, 0 * u], axis=1))

    images = jnp.full((1, 2, 2, 3), 2.0)
    expected = probabilities(images)
    np.testing.assert_allclose(mirror_average(probabilities, images, (1, 0, 2)), expected, atol=1e-6)
    np.testing.assert_array_equal(mirror_average(probabilities, images, None), expected)
    chance = mirror_average(probabilities, images)
    assert chance[0, 0] == pytest.approx(float(chance[0, 1]), abs=1e-6)
