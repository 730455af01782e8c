"""Scaling, mirroring and magnification of flow, grey and colour images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lightman_jax.preprocessing import (
    SCALINGS,
    channels_of,
    magnify_flow,
    mirror_average,
    mirror_flow,
    scale_flow,
    scale_parameters,
    training_mean_square,
)

SHAPES = {"flow": (4, 6, 5, 3), "views": (4, 2, 6, 5, 3), "grey": (4, 3, 6, 5, 1), "rgb": (4, 3, 6, 5, 3)}


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


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("kind", SHAPES)
def test_every_scaling_is_an_offset_and_a_divisor_of_each_clip_and_channel(kind, scaling):
    channels, views = "flow" if kind == "views" else kind, kind == "views"
    if scaling == "imagenet" and channels != "rgb":
        return
    images = 40 * np.random.default_rng(6).gamma(2.0, size=SHAPES[kind]).astype(np.float32) + 3
    images[1, ..., 0] = 7
    if views:
        images[0, 1] = images[2, 0] = np.nan
    options = {"scaling": scaling, "train": jnp.array([True, True, True, False]), "views": views, "channels": channels}
    scaled = scale_flow(images, **options)
    offset, divisor = scale_parameters(images, **options)
    assert offset.shape == divisor.shape == (4, *((2,) if views else (1,) * (images.ndim - 4)), 1, 1, images.shape[-1])
    np.testing.assert_array_equal(scaled, (images - offset) / divisor)
    # Drawn rows scale as all rows do, whatever they were stored as.
    rows = np.array([2, 0, 2])
    np.testing.assert_array_equal(scaled[rows], (images[rows] - offset[rows]) / divisor[rows])
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(images))
    if scaling != "imagenet":
        assert not np.any(scaled[1, ..., 0])


def test_imagenet_scaling_is_that_of_pretrained_weights():
    images = jnp.asarray(np.random.default_rng(7).integers(0, 256, (2, 4, 4, 3)), jnp.float32)
    expected = (np.asarray(images) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(scale_flow(images, scaling="imagenet", channels="rgb"), expected, atol=1e-5)
    with pytest.raises(ValueError, match="scaling imagenet is for colour images, these are flow; choose --colour=rgb"):
        scale_flow(images, scaling="imagenet")


def test_channels_of_colour_are_centred_and_mirrored_alike():
    images = jnp.asarray(np.random.default_rng(8).gamma(2.0, size=(2, 5, 6, 3)), jnp.float32)
    scaled = scale_flow(images, channels="rgb")
    each = [scale_flow(images[..., place : place + 1])[..., 0] for place in range(3)]
    np.testing.assert_allclose(scaled, np.stack(each, axis=-1), atol=1e-6)
    np.testing.assert_array_equal(mirror_flow(images, channels="rgb"), images[:, :, ::-1])
    whole = jnp.asarray(images, jnp.uint8)
    np.testing.assert_array_equal(mirror_flow(whole, channels="rgb"), whole[:, :, ::-1])
    average = mirror_average(lambda x: x[:, 0, 0], images, channels="rgb")
    np.testing.assert_allclose(average, (images[:, 0, 0] + images[:, 0, -1]) / 2, atol=1e-6)


def test_channels_follow_from_their_number_unless_they_are_named():
    assert [channels_of(np.zeros((1, 4, 4, count))) for count in (1, 3)] == ["grey", "flow"]
    with pytest.raises(ValueError, match=r"rgb images have 3 channels, these have 1 \(shape \(1, 4, 4, 1\)\)"):
        channels_of(np.zeros((1, 4, 4, 1)), "rgb")
    with pytest.raises(
        ValueError, match="three channels of bytes are flow or colours; name them by channels='flow' or"
    ):
        channels_of(np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(
        ValueError, match="flow of the dtype uint8 has no sign; mirror what scale_flow returns, or colours"
    ):
        mirror_flow(np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="channels 'bgr' are unknown; choose one of auto, flow, grey, rgb"):
        jax.eval_shape(lambda x: scale_flow(x, channels="bgr"), jnp.zeros((1, 4, 4, 3)))
