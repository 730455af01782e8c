"""Movements found in recordings: films of a photograph moved by known fields, and films in which nothing can be said."""

import re

import numpy as np
import pytest

from experiments.demo import VIDEOS, DemoVideo, Moved, video_frames
from lightman_jax.data.vision.faces import FaceBox, crop_face, find_faces
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.spotting import SpotConfig, cut_movement, search_movements

SPOT = SpotConfig()
STILL = DemoVideo("still.avi", 100, 60, ())


@pytest.fixture(scope="module")
def smile():
    return list(video_frames(VIDEOS[1]))


def spans(search):
    return [(one.onset, one.apex, one.offset) for one in search.movements]


@pytest.mark.parametrize("film", VIDEOS[:3], ids=lambda video: video.name)
def test_the_one_movement_of_a_short_film_is_found(video):
    search = search_movements(video_frames(video), video.rate, SPOT)
    (one,) = search.movements
    truth = video.moved[0]
    assert abs(one.apex - truth.apex) <= 3
    assert truth.onset - 3 <= one.onset < one.apex < one.offset <= truth.offset + 3
    assert len(one.faces) == one.offset - one.onset + 1
    assert 0.5 < one.pixels < 1.6
    assert search.whole
    assert search.stretches == ()


def test_every_movement_of_a_long_film_is_found_also_those_in_what_was_kept_before_it_turned_out_to_be_long():
    moved = (Moved("surprise", 31, 40, 50), Moved("positive", 151, 160, 171), Moved("negative", 201, 211, 221))
    told = []
    search = search_movements(video_frames(DemoVideo("long.avi", 50, 250, moved)), 50, SPOT, on_movement=told.append)
    assert not search.whole
    # Each is handed on with its faces, which are then let go.
    assert [(one.onset, one.apex, one.offset) for one in told] == spans(search)
    assert all(len(one.faces) == one.offset - one.onset + 1 for one in told)
    assert all(one.faces == () for one in search.movements)
    assert len(search.movements) == len(moved)
    for one, truth in zip(search.movements, moved, strict=True):
        assert abs(one.apex - truth.apex) <= 3
    # Where nothing moves the course stays below what counts.
    still = [pixels for last, pixels in search.curve if 105 <= last <= 145]
    assert still
    assert max(still) < SPOT.least_pixels


@pytest.mark.parametrize("seed", [0, 1])
def test_a_still_face_with_noise_and_a_swaying_head_does_not_move(seed):
    assert search_movements(video_frames(STILL, seed), 100, SPOT).movements == ()


def test_a_movement_that_has_only_begun_is_none(smile):
    search = search_movements(iter(smile[:50]), 100, SPOT)
    assert search.movements == ()
    assert max(pixels for _, pixels in search.curve) > SPOT.least_pixels


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_film_is_set_upright(smile, turn):
    (one,) = search_movements((np.rot90(frame, turn) for frame in smile), 100, SPOT).movements
    assert one.turned == 4 - turn
    assert abs(one.apex - VIDEOS[1].moved[0].apex) <= 3


def poor(name, frame):
    if name == "dark":
        return (frame * 0.05).astype(np.uint8)
    if name == "grey":
        return (frame * 0.02 + 120).astype(np.uint8)
    if name == "two":
        return np.hstack([frame, frame])
    if name == "small":
        return resize_image(frame, 96, 128)
    return np.full_like(frame, 99)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dark", "too dark"),
        ("grey", "no contrast|no face"),
        ("two", r"2 faces; choose one of them: --face=\d+,\d+,\d+ or --face="),
        ("small", "pixels wide; film it at 48 or more|no face was found"),
        ("wall", "no face was found"),
    ],
)
def test_what_is_too_poor_to_be_looked_at_is_told_and_not_guessed(smile, name, said):
    search = search_movements((poor(name, frame) for frame in smile[:40]), 100, SPOT)
    assert search.movements == ()
    assert search.curve == ()
    (stretch,) = {stretch.reason for stretch in search.stretches}
    assert re.search(said, stretch)
    assert (search.stretches[0].first, search.stretches[-1].last) == (1, 40)


def test_a_face_that_leaves_and_comes_back_makes_two_stretches(smile):
    wall = [np.full_like(smile[0], 99)] * 100
    search = search_movements([*smile, *wall, *smile], 100, SPOT)
    found = [number for span in spans(search) for number in span]
    truth = VIDEOS[1].moved[0].apex
    assert np.abs(np.array(found)[1::3] - [truth, truth + 200]).max() <= 3
    (gone,) = search.stretches
    assert 101 <= gone.first <= 201 - 1
    assert "no face" in gone.reason


def test_a_recording_without_frames_has_nothing():
    search = search_movements(iter(()), 100, SPOT)
    assert search == ((), (), (), 0, True)


def test_too_few_frames_a_second_and_an_unknown_rate_are_refused(smile):
    with pytest.raises(ValueError, match=r"10 frames a second are too few.*--rate=FPS"):
        search_movements(smile, 10, SPOT)
    with pytest.raises(ValueError, match=r"more than 300 frames.*--rate=FPS"):
        search_movements((smile[0] for _ in range(301)), 0, SPOT, box=FaceBox(104, 218, 194, "given"))


def test_frames_that_somebody_names_are_cut_out(smile):
    one = cut_movement(iter(smile), 31, 55, 79, SPOT)
    assert (one.onset, one.apex, one.offset, len(one.faces)) == (31, 55, 79, 49)
    whole = cut_movement(iter(smile), 31, 55, 55, SPOT, box="whole")
    assert whole.box is None
    np.testing.assert_array_equal(whole.faces[0], crop_face(smile[30], None, SPOT.face.side))
    for span, said in {
        (0, 5, 9): "count from 1",
        (9, 5, 9): "onset < apex",
        (1, 50, 101): "there are 100 frames",
        (1, 2, 9999): "name at most 3000",
    }.items():
        with pytest.raises(ValueError, match=said):
            cut_movement(iter(smile), *span, SPOT)
    with pytest.raises(ValueError, match="frame 1: no face"):
        cut_movement(iter([np.full_like(smile[0], 99)] * 5), 1, 2, 3, SPOT)


def test_a_given_square_beyond_the_picture_is_cut_to_it(smile):
    one = cut_movement(iter(smile), 31, 55, 55, SPOT, box=FaceBox(400, 900, 300, "given"))
    assert one.box == (180, 340, 300, "given")


def test_a_found_face_is_cut_as_the_stand_in_is(smile):
    """Eyes at a third of the square and the mouth at 0.7, where the portrait has them."""
    (box,) = find_faces(smile[0])
    zoom = 480 / 300
    eyes, mouth = zoom * 101, zoom * 145
    assert (eyes - box.top) / box.side == pytest.approx(0.33, abs=0.05)
    assert (mouth - box.top) / box.side == pytest.approx(0.69, abs=0.05)
