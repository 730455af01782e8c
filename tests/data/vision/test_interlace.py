"""Interlaced video: woven fields are found, other fine patterns are not, and one field remains."""

import numpy as np
import pytest
from skimage.data import astronaut

from lightman_jax.data.vision.interlace import first_field, is_interlaced

PORTRAIT = astronaut()[40:200, 120:360]


def moved(step):
    """The portrait after a number of half frames."""
    return np.roll(PORTRAIT, 2 * step, axis=1)


def woven(number):
    frame = moved(2 * number)
    frame[1::2] = moved(2 * number + 1)[1::2]
    return frame


def test_woven_fields_are_found_and_whole_frames_are_not():
    assert is_interlaced(woven(number) for number in range(8))
    assert not is_interlaced(moved(2 * number) for number in range(8))
    assert not is_interlaced(woven(0) for _ in range(8))
    assert not is_interlaced([])


def test_combs_in_two_of_five_frames_are_found():
    assert is_interlaced(woven(number) if number % 5 in (2, 3) else moved(2 * number) for number in range(12))


@pytest.mark.parametrize("sigma", [2, 8, 20])
def test_combs_are_found_in_noise_and_noise_is_none(sigma):
    rng = np.random.default_rng(0)

    def noisy(frame):
        return np.clip(frame + rng.normal(0, sigma, frame.shape), 0, 255).astype(np.uint8)

    assert not is_interlaced(noisy(np.full_like(PORTRAIT, 128)) for _ in range(12))
    assert not is_interlaced(noisy(moved(2 * number)) for number in range(12))
    if sigma <= 8:
        assert is_interlaced(noisy(woven(number)) for number in range(12))


def test_lines_that_always_differ_are_no_combs():
    lines = 20 * (np.arange(len(PORTRAIT)) % 2)[:, None, None]

    def frame(number):
        result = PORTRAIT // 2 + 40
        result[:, :120] = moved(2 * number)[:, :120] // 2 + 40
        return (result + lines).astype(np.uint8)

    assert not is_interlaced(map(frame, range(8)))


@pytest.mark.parametrize("height", [1, 2, 7, 8])
def test_even_lines_stay_and_odd_ones_lie_between(height):
    frame = np.random.default_rng(0).integers(0, 256, (height, 5, 3)).astype(np.uint8)
    result = first_field(frame)
    assert result.shape == frame.shape
    np.testing.assert_array_equal(result[::2], frame[::2])
    for line in range(1, height, 2):
        below = frame[line + 1] if line + 1 < height else frame[line - 1]
        np.testing.assert_allclose(result[line], (frame[line - 1].astype(float) + below) / 2, atol=0.5)


def test_one_field_of_woven_frames_is_near_the_whole_frame():
    whole, frame = moved(4).astype(float), woven(2)
    assert np.abs(first_field(frame) - whole).mean() < 0.6 * np.abs(frame - whole).mean()
