"""Baselines: no test clip in training, every class predicted, published sizes of the shallow networks."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from experiments.cli.baseline_names import BASELINES, CLASSICAL_BASELINES, NETWORK_BASELINES, chosen_baselines
from experiments.evaluation.baselines import NETWORK_CHANGES, trained_baseline
from experiments.evaluation.classical_baselines import CLASSICAL, fit_classical
from lightman_jax.meta.methods import METHODS
from lightman_jax.networks.backbones import OffApexNet, STSTNet
from lightman_jax.preprocessing import mirror_flow, scale_flow
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips


@pytest.fixture(scope="module")
def clips():
    return make_clips(subjects=4, each=2, side=8)


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_baseline_predicts_every_test_clip_and_is_not_fitted_to_it(clips, name):
    folds = leave_one_subject_out(clips.subject)
    predicted = list(fit_classical(name, clips, folds, [0, 1], TrainConfig(scaling="fold_rms")))
    assert [(p.fold.name, p.seed) for p in predicted] == [(f.name, s) for s in (0, 1) for f in folds]
    for one in predicted:
        assert one.probabilities.shape == (len(one.fold.test), 3)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1, atol=1e-6)
    image, label = clips.image.copy(), clips.label.copy()
    held_out = folds[0].test
    label[held_out] = (label[held_out] + 1) % 3
    image[held_out[0]] = 7.0
    (after,) = fit_classical(
        name, dataclasses.replace(clips, image=image, label=label), folds[:1], [0], TrainConfig(scaling="fold_rms")
    )
    np.testing.assert_allclose(after.probabilities[1:], predicted[0].probabilities[1:], atol=1e-6)


@pytest.mark.slow
def test_a_class_without_a_training_clip_is_never_predicted(clips):
    fold = leave_one_subject_out(clips.subject)[0]
    known = dataclasses.replace(fold, train=fold.train & (clips.label != 2))
    for name in CLASSICAL:
        (one,) = fit_classical(name, clips, [known], [0], TrainConfig())
        assert (one.probabilities[:, 2] < 1e-6).all()


def test_classical_baselines_separate_classes_that_differ_by_a_constant_field(clips):
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(3, *clips.image.shape[1:]))
    image = (patterns[clips.label] + 0.3 * rng.normal(size=clips.image.shape)).astype(np.float32)
    separable = dataclasses.replace(clips, image=image)
    for name in set(CLASSICAL) - {"majority"}:
        for one in fit_classical(name, separable, leave_one_subject_out(clips.subject), [0], TrainConfig()):
            assert (one.probabilities.argmax(axis=1) == clips.label[one.fold.test]).all(), name


def with_views(clips, second):
    """The clips with a second view."""
    return dataclasses.replace(clips, image=np.stack([clips.image, second], axis=1), views=("dis_rise", "dis_fall"))


@pytest.mark.parametrize("scaling", ["clip_rms", "fold_rms"])
@pytest.mark.parametrize("name", CLASSICAL)
def test_views_are_joined_and_a_view_without_training_clips_counts_for_nothing(clips, name, scaling):
    rng, folds, config = (
        np.random.default_rng(0),
        leave_one_subject_out(clips.subject)[:1],
        TrainConfig(scaling=scaling),
    )
    second = rng.normal(size=clips.image.shape).astype(np.float32)
    joined = with_views(clips, second)
    # The pixels of both views side by side, each scaled by its own statistics.
    scaled = np.asarray(scale_flow(joined.image, scaling=scaling, train=folds[0].train, views=True))
    features = [
        np.concatenate([side[:, 0].reshape(24, -1), side[:, 1].reshape(24, -1)], axis=1)
        for side in (scaled, np.asarray(mirror_flow(scaled)))
    ]
    classifier = CLASSICAL[name](0)
    train, test = folds[0].train, folds[0].test
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(np.concatenate([side[train] for side in features]), np.tile(clips.label[train], 2))
    of_side = getattr(classifier, "decision_function", None) or (
        lambda x: np.log(np.maximum(classifier.predict_proba(x), 1e-9))
    )
    expected = jax.nn.softmax(np.mean([of_side(side[test]) for side in features], axis=0))
    (found,) = fit_classical(name, joined, folds, [0], config)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)

    second[folds[0].train] = np.nan
    (missing,) = fit_classical(name, with_views(clips, second), folds, [0], config)
    (alone,) = fit_classical(name, clips, folds, [0], config)
    np.testing.assert_allclose(missing.probabilities, alone.probabilities, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(CLASSICAL) - {"majority"}))
def test_a_missing_view_speaks_for_no_class_and_is_filled_from_training_clips_alone(clips, name):
    folds, config = leave_one_subject_out(clips.subject)[:1], TrainConfig()
    test, train = folds[0].test, np.flatnonzero(folds[0].train)
    second = clips.image.copy()
    second[[test[0], train[0]]] = np.nan
    lacking = with_views(clips, second)
    (found,) = fit_classical(name, lacking, folds, [0], config)
    assert np.isfinite(found.probabilities).all()
    # Other test clips have no part in what replaces the view.
    changed = second.copy()
    changed[test[1:]] = 100 * np.random.default_rng(0).normal(size=changed[test[1:]].shape)
    (after,) = fit_classical(name, with_views(clips, changed), folds, [0], config)
    np.testing.assert_array_equal(found.probabilities[0], after.probabilities[0])
    assert not np.array_equal(found.probabilities[1:], after.probabilities[1:])
    # A view that is equal in all training clips says nothing, whether a test clip has it or not.
    equal = np.broadcast_to(clips.image[:1], clips.image.shape).copy()
    unmirrored = TrainConfig(mirror="off")
    (complete,) = fit_classical(name, with_views(clips, equal), folds, [0], unmirrored)
    equal[test[0]] = np.nan
    (without,) = fit_classical(name, with_views(clips, equal), folds, [0], unmirrored)
    np.testing.assert_allclose(without.probabilities, complete.probabilities, atol=1e-5)


def test_shallow_networks_have_their_published_sizes():
    image = jnp.zeros((2, 28, 28, 3))
    features = {}
    for network in (STSTNet(width=16), OffApexNet(width=16)):
        (features[type(network).__name__], maps), variables = jax.eval_shape(
            network.init_with_output, jax.random.key(0), image
        )
        count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        assert maps.shape[1:3] == (1, 1)
        if isinstance(network, OffApexNet):
            assert count == pytest.approx(2.66e6, rel=0.01), "the published number of parameters"
    assert features["STSTNet"].shape == (2, 400)
    assert features["OffApexNet"].shape == (2, 1024)


def test_baseline_names_are_checked_and_network_baselines_are_trained_jointly():
    assert chosen_baselines("all") == list(BASELINES)
    assert chosen_baselines("none") == []
    assert tuple(CLASSICAL) == CLASSICAL_BASELINES
    assert tuple(NETWORK_CHANGES) == NETWORK_BASELINES
    slow = {"perceptron", "ststnet", "offapexnet"}
    assert {*chosen_baselines("all")} == {*chosen_baselines("default"), *slow, *chosen_baselines("meta")}
    assert {*chosen_baselines("meta"), "joint"} == {*METHODS}
    assert chosen_baselines("knn, meta, knn")[:2] == ["knn", "lightman"]
    with pytest.raises(ValueError, match="choose default, meta, all, none, or some of majority"):
        chosen_baselines("svm")
    config = trained_baseline("ststnet", TrainConfig())
    assert (config.network.backbone, config.method.bilevel.inner_steps) == ("ststnet", 0)
    assert config.steps == TrainConfig().steps
    maml = trained_baseline("maml", TrainConfig())
    assert (maml.network, maml.method.bilevel.inner_steps, maml.method.outer_alignment) == (TrainConfig().network, 1, 0)


@pytest.mark.parametrize(
    ("name", "reference"), [("rbf_svm", SVC(kernel="rbf")), ("linear_svm", SVC(kernel="linear", C=1e-3))]
)
def test_kernel_functions_equal_the_kernels_of_scikit_learn(name, reference):
    rng = np.random.default_rng(0)
    clips, label = rng.normal(size=(40, 300)).astype(np.float32), np.arange(40) % 3
    own = CLASSICAL[name](0).fit(clips, label)
    reference.set_params(class_weight="balanced").fit(clips, label)
    new = rng.normal(size=(9, 300)).astype(np.float32)
    np.testing.assert_allclose(own.decision_function(new), reference.decision_function(new), atol=2e-3)
