"""Models of several views: a missing view is left out, and the number of views is that of the training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.meta.methods import MethodConfig, method_config
from lightman_jax.model.card import ModelCard
from lightman_jax.model.ensemble import Ensemble, ensemble_programs
from lightman_jax.model.export import export_ensemble, flat_programs
from lightman_jax.model.saved_model import Model, load_model
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.preprocessing import training_mean_square
from lightman_jax.training.config import TrainConfig
from lightman_jax.training.program import method_of
from tests.inputs import CLASSES

VIEWS = ("farneback_rise", "dis_rise", "farneback_fall")
SHAPE = (3, 8, 8, 3)
NETWORK = NetworkConfig(width=8, embedding=4, views=3)


def settings(view_network="separate", method="lightman", **changes):
    network = dataclasses.replace(NETWORK, view_network=view_network)
    return TrainConfig(method_config(method, MethodConfig()), network, steps=1, **changes)


def clips(count=6, seed=0):
    """Images of which every other clip lacks the last view."""
    images = np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype(np.float32)
    images[1::2, 2] = np.nan
    return images


def untrained(config, views=VIEWS, networks=2):
    """Networks as they start, and their card."""
    method = method_of(config)
    init = lambda key: method.init(key, (len(views), *SHAPE[1:]), 3).params  # noqa: E731
    keys = jax.random.split(jax.random.key(0), networks)
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(init, keys))
    square = training_mean_square(jnp.asarray(clips()), np.ones(6, bool), views=True)[:, : len(views)]
    folds = tuple(f"s/{number}" for number in range(networks))
    card = ModelCard(CLASSES, (len(views), *SHAPE[1:]), config.method.name, folds, views)
    return Ensemble(params, jnp.stack([square] * networks)), card


def opened(config):
    ensemble, card = untrained(config)
    return Model(card.to_json(), jax.tree.leaves(ensemble), flat_programs(ensemble_programs(config), ensemble))


@pytest.fixture(scope="module")
def model():
    return opened(settings())


@pytest.mark.parametrize("scaling", ["clip_rms", "fold_rms", "clip_minmax"])
def test_without_a_view_a_model_predicts_as_one_over_the_other_views(scaling):
    config = settings(scaling=scaling)
    ensemble, _ = untrained(config)
    images = jnp.asarray(clips()).at[:, 2].set(jnp.nan)
    found = ensemble_programs(config).predict(ensemble, images)
    two = jax.tree.map(lambda leaf: leaf[:, :2], ensemble.params)
    fewer = dataclasses.replace(config, network=dataclasses.replace(config.network, views=2))
    expected = ensemble_programs(fewer).predict(Ensemble(two, ensemble.mean_square[:, :, :2]), images[:, :2])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    one = jax.tree.map(lambda leaf: leaf[:, 0], ensemble.params)
    alone = dataclasses.replace(config, network=dataclasses.replace(config.network, views=1))
    expected = ensemble_programs(alone).predict(Ensemble(one, ensemble.mean_square[:, :, 0]), images[:, 0])
    found = ensemble_programs(config).predict(ensemble, images.at[:, 1].set(jnp.nan))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("view_network", ["separate", "shared", "joined"])
def test_views_and_clips_are_predicted_on_their_own(view_network):
    model, images = opened(settings(view_network)), clips()
    order = np.random.default_rng(1).permutation(len(images))
    together, maps = model.predict(images), model.saliency(images)
    np.testing.assert_allclose(model.predict(images[order]), together[:, order], atol=1e-6)
    np.testing.assert_allclose(model.predict(images[1:2]), together[:, 1:2], atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=-1), 1, atol=1e-5)
    assert maps.shape == images.shape[:-1]
    assert not maps[1::2, 2].any()
    assert (maps[:, :2].max(axis=(2, 3)) > 0).all()
    assert (maps[::2, 2].max(axis=(1, 2)) > 0).all()
    # The scale of a view is its own.
    scaled = images * np.array([1, 10, 0.1], np.float32)[:, None, None, None]
    np.testing.assert_allclose(model.predict(scaled), together, atol=1e-5)


def test_images_of_other_views_are_refused_and_the_views_are_named(model):
    images = clips()
    names = "farneback_rise, dis_rise, farneback_fall"
    for wrong in (images[:, :2], images[:, 0], images[:0]):
        with pytest.raises(ValueError, match=rf"this model takes \[b, 3, 8, 8, 3\], b from 1, with the 3 views {names}"):
            model.predict(wrong)
    nothing, partly = images.copy(), images.copy()
    nothing[4], partly[0, 1, 0, 0, 0] = np.nan, np.nan
    with pytest.raises(ValueError, match=f"clip 4 has none of the views {names}"):
        model.saliency(nothing)
    with pytest.raises(ValueError, match="not finite; a missing view is NaN in all its pixels"):
        model.predict(partly)
    partly[0, 1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        model.adapt(partly[:1], [0], images)


def test_a_card_names_as_many_views_as_its_images_have():
    card = untrained(settings())[1]
    assert ModelCard.from_json(card.to_json()) == card
    with pytest.raises(ValueError, match=r"shape \(8, 8, 3\) does not have the 3 views .*; give \(3, H, W, C\)"):
        dataclasses.replace(card, image_shape=(8, 8, 3))


@pytest.mark.slow
@pytest.mark.parametrize("view_network", ["separate", "shared"])
def test_an_exported_model_predicts_the_same_with_missing_views(tmp_path, view_network):
    config, images = settings(view_network), clips()
    ensemble, card = untrained(config)
    export_ensemble(tmp_path / "views.lightman", ensemble, ensemble_programs(config), card)
    here, there = opened(config), load_model(tmp_path / "views.lightman")
    assert there.views == VIEWS
    assert there.about["programs"]["predict"]["inputs"][-1] == "float32[b, 3, 8, 8, 3]"
    for count in (1, 2, 5):
        np.testing.assert_allclose(there.predict(images[:count]), here.predict(images[:count]), atol=1e-6)
    np.testing.assert_allclose(there.saliency(images), here.saliency(images), atol=1e-6)
    adapted = [one.adapt(images[:3], [0, 1, 2], images) for one in (here, there)]
    np.testing.assert_allclose(*adapted, atol=1e-6)
    assert np.abs(adapted[0] - here.predict(images)).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["meta_sgd", "protonet"])
def test_networks_with_learned_rates_and_prototypes_adapt(method):
    model, images = opened(settings(method=method)), clips()
    adapted = model.adapt(images[:3], [0, 1, 2], images)
    assert np.abs(adapted - model.predict(images)).max() > 1e-4
    np.testing.assert_allclose(adapted.sum(axis=-1), 1, atol=1e-5)
