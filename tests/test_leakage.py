"""Canaries: nothing of a test subject reaches the weights of its own fold, whatever the method or the scaling."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import make_clips

from lightman_jax.branches import NetworkConfig
from lightman_jax.flow import SCALINGS
from lightman_jax.folds import TrainConfig, predict_folds, train_folds
from lightman_jax.level_one import BilevelConfig
from lightman_jax.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.tasks import TaskConfig, leave_one_subject_out

pytestmark = pytest.mark.usefixtures("one_block")

SUBJECT = "smic/s2"


def make_config(method="lightman", scaling="clip_rms", steps=3, **settings):
    return TrainConfig(
        **{
            "method": method_config(method, MethodConfig(bilevel=BilevelConfig(inner_steps=1))),
            "network": NetworkConfig(width=8, embedding=4),
            "task": TaskConfig(shots=2, macro_shots=1, tasks=1),
            "steps": steps,
            "scaling": scaling,
        }
        | settings
    )


def weights(micro, macro, config, subject=SUBJECT):
    folds = leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())
    (lane,) = train_folds(micro, macro, [fold for fold in folds if fold.subject == subject], [0], config)
    (probabilities,) = predict_folds([(lane.fold, lane.params)], np.nan_to_num(micro.image), config)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    return jax.tree.leaves(lane.params)


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def changed(clips, kind, subject):
    rows = np.flatnonzero(np.array(clips.subject) == subject)
    if kind == "labels":
        label = clips.label.copy()
        label[rows] = (label[rows] + 1) % 3
        return dataclasses.replace(clips, label=label)
    image = clips.image.copy()
    image[rows] = np.nan if kind == "not a number" else np.random.default_rng(9).normal(size=image[rows].shape) * 50
    return dataclasses.replace(clips, image=image)


CASES = {
    "lightman": ({}, False),
    "lightman, macro corpus": ({}, True),
    "lightman, fold_rms, macro corpus": ({"scaling": "fold_rms"}, True),
    "joint, fold_rms": ({"method": "joint", "scaling": "fold_rms"}, False),
    "joint, batch normalisation": (
        {"method": "joint", "network": NetworkConfig(backbone="conv4", width=8, embedding=4, normalisation="batch")},
        False,
    ),
    "lightman_fo, shuffled macro labels": ({"method": "lightman_fo", "macro_labels": "shuffled"}, False),
    "lightman_fo, shuffled labels of a macro corpus": ({"method": "lightman_fo", "macro_labels": "shuffled"}, True),
    "generated, batch normalisation": (
        {"method": "generated", "network": NetworkConfig(backbone="conv4", width=4, normalisation="batch")},
        False,
    ),
    **{name: ({"method": name}, False) for name in ("reptile", "meta_sgd", "protonet")},
}


@pytest.mark.parametrize("case", CASES)
def test_labels_and_pixels_of_the_test_subject_leave_its_weights_bit_equal(case):
    settings, with_macro = CASES[case]
    config = make_config(**settings)
    micro, macro = make_clips(each=2), make_clips(each=1, seed=5) if with_macro else None
    expected = weights(micro, macro, config)
    for kind in ("labels", "pixels", "not a number"):
        assert same(weights(changed(micro, kind, SUBJECT), macro, config), expected), kind
        if macro is not None:
            assert same(weights(micro, changed(macro, kind, SUBJECT), config), expected), f"macro {kind}"
    # The same changes in a training subject must show, or this test could not fail.
    for kind in ("labels", "pixels"):
        assert not same(weights(changed(micro, kind, "smic/s3"), macro, config), expected), kind
    if macro is not None:
        assert not same(weights(micro, changed(macro, "pixels", "smic/s3"), config), expected)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_tell_tale_pixel_in_the_test_clips_does_not_raise_the_score(scaling):
    """In every fold the test clips carry their label in a pixel; training clips of that fold do not."""
    config = make_config("joint", scaling, steps=30)
    rng = np.random.default_rng(0)
    clean = make_clips(subjects=5, each=3)
    clean = dataclasses.replace(clean, image=rng.normal(size=clean.image.shape).astype(np.float32))
    told = clean.image.copy()
    told[np.arange(len(clean)), 3, 3, 2] += 4.0 * clean.label
    folds = leave_one_subject_out(clean.subject)
    lanes = list(train_folds(clean, None, folds, [0], config))
    scores = {}
    for name, planted in (("without", clean.image), ("with", told)):
        counts = np.zeros((3, 3), int)
        for lane in lanes:
            # The planted clips are the ones handed to the prediction; the weights come from the clean ones.
            image = clean.image.copy()
            image[lane.fold.test] = planted[lane.fold.test]
            (probabilities,) = predict_folds([(lane.fold, lane.params)], image, config)
            counts += confusion_matrix(clean.label[lane.fold.test], probabilities.argmax(1), 3)
        scores[name] = float(uf1(counts))
    assert scores["without"] < 0.55, "labels of noise cannot be recognised"
    assert scores["with"] < scores["without"] + 0.1
