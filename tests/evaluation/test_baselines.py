"""Baselines: no test clip in training, every class predicted, published sizes of the shallow networks."""

import dataclasses

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
    slow = {"perceptron", "offapexnet"}
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
