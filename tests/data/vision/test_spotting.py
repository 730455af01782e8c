"""Movement spotting: videos of a photograph warped by known fields, of a head that moves, and without a usable movement."""

import re

import cv2
import numpy as np
import pytest

from experiments.demo import VIDEOS, DemoVideo, Movement, video_frames
from lightman_jax.data.synthetic.moving_head import HeadPose, portrait_head
from lightman_jax.data.vision import spotting
from lightman_jax.data.vision.faces import FaceBox, crop_face, find_faces
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.movement_kinds import WITH_CLASS
from lightman_jax.data.vision.spotting import MovementSearch, SpotConfig, cut_movement, search_movements
from lightman_jax.data.vision.video import TimedFrame, find_videos, read_frames

SPOT = SpotConfig()
FPS = 25
SMILE = DemoVideo("smile.avi", FPS, 25, (Movement("positive", 9, 14, 20),))


@pytest.fixture(scope="module")
def smile():
    return list(video_frames(SMILE))


@pytest.fixture(scope="module")
def still():
    return list(video_frames(DemoVideo("still.avi", FPS, 25, ())))


def timed(images, fps=FPS):
    for place, image in enumerate(images):
        yield TimedFrame(image, place / fps if fps else np.nan)


def spans(search):
    return [movement[:3] for movement in search.movements]


def is_smile(movement, before=0):
    truth = SMILE.movements[0]
    return (
        movement.kind == "micro-expression"
        and abs(movement.apex - before - truth.apex) <= 1
        and truth.onset - 2 <= movement.onset - before < movement.apex - before
        and movement.apex < movement.offset <= truth.offset + 2 + before
    )


@pytest.mark.slow
@pytest.mark.parametrize("video", VIDEOS[:3], ids=lambda video: video.name)
def test_the_movement_of_a_short_video_is_found(video):
    search = search_movements(timed(video_frames(video), video.fps), video.fps, SPOT)
    (found,) = search.movements
    truth = video.movements[0]
    assert found.kind == "micro-expression"
    assert abs(found.apex - truth.apex) <= 3
    assert truth.onset - 3 <= found.onset < found.apex < found.offset <= truth.offset + 3
    # Every second of 100 frames per second is analysed.
    assert found.numbers == tuple(range(found.onset, found.offset + 1, 2))
    assert len(found.faces) == len(found.per_depth) == len(found.numbers)
    assert found.numbers[found.apex_place] == found.apex
    assert found.times == pytest.approx([(number - 1) / video.fps for number in found[:3]])
    assert 0.4 < found.pixels < 2.0
    assert (search.frames, search.whole, search.gaps) == (video.frames, True, ())


@pytest.mark.slow
def test_movements_are_reported_while_the_video_is_read_and_their_faces_released():
    truths = (Movement("surprise", 21, 26, 31), Movement("negative", 71, 76, 81))
    reported, now = [], [0]
    search = search_movements(
        timed(video_frames(DemoVideo("long.avi", FPS, 96, truths))),
        FPS,
        SpotConfig(window_seconds=(1.0, 2.0)),
        on_frame=now.append,
        on_movement=lambda found: reported.append((now[-1], found)),
    )
    assert not search.whole
    assert [found[:3] for _, found in reported] == spans(search)
    assert all(len(found.faces) == len(found.numbers) > 0 for _, found in reported)
    assert all(found.faces == () for found in search.movements)
    for (_, found), truth in zip(reported, truths, strict=True):
        assert abs(found.apex - truth.apex) <= 2
    assert reported[0][0] < 96
    # Without movement the displacement curve stays below the threshold.
    rest = [
        point.pixels
        for point in search.curve
        if point.seconds - point.window / 2 > 1.5 and point.seconds + point.window / 2 < 2.8
    ]
    assert 0 < max(rest) < SPOT.min_pixels


def test_a_still_face_with_noise_and_sway_has_no_movement(still):
    search = search_movements(timed(still), FPS, SPOT)
    assert search.movements == ()
    assert max(point.pixels for point in search.curve) < SPOT.min_pixels


def test_a_movement_that_has_only_begun_is_not_reported(smile):
    search = search_movements(timed(smile[:14]), FPS, SPOT)
    assert search.movements == ()
    assert max(point.pixels for point in search.curve) > SPOT.min_pixels


def test_images_without_times_are_one_clip(smile):
    (found,) = search_movements(timed(smile, 0), 0, SPOT).movements
    assert is_smile(found)
    assert np.isnan(found.times).all()


@pytest.mark.slow
@pytest.mark.parametrize("turns", [1, 3])
def test_a_rotated_video_is_set_upright(smile, turns):
    (found,) = search_movements(timed(np.rot90(frame, turns) for frame in smile), FPS, SPOT).movements
    assert found.rotation == 4 - turns
    assert is_smile(found)


@pytest.mark.slow
def test_a_video_of_23_976_frames_per_second_is_searched(smile, tmp_path):
    rate = 24000 / 1001
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), rate, smile[0].shape[1::-1])
    for frame in smile:
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    writer.release()
    (video,) = find_videos([str(tmp_path / "a.avi")])
    (found,) = search_movements(read_frames(video), video.fps, SPOT).movements
    assert is_smile(found)
    assert found.times == pytest.approx([(number - 1) / rate for number in found[:3]], abs=0.01)


@pytest.mark.slow
def test_two_faces_are_followed_apart(smile, still):
    frames = [
        np.hstack([first[60:400, 100:540], second[60:400, 100:540]]) for first, second in zip(still, smile, strict=True)
    ]
    reported = MovementSearch(FPS, SPOT)
    for number, frame in enumerate(timed(frames), start=1):
        reported.add(number, *frame)
        assert len(reported.faces) == 2
    right = max(reported.faces, key=lambda face: face.points[:, 0].mean()).name
    (found,) = reported.finish().movements
    assert is_smile(found)
    assert found.face_name == right
    assert found.box.left > 440


@pytest.mark.slow
def test_a_face_in_a_part_of_the_video_is_searched_there(smile):
    wall = [np.full_like(smile[0], 99)] * 12
    search = search_movements(timed([*wall, *smile, *wall]), FPS, SPOT)
    found, lost = search.movements
    assert is_smile(found, before=12)
    assert (lost.kind, lost.face_name, lost.onset, lost.offset) == ("face lost", "face 1", 38, 49)
    first, last = search.gaps
    assert (first.first, last.last) == (1, 49)
    # A face is searched for every tenth of a second.
    assert 12 <= first.last <= 15
    assert last.first == 38
    assert {gap.reason for gap in search.gaps} == {first.reason}
    assert "no face was found" in first.reason
    assert (first.begin, last.end) == (0.0, pytest.approx(48 / FPS))


def moving_head(pose, seconds=2.0, cover=None):
    head, rng = portrait_head(140, (300, 400)), np.random.default_rng(0)
    for second in np.arange(round(FPS * seconds)) / FPS:
        image = head.frame(pose(second), noise=2, rng=rng)
        yield cover(image, second) if cover else image


def swaying(second):
    return HeadPose(turn=3 * np.sin(2 * second), nod=2 * np.sin(3 * second), tilt=2 * second, right=4 * np.sin(second))


def nodding(second):
    return HeadPose(nod=-8 * np.sin(np.pi * np.clip((second - 0.4) / 1.2, 0, 1)) ** 2)


def hand(image, second):
    """An ellipse of the colour of skin that passes before the face in a second."""
    center = (round(-60 + 300 * second), 150)
    return cv2.ellipse(image.copy(), center, (40, 62), 10, 0, 360, (205, 160, 135), -1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pose", "cover", "kinds"),
    [
        (swaying, None, set()),
        (nodding, None, {"head motion"}),
        (lambda second: HeadPose(), hand, {"face covered"}),
    ],
    ids=["sway", "nod", "hand"],
)
def test_motion_of_the_head_and_a_hand_get_no_class(pose, cover, kinds):
    search = search_movements(timed(moving_head(pose, cover=cover)), FPS, SPOT)
    found = {movement.kind for movement in search.movements}
    assert not found & set(WITH_CLASS)
    assert kinds <= found


def degraded(kind, frame):
    if kind == "dark":
        return (frame * 0.05).astype(np.uint8)
    if kind == "grey":
        return (frame * 0.02 + 120).astype(np.uint8)
    if kind == "small":
        return resize_image(frame, 96, 128)
    return np.full_like(frame, 99)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dark", "too dark"),
        ("grey", "no contrast|no face"),
        ("small", "pixels wide; record it at 40 or more|no face was found"),
        ("wall", "no face was found; show it from the front"),
    ],
)
def test_unusable_videos_are_reported_with_the_reason(smile, kind, reason):
    search = search_movements(timed(degraded(kind, frame) for frame in smile[:6]), FPS, SPOT)
    assert search.movements == ()
    assert search.curve == ()
    (found,) = {gap.reason for gap in search.gaps}
    assert re.search(reason, found)
    assert (search.gaps[0].first, search.gaps[-1].last) == (1, 6)


def test_a_profile_is_refused(smile, monkeypatch):
    monkeypatch.setattr(spotting, "absolute_angles", lambda landmarks: (-70.0, 0.0))
    search = search_movements(timed(smile[:3]), FPS, SPOT)
    (gap,) = search.gaps
    assert gap.reason == "a profile view (70 degrees; at most 45)"
    assert search.curve == ()


def test_a_video_without_frames_gives_an_empty_search():
    search = search_movements(iter(()), FPS, SPOT)
    assert search[:5] == ((), (), (), 0, True)


def test_too_few_frames_per_second_and_an_unknown_number_are_refused(smile):
    with pytest.raises(ValueError, match=r"10 frames per second are too few.*--fps=FPS"):
        search_movements(timed(smile), 10, SPOT)
    search = MovementSearch(0, SPOT)
    with pytest.raises(ValueError, match=r"more than 300 frames.*--fps=FPS"):
        search.add(301, smile[0], np.nan)


def test_of_a_fast_video_some_frames_are_analysed(still):
    search = MovementSearch(200, SPOT)
    for number in range(1, 10):
        search.add(number, still[number], (number - 1) / 200)
        assert search.gaps == []
    search.finish()
    assert len(search.curve) == 1


def test_given_frame_numbers_are_cut_out(smile):
    found = cut_movement(timed(smile), 9, 14, 20, SPOT)
    assert (*found[:3], len(found.faces)) == (9, 14, 20, 12)
    assert found.numbers == tuple(range(9, 21))
    assert found.times == pytest.approx((8 / FPS, 13 / FPS, 19 / FPS))
    assert np.isnan(found.pixels)
    whole = cut_movement(timed(smile[:15]), 9, 14, 14, SPOT, box="whole")
    assert whole.box is None
    np.testing.assert_array_equal(whole.faces[0], crop_face(smile[8], None, SPOT.face.side))
    with pytest.raises(ValueError, match="frame 1: no face"):
        cut_movement(timed([np.full_like(smile[0], 99)] * 5), 1, 2, 3, SPOT)


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 5, 9), "count from 1"),
        ((9, 5, 9), "onset < apex"),
        ((5, 5, 9), "onset < apex"),
        ((24, 25, 26), "the video has 25 frames"),
        ((1, 2, 9999), "give at most 3000"),
    ],
)
def test_frame_numbers_that_do_not_exist_are_refused(smile, span, message):
    with pytest.raises(ValueError, match=message):
        cut_movement(timed(smile), *span, SPOT)


def test_the_flow_between_two_faces_of_a_movement_loses_the_motion_of_the_head(smile):
    found = cut_movement(timed(smile), 9, 14, 14, SPOT)
    side = SPOT.face.side
    flow = np.full((side, side, 2), 0.8, np.float32)
    middle = np.s_[side // 3 : side // 2, side // 3 : side // 2]
    assert np.abs(found.without_head(flow, 0, found.apex_place)[middle]).max() < 0.1
    fixed = cut_movement(timed(smile[:2]), 1, 2, 2, SPOT, box="whole")
    np.testing.assert_array_equal(fixed.without_head(flow, 0, 1), flow)


def test_a_given_box_is_clipped_to_the_image_where_it_shows_no_landmarks(smile):
    found = cut_movement(timed(smile[:2]), 1, 2, 2, SPOT, box=FaceBox(400, 900, 300, "given"))
    assert found.box == FaceBox(180, 340, 300, "given")


def test_a_detected_face_is_cropped_like_the_stand_in(smile):
    """Eyes at a third of the side and mouth at 0.7, at their known positions in the portrait, by the cascade and by landmarks."""
    zoom = 480 / 300
    eyes, mouth = zoom * 101, zoom * 145
    for box in (find_faces(smile[0])[0], cut_movement(timed(smile[:2]), 1, 2, 2, SPOT).box):
        assert (eyes - box.top) / box.side == pytest.approx(0.33, abs=0.05)
        assert (mouth - box.top) / box.side == pytest.approx(0.69, abs=0.05)
