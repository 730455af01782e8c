"""Faces and motion: analytic fields, signs, colour order, a real face."""

import numpy as np
import pytest
import skimage.data

from lightman_jax.data.clips import RawClip
from lightman_jax.data.faces import crop_face, face_box
from lightman_jax.data.images import read_image, write_image
from lightman_jax.data.motion import MotionConfig, motion_image
from lightman_jax.data.optics import optical_flow, optical_strain, warp_image


def texture(side=96, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, size=(side // 4, side // 4, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def test_strain_is_the_tensor_norm_of_linear_fields():
    y, x = np.mgrid[:12, :10].astype(float)
    for a, b, c, d in ((0.1, 0.0, 0.0, 0.2), (0.0, 0.3, 0.1, 0.0), (0.05, -0.2, 0.4, 0.1)):
        flow = np.dstack([a * x + b * y, c * x + d * y])
        expected = np.sqrt(a**2 + d**2 + 2 * (0.5 * (b + c)) ** 2)
        np.testing.assert_allclose(optical_strain(flow), expected, atol=1e-12)
    rotation = np.dstack([-0.1 * y, 0.1 * x])
    np.testing.assert_allclose(optical_strain(rotation), 0, atol=1e-12)


@pytest.mark.parametrize("shift", [(2.0, 0.0), (0.0, -1.5), (-1.0, 2.0)])
def test_flow_finds_a_known_shift_with_its_sign(shift):
    image = texture()
    moved = warp_image(image, np.ones((96, 96, 2)) * shift)
    flow = optical_flow(image[..., 1].copy(), moved[..., 1].copy())
    np.testing.assert_allclose(np.median(flow[20:-20, 20:-20], axis=(0, 1)), shift, atol=0.15)


def test_motion_image_of_frames_keeps_pixels_of_motion_and_takes_the_middle_frame(tmp_path):
    image = texture()
    paths = []
    for row, amount in enumerate((0.0, 1.0, 3.0, 1.0, 0.0)):
        paths.append(tmp_path / f"image{row}.bmp")
        write_image(paths[-1], warp_image(image, np.ones((96, 96, 2)) * (amount, 0.0)))
    clip = RawClip("c", "s", "micro", "frames", tuple(paths), tuple(range(5)), cropped=True)
    result = motion_image(clip, MotionConfig(face_side=96))
    assert result.apex == 2
    assert result.face == "given"
    assert result.image.shape == (28, 28, 3)
    assert np.median(result.image[..., 0]) == pytest.approx(3.0, abs=0.2)
    assert abs(np.median(result.image[..., 1])) < 0.2


def test_pictures_are_red_green_blue_and_broken_ones_are_named(tmp_path):
    image = np.zeros((28, 28, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, 20, 30
    write_image(tmp_path / "a .png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a .png"), image)
    clip = RawClip("c", "s", "micro", "flow", (tmp_path / "a .png",))
    np.testing.assert_array_equal(motion_image(clip, MotionConfig()).image[0, 0], [10, 20, 30])
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png is no picture"):
        read_image(tmp_path / "b.png")
    write_image(tmp_path / "c.png", np.zeros((30, 28, 3), np.uint8))
    with pytest.raises(ValueError, match="30x28 pixels; the release has 28x28"):
        motion_image(RawClip("c", "s", "micro", "flow", (tmp_path / "c.png",)), MotionConfig())


def test_a_real_face_is_found_and_a_wall_falls_back_to_the_centre():
    photograph = skimage.data.astronaut()
    box = face_box(photograph, cropped=False)
    assert box.finder == "cascade"
    # The face lies around row 115, column 222 of this public-domain picture.
    assert box.top < 115 < box.top + box.side
    assert box.left < 222 < box.left + box.side
    assert crop_face(photograph, box, 64).shape == (64, 64, 3)
    wall = face_box(np.full((60, 80, 3), 99, np.uint8), cropped=False)
    assert wall == (12, 22, 36, "centre")
    assert face_box(photograph, cropped=True) is None
