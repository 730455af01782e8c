"""Movement spotting: videos of a photograph warped by known fields, and videos without a usable movement."""

import re

import numpy as np
import pytest

from experiments.demo import VIDEOS, DemoVideo, Movement, video_frames
from lightman_jax.data.vision.faces import FaceBox, crop_face, find_faces
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.spotting import SpotConfig, cut_movement, search_movements

SPOT = SpotConfig()
STILL = DemoVideo("still.avi", 100, 60, ())


@pytest.fixture(scope="module")
def smile():
    return list(video_frames(VIDEOS[1]))


def spans(search):
    return [(movement.onset, movement.apex, movement.offset) for movement in search.movements]


@pytest.mark.slow
@pytest.mark.parametrize("video", VIDEOS[:3], ids=lambda video: video.name)
def test_the_movement_of_a_short_video_is_found(video):
    search = search_movements(video_frames(video), video.fps, SPOT)
    (found,) = search.movements
    truth = video.movements[0]
    assert abs(found.apex - truth.apex) <= 3
    assert truth.onset - 3 <= found.onset < found.apex < found.offset <= truth.offset + 3
    assert len(found.faces) == found.offset - found.onset + 1
    assert 0.5 < found.pixels < 1.6
    assert search.whole
    assert search.gaps == ()


@pytest.mark.slow
def test_all_movements_of_a_long_video_are_found_including_those_before_it_exceeds_the_length_of_a_clip():
    truths = (
        Movement("surprise", 31, 40, 50),
        Movement("positive", 151, 160, 171),
        Movement("negative", 201, 211, 221),
    )
    reported = []
    video = DemoVideo("long.avi", 50, 250, truths)
    search = search_movements(video_frames(video), 50, SPOT, on_movement=reported.append)
    assert not search.whole
    # Each movement is reported with its faces, which are then released.
    assert [(found.onset, found.apex, found.offset) for found in reported] == spans(search)
    assert all(len(found.faces) == found.offset - found.onset + 1 for found in reported)
    assert all(found.faces == () for found in search.movements)
    assert len(search.movements) == len(truths)
    for found, truth in zip(search.movements, truths, strict=True):
        assert abs(found.apex - truth.apex) <= 3
    # Without movement the displacement curve stays below the threshold.
    still = [
        point.pixels for point in search.curve if 2.08 <= point.seconds + point.window / 2 <= 2.88 and point.window < 1
    ]
    assert still
    assert max(still) < SPOT.min_pixels


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_still_face_with_noise_and_head_sway_has_no_movement(seed):
    assert search_movements(video_frames(STILL, seed), 100, SPOT).movements == ()


def test_a_movement_that_has_only_begun_is_not_reported(smile):
    search = search_movements(iter(smile[:50]), 100, SPOT)
    assert search.movements == ()
    assert max(point.pixels for point in search.curve) > SPOT.min_pixels


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_video_is_set_upright(smile, turns):
    (found,) = search_movements((np.rot90(frame, turns) for frame in smile), 100, SPOT).movements
    assert found.rotation == 4 - turns
    assert abs(found.apex - VIDEOS[1].movements[0].apex) <= 3


def degraded(kind, frame):
    if kind == "dark":
        return (frame * 0.05).astype(np.uint8)
    if kind == "grey":
        return (frame * 0.02 + 120).astype(np.uint8)
    if kind == "two":
        return np.hstack([frame, frame])
    if kind == "small":
        return resize_image(frame, 96, 128)
    return np.full_like(frame, 99)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dark", "too dark"),
        ("grey", "no contrast|no face"),
        ("two", r"2 faces; choose one of them: --face=\d+,\d+,\d+ or --face="),
        ("small", "pixels wide; record it at 48 or more|no face was found"),
        ("wall", "no face was found"),
    ],
)
def test_unusable_videos_are_reported_with_the_reason(smile, kind, reason):
    search = search_movements((degraded(kind, frame) for frame in smile[:40]), 100, SPOT)
    assert search.movements == ()
    assert search.curve == ()
    (found,) = {gap.reason for gap in search.gaps}
    assert re.search(reason, found)
    assert (search.gaps[0].first, search.gaps[-1].last) == (1, 40)


@pytest.mark.slow
def test_a_face_that_leaves_and_returns_makes_two_segments(smile):
    wall = [np.full_like(smile[0], 99)] * 100
    search = search_movements([*smile, *wall, *smile], 100, SPOT)
    found = [number for span in spans(search) for number in span]
    truth = VIDEOS[1].movements[0].apex
    assert np.abs(np.array(found)[1::3] - [truth, truth + 200]).max() <= 3
    (gap,) = search.gaps
    assert 101 <= gap.first <= 201 - 1
    assert "no face" in gap.reason


def test_a_video_without_frames_gives_an_empty_search():
    search = search_movements(iter(()), 100, SPOT)
    assert search == ((), (), (), 0, True)


def test_too_few_frames_per_second_and_an_unknown_number_are_refused(smile):
    with pytest.raises(ValueError, match=r"10 frames per second are too few.*--fps=FPS"):
        search_movements(smile, 10, SPOT)
    with pytest.raises(ValueError, match=r"more than 300 frames.*--fps=FPS"):
        search_movements((smile[0] for _ in range(301)), 0, SPOT, box=FaceBox(104, 218, 194, "given"))


def test_given_frame_numbers_are_cut_out(smile):
    found = cut_movement(iter(smile), 31, 55, 79, SPOT)
    assert (found.onset, found.apex, found.offset, len(found.faces)) == (31, 55, 79, 49)
    whole = cut_movement(iter(smile), 31, 55, 55, SPOT, box="whole")
    assert whole.box is None
    np.testing.assert_array_equal(whole.faces[0], crop_face(smile[30], None, SPOT.face.side))
    for span, message in {
        (0, 5, 9): "count from 1",
        (9, 5, 9): "onset < apex",
        (1, 50, 101): "the video has 100 frames",
        (1, 2, 9999): "give at most 3000",
    }.items():
        with pytest.raises(ValueError, match=message):
            cut_movement(iter(smile), *span, SPOT)
    with pytest.raises(ValueError, match="frame 1: no face"):
        cut_movement(iter([np.full_like(smile[0], 99)] * 5), 1, 2, 3, SPOT)


def test_a_given_box_is_clipped_to_the_image(smile):
    found = cut_movement(iter(smile), 31, 55, 55, SPOT, box=FaceBox(400, 900, 300, "given"))
    assert found.box == FaceBox(180, 340, 300, "given")


def test_a_detected_face_is_cropped_like_the_stand_in(smile):
    """Eyes at a third of the side and mouth at 0.7, at their known positions in the portrait."""
    (box,) = find_faces(smile[0])
    zoom = 480 / 300
    eyes, mouth = zoom * 101, zoom * 145
    assert (eyes - box.top) / box.side == pytest.approx(0.33, abs=0.05)
    assert (mouth - box.top) / box.side == pytest.approx(0.69, abs=0.05)
