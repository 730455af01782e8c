"""Scaling, mirroring and magnification of flow images."""

import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.preprocessing import magnify_flow, mirror_average, mirror_flow, scale_flow, training_mean_square


def test_clip_rms_centres_flow_and_is_independent_of_unit_and_offset():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.gamma(2.0, size=(4, 6, 5, 3)), jnp.float32)
    scaled = scale_flow(images)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.square(scaled), axis=(1, 2))), 1, atol=1e-5)
    np.testing.assert_allclose(jnp.median(scaled[..., :2], axis=(1, 2)), 0, atol=1e-6)
    offset = jnp.asarray([100.0, -7.0, 0.0])[None, None, None, :]
    np.testing.assert_allclose(scale_flow(images * 30 + offset), scaled, atol=1e-4)


def test_fold_rms_keeps_amplitude_and_uses_training_clips_only():
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
    mean_square = training_mean_square(images, train)
    np.testing.assert_array_equal(scale_flow(images, scaling="fold_rms", mean_square=mean_square), scaled)


@pytest.mark.parametrize("scaling", ["clip_rms", "fold_rms", "clip_minmax"])
def test_constant_channels_become_zero(scaling):
    images = jnp.stack([jnp.full((4, 4, 3), 128.0), jnp.zeros((4, 4, 3))])
    scaled = scale_flow(images, scaling=scaling, train=jnp.array([True, True]))
    assert np.isfinite(scaled).all()
    assert not np.any(scaled[..., :2])


def test_mirror_flow_is_its_own_inverse_and_negates_only_u():
    images = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 4, 3)), jnp.float32)
    mirrored = mirror_flow(images)
    np.testing.assert_array_equal(mirror_flow(mirrored), images)
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 0], -images[..., 0])
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 1:], images[..., 1:])
    np.testing.assert_allclose(scale_flow(mirrored), mirror_flow(scale_flow(images)), atol=1e-6)


def test_magnified_flow_saturates_monotonically():
    x = jnp.linspace(-3, 3, 7)
    y = magnify_flow(x, 3.0)
    assert np.all(np.diff(y) > 0)
    assert float(jnp.abs(y).max()) <= 1
    np.testing.assert_allclose(y, np.tanh(3 * np.asarray(x)), atol=1e-6)


def test_errors_name_the_allowed_values():
    with pytest.raises(ValueError, match="clip_rms, fold_rms"):
        scale_flow(jnp.zeros((1, 2, 2, 3)), scaling="minmax")
    with pytest.raises(ValueError, match=r"needs train= .* or mean_square="):
        scale_flow(jnp.zeros((1, 2, 2, 3)), scaling="fold_rms")


def test_clip_minmax_is_the_centred_scaling_of_the_flow_release_and_commutes_with_mirroring():
    images = jnp.asarray(np.random.default_rng(3).normal(size=(2, 5, 6, 3)), jnp.float32)
    scaled = scale_flow(images, scaling="clip_minmax")
    released = (images - images.min((1, 2), keepdims=True)) / (images.max((1, 2)) - images.min((1, 2)))[:, None, None]
    np.testing.assert_allclose((scaled + 1) / 2, released, atol=1e-6)
    np.testing.assert_allclose(scale_flow(mirror_flow(images), scaling="clip_minmax"), mirror_flow(scaled), atol=1e-5)


def test_grey_sequences_are_mirrored_without_negation_and_scaled_as_a_whole():
    images = jnp.asarray(np.random.default_rng(4).gamma(2.0, size=(2, 4, 5, 6, 1)), jnp.float32)
    np.testing.assert_array_equal(mirror_flow(images), images[..., ::-1, :])
    scaled = scale_flow(images)
    np.testing.assert_allclose(jnp.sqrt(jnp.mean(jnp.square(scaled), axis=(1, 2, 3, 4))), 1, atol=1e-5)


def test_mirror_average_calls_the_function_once_on_images_and_mirror_images():
    images = jnp.asarray(np.random.default_rng(5).normal(size=(3, 4, 5, 3)), jnp.float32)
    calls = []

    def function(x):
        calls.append(x.shape)
        return jnp.sin(x[:, 0, 0])

    result = mirror_average(function, images)
    assert calls == [(6, 4, 5, 3)]
    expected = 0.5 * (jnp.sin(images[:, 0, 0]) + jnp.sin(mirror_flow(images)[:, 0, 0]))
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_allclose(mirror_average(function, mirror_flow(images)), result, atol=1e-7)
