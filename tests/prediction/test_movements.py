"""Movements of inputs: known frames are cut out, and inputs without a movement have none."""

import cv2
import numpy as np
import pytest
import skimage.data

from experiments.prediction.movements import Settings, find_movements, no_movement_reason
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.vision.faces import WHOLE
from lightman_jax.data.vision.images import resize_image, write_image
from lightman_jax.data.vision.optical_flow import warp_image
from lightman_jax.data.vision.spotting import SpotConfig
from lightman_jax.data.vision.video import find_videos

FACE = resize_image(skimage.data.astronaut()[5:215, 120:330], 128, 128)
SETTINGS = Settings(SpotConfig(), box=WHOLE)


def write(folder, count, pixels=0.0, noise=0.0, quality=None, seed=0):
    """Images of a face that moves and returns, with sensor noise and JPEG artefacts."""
    folder.mkdir()
    rng, field = np.random.default_rng(seed), action_unit_field({12: (1.0, 1.0)}, 128)
    field = field * (pixels / np.hypot(*np.moveaxis(field, -1, 0)).max())
    for number, rise in enumerate(np.sin(np.pi * np.linspace(0, 1, count)) ** 2, start=1):
        frame = (warp_image(FACE, rise * field) if pixels else FACE) + rng.normal(0, noise, FACE.shape)
        image = np.clip(np.round(frame), 0, 255).astype(np.uint8)
        if quality:
            image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        write_image(folder / f"{number}.png", image)
    return find_videos([str(folder)])[0]


@pytest.mark.parametrize("count", [2, 5, 12])
def test_equal_images_show_no_movement(tmp_path, count):
    video = write(tmp_path / "still", count)
    if count == 2:
        with pytest.raises(ValueError, match="no movement: frames 1 and 2 are equal"):
            find_movements(video, SETTINGS)
    else:
        search = find_movements(video, SETTINGS)
        assert search.movements == ()
        assert "no movement" in no_movement_reason(search, SETTINGS.spot)
    with pytest.raises(ValueError, match="no movement: frames 1 and 2 are equal"):
        find_movements(video, SETTINGS._replace(span=(1, 2, 2)))


@pytest.mark.parametrize(("count", "noise", "quality"), [(5, 8.0, None), (9, 4.0, 50), (14, 2.0, 50), (20, 4.0, 75)])
def test_noise_of_a_still_face_is_no_movement(tmp_path, count, noise, quality):
    for seed in range(2):
        video = write(tmp_path / f"still{seed}", count, noise=noise, quality=quality, seed=seed)
        assert find_movements(video, SETTINGS).movements == ()


@pytest.mark.parametrize("count", [5, 9, 14])
def test_a_movement_in_few_frames_is_found(tmp_path, count):
    (movement,) = find_movements(write(tmp_path / "moving", count, pixels=1.0, noise=2.0), SETTINGS).movements
    assert abs(movement.apex - (count + 1) // 2) <= 1
