"""Frames of a rendered head, aligned to the first one."""

import numpy as np
import pytest

from lightman_jax.data.synthetic.moving_head import HeadPose, portrait_head
from lightman_jax.data.vision.aligned_faces import align_faces
from lightman_jax.data.vision.faces import FaceBox, face_box

SIDE = 96


@pytest.fixture(scope="module")
def frames():
    head = portrait_head(100, (180, 220), np.random.default_rng(3))
    return [head.frame(pose) for pose in (HeadPose(), HeadPose(tilt=8, right=9, down=-5), HeadPose(nearer=1.08))]


def difference(first, second):
    return float(np.abs(first.astype(int) - second).mean())


def test_a_moving_head_rests_after_the_alignment(frames):
    box = face_box(frames[0], cropped=False)
    still, *moved = align_faces(frames, box, SIDE).frames
    fixed = [align_faces([frame], box, SIDE).rest.face for frame in frames[1:]]
    for one, other in zip(moved, fixed, strict=True):
        assert difference(still.face, one.face) < 0.25 * difference(still.face, other)
    assert moved[0].motion.tilt == pytest.approx(8, abs=1.5)
    assert moved[1].motion.nearer == pytest.approx(1.08, abs=0.02)


def test_equal_frames_are_equal_after_the_alignment(frames):
    first, second = frames[0], frames[1]
    aligned = align_faces([first, second, first, second], face_box(first, cropped=False), SIDE).frames
    for one, other in ((0, 2), (1, 3)):
        np.testing.assert_array_equal(aligned[one].face, aligned[other].face)
    assert aligned[0].motion.pixels == 0


@pytest.mark.parametrize("growth", [0.75, 1.0, 1.6])
def test_a_given_box_stays_the_crop_whatever_its_size(frames, growth):
    box = face_box(frames[0], cropped=False)
    side = round(growth * box.side)
    given = FaceBox(box.top + (box.side - side) // 2, box.left + (box.side - side) // 2, side, "given")
    aligned = align_faces(frames[:2], given, SIDE)
    assert aligned.rest.square == given.square
    assert aligned.frames[1].motion.tilt == pytest.approx(8, abs=1.5)


def test_a_face_that_is_lost_or_was_never_there_is_not_aligned(frames):
    box = face_box(frames[0], cropped=False)
    wall = np.full_like(frames[0], 99)
    assert align_faces([frames[0], wall], box, SIDE) is None
    assert align_faces([wall, frames[0]], box, SIDE) is None


def test_images_on_their_side_are_turned_upright(frames):
    turned = [np.ascontiguousarray(np.rot90(frame)) for frame in frames[:2]]
    box = face_box(turned[0], cropped=False)
    assert box.rotation == 3
    assert align_faces(turned, box, SIDE).frames[1].motion.tilt == pytest.approx(8, abs=1.5)
