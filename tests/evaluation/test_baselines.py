"""Baselines: honest folds, every class, the published sizes of the shallow networks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from experiments.evaluation.baselines import BASELINES, CLASSICAL_BASELINES, chosen_baselines, trained_baseline
from experiments.evaluation.machines import CLASSICAL, fit_classical
from lightman_jax.meta.methods import METHODS
from lightman_jax.networks.backbones import OffApexNet, STSTNet
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.folds import leave_one_subject_out
from tests.inputs import make_clips


@pytest.fixture(scope="module")
def clips():
    return make_clips(subjects=4, each=2)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_learner_predicts_every_held_out_clip_and_never_sees_it(clips, name):
    folds = leave_one_subject_out(clips.subject)
    guesses = list(fit_classical(name, clips, folds, [0, 1], "fold_rms"))
    assert [(g.fold.name, g.seed) for g in guesses] == [(f.name, s) for s in (0, 1) for f in folds]
    for guess in guesses:
        assert guess.probabilities.shape == (len(guess.fold.test), 3)
        np.testing.assert_allclose(guess.probabilities.sum(axis=1), 1, atol=1e-6)
    image, label = clips.image.copy(), clips.label.copy()
    held_out = folds[0].test
    label[held_out] = (label[held_out] + 1) % 3
    image[held_out[0]] = 7.0
    (after,) = fit_classical(name, dataclasses.replace(clips, image=image, label=label), folds[:1], [0], "fold_rms")
    np.testing.assert_allclose(after.probabilities[1:], guesses[0].probabilities[1:], atol=1e-6)


def test_a_class_without_a_training_clip_is_never_predicted(clips):
    fold = leave_one_subject_out(clips.subject)[0]
    known = dataclasses.replace(fold, train=fold.train & (clips.label != 2))
    for name in CLASSICAL:
        (guess,) = fit_classical(name, clips, [known], [0], "clip_rms")
        assert (guess.probabilities[:, 2] < 1e-6).all()


def test_learners_find_what_is_there(clips):
    """Classes that differ by a constant field are told apart by all but the majority."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(3, *clips.image.shape[1:]))
    image = (patterns[clips.label] + 0.3 * rng.normal(size=clips.image.shape)).astype(np.float32)
    told = dataclasses.replace(clips, image=image)
    for name in set(CLASSICAL) - {"majority"}:
        for guess in fit_classical(name, told, leave_one_subject_out(clips.subject), [0], "clip_rms"):
            assert (guess.probabilities.argmax(axis=1) == clips.label[guess.fold.test]).all(), name


def test_shallow_networks_have_their_published_sizes():
    image = jnp.zeros((2, 28, 28, 3))
    features = {}
    for network in (STSTNet(width=16), OffApexNet(width=16)):
        (features[network.name or type(network).__name__], maps), variables = network.init_with_output(
            jax.random.key(0), image
        )
        count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        assert maps.shape[1:3] == (1, 1)
        if isinstance(network, OffApexNet):
            assert count == pytest.approx(2.66e6, rel=0.01), "parameters as published"
    assert features["STSTNet"].shape == (2, 400)
    assert features["OffApexNet"].shape == (2, 1024)


def test_names_are_checked_and_networks_are_trained_plainly():
    assert chosen_baselines("all") == list(BASELINES)
    assert chosen_baselines("none") == []
    assert tuple(CLASSICAL) == CLASSICAL_BASELINES
    slow = {"perceptron", "offapexnet"}
    assert {*chosen_baselines("all")} == {*chosen_baselines("usual"), *slow, *chosen_baselines("relatives")}
    assert {*chosen_baselines("relatives"), "joint"} == {*METHODS}
    assert chosen_baselines("knn, relatives, knn")[:2] == ["knn", "lightman"]
    with pytest.raises(ValueError, match="choose usual, relatives, all, none, or some of majority"):
        chosen_baselines("svm")
    config = trained_baseline("ststnet", TrainConfig())
    assert (config.network.backbone, config.method.bilevel.inner_steps) == ("ststnet", 0)
    assert config.steps == TrainConfig().steps
    maml = trained_baseline("maml", TrainConfig())
    assert (maml.network, maml.method.bilevel.inner_steps, maml.method.outer_alignment) == (TrainConfig().network, 1, 0)


@pytest.mark.parametrize(
    ("name", "usual"), [("rbf_svm", SVC(kernel="rbf")), ("linear_svm", SVC(kernel="linear", C=1e-3))]
)
def test_kernels_by_products_are_those_of_the_library(name, usual):
    rng = np.random.default_rng(0)
    clips, label = rng.normal(size=(40, 300)).astype(np.float32), np.arange(40) % 3
    own = CLASSICAL[name](0).fit(clips, label)
    usual.set_params(class_weight="balanced").fit(clips, label)
    new = rng.normal(size=(9, 300)).astype(np.float32)
    np.testing.assert_allclose(own.decision_function(new), usual.decision_function(new), atol=2e-3)
