"""Colour images: each channel is what the grey image of that channel would be, at any size, in the dtype it is stored as."""

import dataclasses

import numpy as np
import pytest
import skimage.data

from lightman_jax.data.preparation.face_images import image_of_faces
from lightman_jax.data.preparation.representation import MotionConfig, motion_image, motion_of_faces
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.vision.images import grey_image, resize_image, write_image
from lightman_jax.data.vision.optical_flow import warp_image

IMAGES = ("apex", "frames", "difference", "dynamic")


def portrait(side):
    return resize_image(skimage.data.astronaut()[5:215, 120:330], side, side)


def write_clip(folder, frames, apex=2):
    folder.mkdir()
    paths = [folder / f"{number:03d}.png" for number in range(1, len(frames) + 1)]
    for path, frame in zip(paths, frames, strict=True):
        write_image(path, frame)
    return RawClip(
        "c/s/1", "c/s", "micro", "frames", tuple(paths), tuple(range(1, len(paths) + 1)), apex=apex, cropped=True
    )


@pytest.fixture(scope="module")
def smile(tmp_path_factory):
    """A clip of a coloured smile, and three of one of its channels each."""
    folder, face = tmp_path_factory.mktemp("smile"), portrait(210)
    field = action_unit_field({12: (6.0, 6.0)}, 210)
    frames = [warp_image(face, rise * field) for rise in (0, 0.5, 1, 0.4)]
    alone = [
        write_clip(folder / f"channel{place}", [np.repeat(frame[..., place, None], 3, axis=2) for frame in frames])
        for place in range(3)
    ]
    return write_clip(folder / "colour", frames), alone, frames


@pytest.mark.parametrize("magnify", [1.0, 2.0])
@pytest.mark.parametrize("name", IMAGES)
def test_a_channel_is_the_grey_image_of_that_channel(smile, name, magnify):
    clip, alone, _ = smile
    config = MotionConfig(representation=name, image_side=40, magnify=magnify, frame_count=3)
    image = motion_image(clip, dataclasses.replace(config, colour="rgb")).image
    assert image.dtype == motion_image(clip, config).image.dtype
    assert np.abs(np.diff(image.astype(float), axis=-1)).max() > 5
    for place, one in enumerate(alone):
        np.testing.assert_array_equal(image[..., place], motion_image(one, config).image[..., 0])


@pytest.mark.parametrize("name", IMAGES)
def test_faces_of_predicted_videos_are_the_same_images(smile, name):
    clip, _, frames = smile
    config = MotionConfig(representation=name, face_side=48, image_side=32, colour="rgb")
    faces = [resize_image(frame, 48, 48) for frame in frames]
    np.testing.assert_array_equal(motion_of_faces(faces, 2, config), motion_image(clip, config).image)


def test_large_images_are_cropped_at_their_own_size(smile):
    clip, _, frames = smile
    large = MotionConfig(representation="apex", colour="rgb", image_side=160)
    assert (large.face_side, MotionConfig(image_side=160).face_side) == (160, 128)
    np.testing.assert_array_equal(motion_image(clip, large).image, resize_image(frames[2], 160, 160))
    assert dataclasses.replace(large, face_side=200).face_side == 200


def test_colour_leaves_the_spotted_apex_and_its_grey_levels(smile):
    config = MotionConfig(representation="apex", apex_policy="spot")
    grey, colour = (motion_image(smile[0], dataclasses.replace(config, colour=name)) for name in ("grey", "rgb"))
    assert grey._replace(image=None) == colour._replace(image=None)
    np.testing.assert_allclose(grey_image(colour.image).astype(float), grey.image[..., 0], atol=2)


def test_grey_levels_are_stored_as_bytes_and_large_flow_as_halves(smile):
    dtypes = [MotionConfig(representation=name).dtype for name in IMAGES]
    assert dtypes == [np.uint8, np.uint8, np.float16, np.float16]
    for side, dtype in ((32, np.float32), (33, np.float16)):
        config = MotionConfig(image_side=side)
        exact = image_of_faces([grey_image(resize_image(smile[2][k], 128, 128)) for k in (0, 2)], (0, 1), 1, config)
        stored = motion_image(smile[0], config).image
        assert stored.dtype == dtype
        np.testing.assert_allclose(stored.astype(float), exact, rtol=5e-4 if dtype == np.float16 else 0, atol=1e-7)
    for name in IMAGES:
        config = MotionConfig(representation=name, frame_count=5)
        assert motion_image(smile[0], config).image.shape == config.image_shape


def test_flow_has_no_colour():
    with pytest.raises(
        ValueError, match="flow is computed from grey images and has no colour; choose --representation=apex"
    ):
        MotionConfig(colour="rgb")
    with pytest.raises(ValueError, match="colour 'red' is unknown; choose one of grey, rgb"):
        MotionConfig(colour="red")
