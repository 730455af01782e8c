"""Scaling, mirroring and magnifying of flow images."""

import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.preprocessing import magnify_flow, mirror_flow, scale_flow


def test_clip_rms_centres_motion_and_ignores_unit_and_offset():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.gamma(2.0, size=(4, 6, 5, 3)), jnp.float32)
    scaled = scale_flow(images)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.square(scaled), axis=(1, 2))), 1, atol=1e-5)
    np.testing.assert_allclose(jnp.median(scaled[..., :2], axis=(1, 2)), 0, atol=1e-6)
    offset = jnp.asarray([100.0, -7.0, 0.0])[None, None, None, :]
    np.testing.assert_allclose(scale_flow(images * 30 + offset), scaled, atol=1e-4)


def test_fold_rms_keeps_amplitude_and_takes_its_figure_from_training_clips():
    rng = np.random.default_rng(1)
    images = (
        jnp.asarray(rng.normal(size=(4, 6, 6, 3)), jnp.float32)
        * jnp.asarray([1.0, 2.0, 3.0, 500.0])[:, None, None, None]
    )
    train = jnp.array([True, True, True, False])
    scaled = scale_flow(images, scaling="fold_rms", train=train)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.square(scaled[:3]), axis=(0, 1, 2))), 1, atol=1e-5)
    assert float(jnp.abs(scaled[2]).mean()) > 1.5 * float(jnp.abs(scaled[0]).mean())
    alone = scale_flow(images[:3], scaling="fold_rms", train=train[:3])
    np.testing.assert_allclose(scaled[:3], alone, atol=1e-6)


@pytest.mark.parametrize("scaling", ["clip_rms", "fold_rms", "clip_minmax"])
def test_constant_maps_become_zero_not_nan(scaling):
    images = jnp.stack([jnp.full((4, 4, 3), 128.0), jnp.zeros((4, 4, 3))])
    scaled = scale_flow(images, scaling=scaling, train=jnp.array([True, True]))
    assert np.isfinite(scaled).all()
    assert not np.any(scaled[..., :2])


def test_mirror_is_its_own_inverse_and_negates_u_alone():
    images = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 4, 3)), jnp.float32)
    mirrored = mirror_flow(images)
    np.testing.assert_array_equal(mirror_flow(mirrored), images)
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 0], -images[..., 0])
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 1:], images[..., 1:])
    np.testing.assert_allclose(scale_flow(mirrored), mirror_flow(scale_flow(images)), atol=1e-6)


def test_magnified_clips_saturate_in_order():
    x = jnp.linspace(-3, 3, 7)
    y = magnify_flow(x, 3.0)
    assert np.all(np.diff(y) > 0)
    assert float(jnp.abs(y).max()) <= 1
    np.testing.assert_allclose(y, np.tanh(3 * np.asarray(x)), atol=1e-6)


def test_errors_name_the_choices():
    with pytest.raises(ValueError, match="clip_rms, fold_rms"):
        scale_flow(jnp.zeros((1, 2, 2, 3)), scaling="minmax")
    with pytest.raises(ValueError, match="needs train"):
        scale_flow(jnp.zeros((1, 2, 2, 3)), scaling="fold_rms")


def test_clip_minmax_is_the_release_scaling_about_zero_and_mirrors_with_it():
    images = jnp.asarray(np.random.default_rng(3).normal(size=(2, 5, 6, 3)), jnp.float32)
    scaled = scale_flow(images, scaling="clip_minmax")
    released = (images - images.min((1, 2), keepdims=True)) / (images.max((1, 2)) - images.min((1, 2)))[:, None, None]
    np.testing.assert_allclose((scaled + 1) / 2, released, atol=1e-6)
    np.testing.assert_allclose(scale_flow(mirror_flow(images), scaling="clip_minmax"), mirror_flow(scaled), atol=1e-5)


def test_grey_pictures_are_mirrored_without_a_change_of_sign_and_sequences_scaled_as_one():
    images = jnp.asarray(np.random.default_rng(4).gamma(2.0, size=(2, 4, 5, 6, 1)), jnp.float32)
    np.testing.assert_array_equal(mirror_flow(images), images[..., ::-1, :])
    scaled = scale_flow(images)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.square(scaled), axis=(1, 2, 3, 4))), 1, atol=1e-5)
