"""Test subjects do not affect the weights of their own fold, for every kind of method and scaling."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.meta.inner_loop import BilevelConfig
from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.metrics import confusion_matrix, uf1
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import SCALINGS, mirror_flow, scale_flow
from lightman_jax.training import leakage
from lightman_jax.training import program as training
from lightman_jax.training.augmentation import AugmentConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.training.prediction import predict_folds
from tests.inputs import make_clips

pytestmark = [pytest.mark.usefixtures("one_block"), pytest.mark.slow]

SUBJECT = "smic/s2"


def make_config(method="lightman", scaling="clip_rms", steps=3, **settings):
    return TrainConfig(
        **{
            "method": method_config(method, MethodConfig(bilevel=BilevelConfig(inner_steps=1))),
            "network": NetworkConfig(width=8, embedding=4),
            "task": TaskConfig(shots=2, macro_shots=1, meta_batch_size=1),
            "steps": steps,
            "scaling": scaling,
        }
        | settings
    )


def weights(micro, macro, config, subject=SUBJECT):
    folds = leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())
    (job,) = train_folds(micro, macro, [fold for fold in folds if fold.name == subject], [0], config)
    (probabilities,) = predict_folds([(job.fold, job.params)], np.nan_to_num(micro.image), config)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    return jax.tree.leaves(job.params)


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
    "joint, batch normalisation": (
        {"method": "joint", "network": NetworkConfig(backbone="conv4", width=8, embedding=4, normalisation="batch")},
        False,
    ),
    "lightman_fo, fold_rms, shuffled labels of a macro corpus whose clips are labelled clips": (
        {
            "method": "lightman_fo",
            "scaling": "fold_rms",
            "macro_labels": "shuffled",
            "task": TaskConfig(shots=2, macro_shots=1, meta_batch_size=1, labelled_macro=3),
        },
        True,
    ),
    "joint, augmented colour images": (
        {
            "method": "joint",
            "channels": "rgb",
            "augment": AugmentConfig(shift=0.1, rotation=10, brightness=0.1, contrast=0.1),
        },
        False,
    ),
    "generated, batch normalisation": (
        {"method": "generated", "network": NetworkConfig(backbone="conv4", width=4, normalisation="batch")},
        False,
    ),
    **{name: ({"method": name}, False) for name in ("reptile", "protonet")},
}


@pytest.mark.parametrize("case", CASES)
def test_weights_of_a_fold_do_not_depend_on_its_test_subject(case):
    settings, with_macro = CASES[case]
    config = make_config(**settings)
    micro, macro = make_clips(each=2), make_clips(each=1, seed=5) if with_macro else None
    expected = weights(micro, macro, config)
    for kind in ("labels", "pixels", "not a number"):
        assert same(weights(changed(micro, kind, SUBJECT), macro, config), expected), kind
        if macro is not None:
            assert same(weights(micro, changed(macro, kind, SUBJECT), config), expected), f"macro {kind}"
    # The same changes in a training subject must change the weights, or this test could not fail.
    for kind in ("labels", "pixels"):
        assert not same(weights(changed(micro, kind, "smic/s3"), macro, config), expected), kind
    if macro is not None:
        assert not same(weights(micro, changed(macro, "pixels", "smic/s3"), config), expected)


# The statistics of imagenet are constants.
@pytest.mark.parametrize("scaling", [name for name in SCALINGS if name != "imagenet"])
def test_labels_encoded_in_pixels_of_test_clips_do_not_raise_the_score(scaling):
    config = make_config("joint", scaling, steps=30)
    rng = np.random.default_rng(0)
    clean = make_clips(subjects=5, each=3)
    clean = dataclasses.replace(clean, image=rng.normal(size=clean.image.shape).astype(np.float32))
    encoded = clean.image.copy()
    encoded[np.arange(len(clean)), 3, 3, 2] += 4.0 * clean.label
    folds = leave_one_subject_out(clean.subject)
    jobs = list(train_folds(clean, None, folds, [0], config))
    scores = {}
    for name, test_image in (("without", clean.image), ("with", encoded)):
        counts = np.zeros((3, 3), int)
        for job in jobs:
            # Only the test clips encode their label; the weights were trained on clips that do not.
            image = clean.image.copy()
            image[job.fold.test] = test_image[job.fold.test]
            (probabilities,) = predict_folds([(job.fold, job.params)], image, config)
            counts += confusion_matrix(clean.label[job.fold.test], probabilities.argmax(1), 3)
        scores[name] = float(uf1(counts))
    assert scores["without"] < 0.55, "labels of noise cannot be predicted"
    assert scores["with"] < scores["without"] + 0.1


def with_image(clips, row, image):
    images = clips.image.copy()
    images[row] = image
    return dataclasses.replace(clips, image=images)


COPIES = {
    "as it is": lambda x: x,
    "mirrored": lambda x: x[:, ::-1],
    "mirrored flow": lambda x: np.asarray(mirror_flow(jnp.asarray(x))),
}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("pool", ["micro", "macro"])
def test_a_copy_of_a_test_clip_under_another_subject_is_refused(pool, copied):
    micro, macro = make_clips(each=1), make_clips(each=1, seed=5)
    fold = next(f for f in leave_one_subject_out(micro.subject, macro.subject) if f.name == SUBJECT)
    copy = COPIES[copied](micro.image[fold.test[1]])
    own = next(row for row in np.flatnonzero(np.array(macro.subject) == SUBJECT))
    leakage.check_leaks(micro, with_image(macro, own, copy), [fold], "clip_rms")
    row = np.flatnonzero(fold.train if pool == "micro" else fold.macro_train)[0]
    clips = {"micro": micro, "macro": macro}
    clips[pool] = with_image(clips[pool], row, copy)
    name, other = micro.clip[fold.test[1]], clips[pool].clip[row]
    with pytest.raises(ValueError, match=f"test clip {name} has the same image as {other} in its {pool} training pool"):
        next(train_folds(clips["micro"], clips["macro"], [fold], [0], make_config()))


@pytest.mark.parametrize("pool", ["train", "macro_train"])
def test_a_test_subject_in_a_training_pool_is_refused(pool):
    micro, macro = make_clips(each=1), make_clips(each=1, seed=5)
    fold = leave_one_subject_out(micro.subject, macro.subject)[0]
    leak = dataclasses.replace(fold, **{pool: np.ones(len(micro), bool)})
    with pytest.raises(ValueError, match="test subject"):
        next(train_folds(micro, macro, [leak], [0], make_config()))


def test_a_scaling_over_all_clips_is_refused_and_changes_the_weights(monkeypatch):
    micro = make_clips(each=1)

    def leaking(images, *, train=None, **more):
        return scale_flow(images, train=None if train is None else train | True, **more)

    monkeypatch.setattr(leakage, "_scaled", leaking)
    fold = leave_one_subject_out(micro.subject)[0]
    with pytest.raises(ValueError, match="scaling fold_rms of its training clips depends on its test clips"):
        next(train_folds(micro, None, [fold], [0], make_config(scaling="fold_rms")))
    monkeypatch.setattr(training, "scale_flow", leaking)
    monkeypatch.setattr(leakage, "check_scaling", lambda *_, **__: None)
    config = make_config("joint", scaling="fold_rms", steps=2)
    assert not same(weights(changed(micro, "pixels", SUBJECT), None, config), weights(micro, None, config)), (
        "the comparison of weights must detect it as well"
    )


def test_only_the_parameters_of_the_last_step_are_returned():
    """No step can be selected on the test subject: nothing about its clips is reported during training."""
    micro, reported = make_clips(each=1), []
    folds = leave_one_subject_out(micro.subject)
    jobs = list(train_folds(micro, None, folds[:1], [0], make_config("joint"), on_progress=reported.append))
    assert [progress.step for progress in reported] == [3]
    assert set(reported[0]._fields) == {"jobs", "step", "done", "total", "loss"}
    assert len(jobs) == 1
    assert all(np.ndim(values) == 1 for values in jobs[0].history.values())
    assert not any("query_test" in name or "held_out" in name for name in jobs[0].history)
