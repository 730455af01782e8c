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
from lightman_jax.training.config import TrainConfig
from tests.inputs import untrained

VIEWS = ("farneback_rise", "dis_rise", "farneback_fall")
SIDE = 8


def settings(view_network="separate", method="lightman", **changes):
    network = NetworkConfig(width=8, embedding=4, views=3, view_network=view_network)
    return TrainConfig(method_config(method, MethodConfig()), network, steps=1, **changes)


def with_views(config, count):
    return dataclasses.replace(config, network=dataclasses.replace(config.network, views=count))


def clips():
    """Images of which every other clip lacks the last view."""
    images = np.random.default_rng(0).normal(size=(6, 3, SIDE, SIDE, 3)).astype(np.float32)
    images[1::2, 2] = np.nan
    return images


def opened(config):
    ensemble, card = untrained(config, VIEWS, SIDE)
    return Model(card.to_json(), jax.tree.leaves(ensemble), flat_programs(ensemble_programs(config), ensemble))


@pytest.fixture(scope="module")
def model():
    return opened(settings())


@pytest.mark.slow
def test_without_a_view_a_model_predicts_as_one_of_the_other_views():
    config = settings(scaling="fold_rms")
    ensemble, _ = untrained(config, VIEWS, SIDE)
    images = jnp.asarray(clips()).at[:, 2].set(jnp.nan)
    predict = jax.jit(ensemble_programs(config).predict)
    two = jax.tree.map(lambda leaf: leaf[:, :2], ensemble.params)
    expected = jax.jit(ensemble_programs(with_views(config, 2)).predict)(
        Ensemble(two, ensemble.mean_square[:, :, :2]), images[:, :2]
    )
    np.testing.assert_allclose(predict(ensemble, images), expected, atol=1e-6)
    one = jax.tree.map(lambda leaf: leaf[:, 1], ensemble.params)
    expected = jax.jit(ensemble_programs(with_views(config, 1)).predict)(
        Ensemble(one, ensemble.mean_square[:, :, 1]), images[:, 1]
    )
    np.testing.assert_allclose(predict(ensemble, images.at[:, 0].set(jnp.nan)), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("view_network", ["separate", "shared", "joined"])
def test_each_clip_is_predicted_on_its_own_from_the_views_it_has(model, view_network):
    images = clips()
    model = model if view_network == "separate" else opened(settings(view_network))
    order = np.random.default_rng(1).permutation(len(images))
    together, maps = model.predict(images), model.saliency(images)
    np.testing.assert_allclose(model.predict(images[order]), together[:, order], atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=-1), 1, atol=1e-5)
    assert maps.shape == images.shape[:-1]
    assert not maps[1::2, 2].any()
    assert (maps[:, :2].max(axis=(2, 3)) > 0).all()
    assert (maps[::2, 2].max(axis=(1, 2)) > 0).all()
    # The scale of a view is its own.
    scaled = images * np.array([1, 10, 0.1], np.float32)[:, None, None, None]
    np.testing.assert_allclose(model.predict(scaled), together, atol=1e-5)


def test_images_of_other_views_are_refused_and_the_views_are_named(model):
    images, names = clips(), ", ".join(VIEWS)
    for wrong in (images[:, :2], images[:, 0], images[:0]):
        with pytest.raises(
            ValueError, match=rf"this model takes \[b, 3, 8, 8, 3\], b from 1, with the 3 views {names}"
        ):
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
    card = untrained(settings(), VIEWS, SIDE)[1]
    assert ModelCard.from_json(card.to_json()) == card
    with pytest.raises(ValueError, match=r"shape \(8, 8, 3\) does not have the 3 views .*; give \(3, H, W, C\)"):
        dataclasses.replace(card, image_shape=(8, 8, 3))


@pytest.mark.slow
def test_an_exported_model_predicts_the_same_with_missing_views(tmp_path, model):
    config, images = settings(), clips()
    ensemble, card = untrained(config, VIEWS, SIDE)
    export_ensemble(tmp_path / "views.lightman", ensemble, ensemble_programs(config), card)
    exported = load_model(tmp_path / "views.lightman")
    assert exported.views == VIEWS
    assert exported.about["programs"]["predict"]["inputs"][-1] == "float32[b, 3, 8, 8, 3]"
    for count in (1, 6):
        np.testing.assert_allclose(exported.predict(images[:count]), model.predict(images[:count]), atol=1e-6)
    np.testing.assert_allclose(exported.saliency(images), model.saliency(images), atol=1e-6)
    adapted = [one.adapt(images[:3], [0, 1, 2], images) for one in (exported, model)]
    np.testing.assert_allclose(*adapted, atol=1e-6)
    assert np.abs(adapted[1] - model.predict(images)).max() > 1e-4


@pytest.mark.slow
def test_networks_with_learned_rates_adapt():
    model, images = opened(settings(method="meta_sgd")), clips()
    adapted = model.adapt(images[:3], [0, 1, 2], images)
    assert np.abs(adapted - model.predict(images)).max() > 1e-4
    np.testing.assert_allclose(adapted.sum(axis=-1), 1, atol=1e-5)
