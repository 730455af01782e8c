"""Random changes of clips: against SciPy's and scikit-image's warps, rotated fields, and by the definition of light."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import skimage.transform

from lightman_jax.data.vision.images import resize_image
from lightman_jax.training.augmentation import AugmentConfig, augment_at_random, moved
from lightman_jax.types import Clips, Task

SIDE = 32
FACE = resize_image(skimage.data.astronaut()[5:215, 120:330], SIDE, SIDE).astype(np.float32)


def one_task(image):
    """A task batch `[1, n, ...]` whose three parts show the same clips."""
    count = image.shape[0]
    clips = Clips(jnp.asarray(image)[None], jnp.zeros((1, count), jnp.int32), jnp.ones((1, count), bool))
    return Task(clips, clips, clips)


def augmented(image, channels="rgb", seed=0, **ranges):
    """The support images `[n, ...]` of `one_task`, augmented."""
    tasks = augment_at_random(jax.random.key(seed), one_task(image), AugmentConfig(**ranges), channels=channels)
    return np.asarray(tasks.support.image[0])


def by_skimage(image, right, down, angle, zoom):
    center = (SIDE - 1) / 2
    parts = (
        skimage.transform.AffineTransform(translation=(-center, -center)),
        skimage.transform.AffineTransform(scale=zoom, rotation=angle),
        skimage.transform.AffineTransform(translation=(center + right, center + down)),
    )
    whole = parts[0] + parts[1] + parts[2]
    return skimage.transform.warp(image, whole.inverse, order=1, mode="edge", preserve_range=True)


@pytest.mark.parametrize("change", [(3, -2, 0, 1), (0, 0, 0.3, 1), (0, 0, 0, 1.2), (1.5, 2.25, -0.2, 0.85)])
def test_an_image_is_moved_as_by_scikit_image(change):
    result = moved(jnp.asarray(FACE), *map(jnp.float32, change))
    np.testing.assert_allclose(result, by_skimage(FACE, *change), atol=0.02)


def test_whole_pixels_are_shifted_exactly_with_repeated_edges():
    result = moved(jnp.asarray(FACE), 3.0, -2.0, 0.0, 1.0)
    expected = np.stack(
        [scipy.ndimage.shift(FACE[..., channel], (-2, 3), order=0, mode="nearest") for channel in range(3)], axis=-1
    )
    np.testing.assert_array_equal(result, expected)


def test_vectors_of_flow_turn_and_grow_with_the_image():
    # A field A x about the center: rotated and zoomed it is (z R) A (z R)^-1 x, and a shift moves its rest point.
    linear, angle, zoom = np.array([[0.3, -0.1], [0.2, 0.05]]), 0.4, 1.15
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    places = np.stack([columns, rows], axis=-1)
    field = np.dstack([places @ linear.T, np.ones((SIDE, SIDE))]).astype(np.float32)
    result = np.asarray(moved(jnp.asarray(field), 2.0, 1.0, angle, zoom, is_flow=True))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (places - (2, 1)) @ (turn @ linear @ np.linalg.inv(turn)).T
    inside = np.hypot(columns, rows) < SIDE / 2 - 5
    np.testing.assert_allclose(result[inside][:, :2], expected[inside], atol=1e-4)
    np.testing.assert_allclose(result[..., 2], 1, atol=1e-6)
    # The oracle agrees that a clockwise rotation takes a movement to the right downwards.
    right = np.zeros((SIDE, SIDE, 3), np.float32)
    right[..., 0] = 1
    np.testing.assert_allclose(moved(right, 0.0, 0.0, np.pi / 2, 1.0, is_flow=True)[5, 5], [0, 1, 0], atol=1e-6)


def test_no_range_is_no_change_and_none_alone_changes_only_what_it_names():
    tasks = one_task(FACE[None])
    assert augment_at_random(jax.random.key(0), tasks, AugmentConfig()) is tasks
    only_light = augmented(FACE[None], brightness=0.2)[0] - FACE
    np.testing.assert_allclose(only_light, only_light[0, 0, 0], atol=1e-4)
    assert 0 < abs(only_light[0, 0, 0]) <= 0.2 * 255


def test_contrast_is_about_the_mean_of_a_clip_and_channel():
    image = np.stack([FACE, FACE[::-1] + 20])[None]
    result = augmented(image, contrast=0.4)[0]
    mean = image[0].mean(axis=(0, 1, 2))
    factors = (result - mean) / np.where(np.abs(image[0] - mean) > 5, image[0] - mean, np.nan)
    factor = np.nanmedian(factors)
    assert 0.6 <= factor <= 1.4
    np.testing.assert_allclose(result, factor * (image[0] - mean) + mean, atol=1e-2)


@pytest.mark.parametrize("layers", [3, 1])
def test_frames_move_and_brighten_alike_and_clips_do_not(layers):
    sequence = np.tile(FACE, (4, layers, 1, 1, 1))
    result = augmented(sequence, shift=0.2, rotation=20, zoom=0.2, brightness=0.1, contrast=0.2)
    np.testing.assert_array_equal(result, np.repeat(result[:, :1], layers, axis=1))
    assert len(np.unique(result[:, 0, 5, 5, 0])) == 4


def test_views_move_alike_and_missing_ones_stay_missing():
    flow = np.random.default_rng(0).normal(size=(2, 2, 8, 8, 3)).astype(np.float32)
    flow[0, 0] = np.nan
    result = augmented(flow, channels="flow", rotation=30, shift=0.1, zoom=0.1)
    assert np.isnan(result[0, 0]).all()
    assert np.isfinite(result[[0, 1, 1], [1, 0, 1]]).all()


def test_the_parts_of_a_task_are_drawn_apart_within_their_ranges():
    # A ramp shows by how much it was shifted.
    ramp = np.tile(np.arange(20, dtype=np.float32)[:, None], (40, 20, 1, 1))
    config = AugmentConfig(shift=0.1)
    tasks = augment_at_random(jax.random.key(3), one_task(ramp), config)
    shifts = [10 - np.asarray(part.image)[0, :, 10, 10, 0] for part in (tasks.support, tasks.macro, tasks.query)]
    assert len({round(float(values[0]), 4) for values in shifts}) == 3
    drawn = np.concatenate(shifts)
    assert 1.9 < np.abs(drawn).max() <= 2
    assert abs(drawn.mean()) < 0.3
    assert len(np.unique(drawn.round(5))) == 120


def test_a_compiled_batch_of_task_batches_is_each_of_them():
    tasks = [one_task(FACE[None] + k) for k in range(2)]
    keys = jax.random.split(jax.random.key(1), 2)
    config = AugmentConfig(shift=0.1, rotation=10, zoom=0.1, brightness=0.1, contrast=0.1)
    each = [augment_at_random(key, one, config, channels="rgb") for key, one in zip(keys, tasks, strict=True)]
    both = jax.jit(jax.vmap(lambda key, one: augment_at_random(key, one, config, channels="rgb")))(
        keys, jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)
    )
    for row, one in enumerate(each):
        np.testing.assert_allclose(both.query.image[row], one.query.image, atol=1e-2)


def test_what_cannot_be_changed_is_refused():
    flow = np.zeros((1, 8, 8, 3), np.float32)
    with pytest.raises(
        ValueError, match=r"brightness 0.1 and contrast 0 change images, and these are flow; leave them"
    ):
        augmented(flow, channels="auto", brightness=0.1)
    for name, value in (("shift", 0.6), ("rotation", -1), ("zoom", 1), ("brightness", float("nan")), ("contrast", 2)):
        with pytest.raises(ValueError, match=f"{name} {value} is out of range; choose 0"):
            AugmentConfig(**{name: value})
    assert not AugmentConfig().changes
    assert dataclasses.replace(AugmentConfig(), zoom=0.1).changes
