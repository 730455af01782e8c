"""The studies on rendered heads: what is rendered, what counts as found, and that errors are measured against the exact field."""

import numpy as np
import pytest

from experiments.claims import head_motion, spotting
from experiments.claims.spotting import FPS, FRAMES, HEADS, PIXELS, Case, Movement, Outcome, Verdict
from lightman_jax.data.synthetic.moving_head import HeadPose
from lightman_jax.data.vision.face_landmarks import Region


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(spotting, "SIZE", (96, 128))
    monkeypatch.setattr(spotting, "SIDES", (64, 65))


def test_a_case_gives_one_video_with_its_movement(small):
    still, frames = spotting.render(Case("", 3, "turn", 0.0))
    frames = list(frames)
    assert still is None
    assert len(frames) == FRAMES
    assert [round(FPS * frame.seconds) for frame in frames] == list(range(FRAMES))
    again = list(spotting.render(Case("", 3, "turn", 0.0))[1])
    other = next(iter(spotting.render(Case("", 4, "turn", 0.0))[1]))
    assert all((one.image == two.image).all() for one, two in zip(frames, again, strict=True))
    assert (frames[0].image != other.image).any()
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}


def test_movements_are_micro_movements_of_the_stated_size():
    labels = set()
    for seed in range(60):
        movement = spotting.draw_movement(1.5, 64, np.random.default_rng(seed))
        labels.add(movement.label)
        assert 0 < movement.onset < movement.apex < movement.offset < FRAMES / FPS
        assert 1 / 5 <= movement.offset - movement.onset <= 1 / 2
        assert np.hypot(*np.moveaxis(movement.at(movement.apex), 2, 0)).max() == pytest.approx(1.5)
        assert not movement.at(movement.onset).any()
        assert not movement.at(movement.offset).any()
    assert labels == {"negative", "positive", "surprise"}


@pytest.mark.parametrize("head", HEADS)
def test_heads_move_within_their_amplitudes(head):
    motion = HEADS[head]
    poses = np.array(
        [spotting.head_poses(motion, 2.0, np.random.default_rng(k))(t) for k in range(40) for t in (0, 1, 2)]
    )
    largest = np.array([motion.turn, motion.nod, motion.tilt, 2 * motion.sway, 2 * motion.sway, motion.nearer])
    away = np.abs(poses - HeadPose())
    assert (away <= largest).all()
    assert (away.max(axis=0) >= 0.8 * largest).all()


def test_the_verdict_on_the_movement_is_found_and_others_are_false():
    truth = Movement("positive", np.zeros((2, 2, 2)), 1.0, 1.2, 1.4)
    case = Case("", 0, "rest", 1.0)
    right = Verdict("micro-expression", 30, 38, 44)
    wider, early = Verdict("macro-expression", 10, 32, 33), Verdict("micro-expression", 25, 29, 50)
    assert Outcome(case, truth, (early, right)).hit == right
    assert Outcome(case, truth, (wider, right)).hit == right
    assert Outcome(case, truth, (early,)).hit is None
    assert Outcome(case, None, (right,)).hit is None
    results = [Outcome(case, truth, found) for found in ((right,), (early, wider), (), (early,))]
    row = spotting.summary(results)
    assert (row.head, row.pixels, row.videos, row.false, row.found, row.micro) == ("rest", 1.0, 4, 2, 0.5, 0.5)
    assert row.apex_error == pytest.approx((1 + 5) / 2)
    still = spotting.summary([Outcome(case._replace(pixels=0.0), None, found) for found in ((right, early), ())])
    assert (still.videos, still.false, still.found, still.micro, still.apex_error) == (2, 2, None, None, None)
    none = spotting.summary([Outcome(case, truth, ())])
    assert (none.false, none.found, none.micro, none.apex_error) == (0, 0.0, None, None)
    assert min(PIXELS) == 0.3


def test_fields_are_read_in_the_axes_of_the_crop():
    rows, columns = np.mgrid[:200, :240].astype(float)
    side = head_motion.SIDE
    field = np.dstack([columns, rows])
    upright = head_motion._in_crop(field, Region(100, 80, side / 2, 0.0))
    middle = (side - 1) / 2
    np.testing.assert_allclose(upright[0, 0], 2 * (np.array([100, 80]) - middle / 2))
    np.testing.assert_allclose(upright[-1, -1], 2 * (np.array([100, 80]) + middle / 2))
    # A crop along a line of eyes that slopes down by 90 degrees: its right is the frame's down.
    rotated = head_motion._in_crop(np.dstack([0 * columns + 3, 0 * rows + 5]), Region(100, 80, side, np.pi / 2))
    np.testing.assert_allclose(rotated, np.broadcast_to([5, -3], rotated.shape), atol=1e-9)


@pytest.mark.slow
def test_alignment_removes_most_of_a_tilt_and_keeps_the_expression():
    case = head_motion.Case("", head_motion.POSES["tilt 12°"], (1, 2), 3.0, 0)
    fixed, aligned, removed = head_motion.case_errors(case)
    assert fixed > 4
    assert max(aligned, removed) < 0.1 * fixed
    still = head_motion.case_errors(case._replace(pose=HeadPose()))
    assert still[0] < 0.2
