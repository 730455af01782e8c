"""Motion images: analytic flow fields, signs, colour order, a real face, and every representation."""

import dataclasses

import cv2
import numpy as np
import pytest
import skimage.data

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.records import RawClip
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.faces import SimulatorConfig, subject_clips
from lightman_jax.data.synthetic.moving_head import HeadPose, portrait_head
from lightman_jax.data.vision.apex import middle_apex, spot_apex
from lightman_jax.data.vision.faces import FaceBox, face_box
from lightman_jax.data.vision.images import grey_image, read_image, resize_image, write_image
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, magnify_motion, optical_flow, optical_strain, warp_image
from lightman_jax.data.vision.video import read_clip_images


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


def test_flow_of_a_clip_is_in_pixels_of_the_face_up_to_the_middle_frame(tmp_path):
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


def test_images_are_red_green_blue_and_broken_ones_are_named(tmp_path):
    image = np.zeros((28, 28, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 10, 20, 30
    write_image(tmp_path / "a .png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a .png"), image)
    clip = RawClip("c", "s", "micro", "flow", (tmp_path / "a .png",))
    np.testing.assert_array_equal(motion_image(clip, MotionConfig()).image[0, 0], [10, 20, 30])
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png is not an image"):
        read_image(tmp_path / "b.png")
    write_image(tmp_path / "c.png", np.zeros((30, 28, 3), np.uint8))
    with pytest.raises(ValueError, match="30x28 pixels; the release has 28x28"):
        motion_image(RawClip("c", "s", "micro", "flow", (tmp_path / "c.png",)), MotionConfig())


def write_clip(folder, frames, numbers=None, **more):
    folder.mkdir()
    numbers = tuple(numbers or range(len(frames)))
    paths = tuple(folder / f"{number}.png" for number in numbers)
    for path, frame in zip(paths, frames, strict=True):
        write_image(path, frame)
    return RawClip("c/s/1", "c/s", "micro", "frames", paths, numbers, cropped=True, **more)


@pytest.mark.parametrize(
    ("method", "least", "error"), [("farneback", 0.85, 0.18), ("dis", 0.55, 0.30), ("tvl1", 0.75, 0.20)]
)
@pytest.mark.slow
def test_flow_methods_recover_known_movements_of_a_real_face(method, least, error):
    face = resize_image(grey_image(skimage.data.astronaut()[5:215, 120:330]), 128, 128)
    rng, shares, errors = np.random.default_rng(0), [], []
    for units in ((12,), (4,), (1, 2)):
        field = action_unit_field(dict.fromkeys(units, (1.0, 1.0)), 128)
        field /= np.hypot(*np.moveaxis(field, -1, 0)).max()
        first, second = (
            np.clip(x + rng.normal(0, 1.5, x.shape), 0, 255).astype(np.uint8) for x in (face, warp_image(face, field))
        )
        flow, moving = optical_flow(first, second, method), np.hypot(*np.moveaxis(field, -1, 0)) > 0.5
        shares.append((flow[moving] * field[moving]).sum() / np.square(field[moving]).sum())
        errors.append(np.hypot(*np.moveaxis(flow - field, -1, 0))[moving].mean())
    assert least < np.mean(shares) < 1.05
    assert np.mean(errors) < error
    assert method in FLOW_METHODS


@pytest.mark.slow
def test_the_spotter_finds_the_apex_of_micro_movements_under_drift_and_flicker():
    config = SimulatorConfig(frames=25, micro_clips=1, macro_clips=0, apex_spread=0.3, flicker=1.0, seed=11)
    clips = [clip for subject in range(4) for clip in subject_clips(subject, config)]
    off = [abs(spot_apex([grey_image(frame) for frame in clip.frames]) - clip.apex) for clip in clips]
    assert np.median(off) <= 2
    assert np.median(off) < np.median([abs(middle_apex(25) - clip.apex) for clip in clips])
    assert spot_apex([np.zeros((20, 20), np.uint8)] * 9) in range(9)


def test_every_representation_has_its_shape_and_meaning(tmp_path):
    base = texture()
    frames = [np.clip(base.astype(int) + add, 0, 255).astype(np.uint8) for add in (0, 10, 30, 10, 0)]
    clip = write_clip(tmp_path / "clip", frames, apex=2)
    image = lambda name, **more: motion_image(clip, MotionConfig(representation=name, face_side=96, **more)).image  # noqa: E731
    assert image("flow").shape == (28, 28, 3)
    np.testing.assert_allclose(np.median(image("difference")), 30, atol=2)
    np.testing.assert_allclose(np.median(image("difference", magnify=2.0)), 60, atol=8)
    assert image("apex").shape == (28, 28, 1)
    # The rise 0, 10, 30 with the weights -2, 0, 2 over their positive sum.
    np.testing.assert_allclose(np.median(image("dynamic")), 30, atol=2)
    assert image("frames", frame_count=4).shape == (4, 28, 28, 1)
    np.testing.assert_allclose(
        image("frames", frame_count=5)[:, 14, 14, 0], image("frames", frame_count=9)[::2, 14, 14, 0]
    )


def test_frames_are_interpolated_in_time_so_that_a_dropped_one_leaves_no_jump(tmp_path):
    # A kink on either side of the dropped frame, which itself lies on the line between its neighbours.
    values = (0, 40, 60, 80, 100, 20)
    curve = [np.full((40, 40, 3), value, np.uint8) for value in values]
    whole = write_clip(tmp_path / "whole", curve)
    dropped = write_clip(tmp_path / "dropped", [curve[k] for k in (0, 1, 2, 4, 5)], (0, 1, 2, 4, 5))
    config = MotionConfig(representation="frames", frame_count=11, face_side=40)
    images = [motion_image(clip, config).image[:, 14, 14, 0] for clip in (whole, dropped)]
    np.testing.assert_allclose(images[0], np.interp(np.linspace(0, 5, 11), range(6), values), atol=0.5)
    np.testing.assert_array_equal(images[1], images[0])


def test_magnification_multiplies_the_change_and_keeps_the_onset():
    base = grey_image(texture())
    moved = np.clip(base.astype(int) + 8, 0, 255).astype(np.uint8)
    onset, apex = magnify_motion((base, moved), 5.0)
    np.testing.assert_array_equal(onset, base)
    inside = (base > 60) & (base < 180)
    np.testing.assert_allclose(apex[inside].astype(int) - base[inside], 40, atol=3)


def test_a_single_image_gives_the_apex_representation_only(tmp_path):
    clip = write_clip(tmp_path / "still", [texture()])
    assert motion_image(clip, MotionConfig(representation="apex")).image.shape == (28, 28, 1)
    with pytest.raises(ValueError, match="a single image has no flow; choose --representation=apex"):
        motion_image(clip, MotionConfig())


@pytest.mark.parametrize("name", ["flow", "difference", "apex", "dynamic", "frames"])
def test_clips_without_a_movement_are_marked_and_their_change_is_zero(tmp_path, name):
    base, config = texture(), MotionConfig(representation=name, face_side=48)
    moved = np.clip(base.astype(int) + 20, 0, 255).astype(np.uint8)
    still = motion_image(write_clip(tmp_path / "still", [base] * 4), config)
    moving = motion_image(write_clip(tmp_path / "moving", [base, moved, moved, base], apex=1), config)
    at_onset = motion_image(write_clip(tmp_path / "onset", [base, moved, moved, base], apex=0), config)
    # The apex does not enter frames.
    assert [result.moves == "face" for result in (still, moving, at_onset)] == [False, True, name == "frames"]
    for result in (still, moving, at_onset):
        assert np.isfinite(result.image).all()
    if name in ("flow", "difference", "dynamic"):
        assert not still.image.any()
        assert not at_onset.image.any()
        assert still.image.shape == moving.image.shape
    if name != "frames":
        clip = write_clip(tmp_path / "given", [base, moved, moved, base], apex=0)
        for policy in ("middle", "spot"):
            assert motion_image(clip, dataclasses.replace(config, apex_policy=policy)).moves == "face"


def test_two_frames_are_onset_and_apex(tmp_path):
    base = texture()
    moved = np.clip(base.astype(int) + 20, 0, 255).astype(np.uint8)
    result = motion_image(write_clip(tmp_path / "pair", [base, moved]), MotionConfig(representation="difference"))
    assert (result.apex, result.moves, middle_apex(2), middle_apex(9)) == (1, "face", 1, 4)
    np.testing.assert_allclose(np.median(result.image), 20, atol=2)


def test_rounding_is_no_movement_and_a_subtle_movement_is_one(tmp_path):
    face = resize_image(skimage.data.astronaut()[5:215, 120:330], 128, 128)
    rounded = np.clip(face.astype(int) + np.random.default_rng(0).integers(0, 2, face.shape[:2])[..., None], 0, 255)
    field = action_unit_field({12: (1.0, 1.0)}, 128)
    for name, first, second, moves in (
        ("rounded", face, rounded.astype(np.uint8), "nowhere"),
        ("subtle", face, warp_image(face, 0.15 * field / np.hypot(*np.moveaxis(field, -1, 0)).max()), "face"),
    ):
        assert motion_image(write_clip(tmp_path / name, [first, second]), MotionConfig()).moves == moves


def test_a_constant_image_of_the_release_is_no_movement(tmp_path):
    write_image(tmp_path / "a.png", np.full((28, 28, 3), 128, np.uint8))
    still = motion_image(RawClip("c", "s", "micro", "flow", (tmp_path / "a.png",)), MotionConfig())
    assert still.moves == "nowhere"


def test_a_movement_outside_of_the_face_box_is_distinguished(tmp_path):
    base = texture()
    moved = base.copy()
    moved[-8:] = 255 - moved[-8:]
    clip = dataclasses.replace(write_clip(tmp_path / "outside", [base, moved]), cropped=False, box=(0, 0, 24))
    result = motion_image(clip, MotionConfig())
    assert result.moves == "outside"
    assert not result.image.any()


@pytest.fixture(scope="module")
def moving_head(tmp_path_factory):
    """A clip of a rendered head that smiles and moves, the fields of the smile, and the box of the face."""
    folder, side = tmp_path_factory.mktemp("head"), 100
    head = portrait_head(side, (180, 220), np.random.default_rng(3))
    smile = action_unit_field({12: (2.0, 2.0)}, side)
    poses = (HeadPose(), HeadPose(tilt=4, right=3), HeadPose(tilt=6, right=5, nearer=1.03), HeadPose(tilt=6, down=4))
    frames = [head.frame(pose, rise * smile) for pose, rise in zip(poses, (0, 0.5, 1, 0), strict=True)]
    clip = dataclasses.replace(write_clip(folder / "clip", frames, apex=2), cropped=False)
    box = face_box(frames[0], cropped=False)
    columns, rows = np.meshgrid(*2 * [(np.arange(96) - 47.5) * box.side / 96])
    turn = np.array([[np.cos(box.angle), -np.sin(box.angle)], [np.sin(box.angle), np.cos(box.angle)]])
    x, y = np.moveaxis(np.dstack([columns, rows]) @ turn.T + (box.square.x, box.square.y), -1, 0).astype(np.float32)
    sampled = cv2.remap(head.fields(HeadPose(), smile), x, y, cv2.INTER_LINEAR)
    return clip, resize_image(sampled @ turn * (96 / box.side), 28, 28), box


def error(flow, truth):
    """Mean error on the face without its edge."""
    return float(np.hypot(*np.moveaxis(flow[..., :2] - truth, -1, 0))[4:-4, 5:-5].mean())


def test_flow_of_uncropped_clips_is_without_head_motion(moving_head):
    clip, smile, _ = moving_head
    result = motion_image(clip, MotionConfig(face_side=96))
    kept = motion_image(clip, MotionConfig(face_side=96, head_motion="keep"))
    assert (result.face, result.aligned, kept.face, kept.aligned) == ("landmarks", True, "landmarks", False)
    assert error(result.image, smile) < 0.25 < 2 < error(kept.image, smile)
    # Head motion kept is the fixed crop of earlier releases.
    cropped = dataclasses.replace(clip, face=(*moving_head[2],))
    np.testing.assert_array_equal(motion_image(cropped, MotionConfig(face_side=96)).image, result.image)


def test_both_legs_of_a_movement_are_without_head_motion(moving_head):
    clip, smile, _ = moving_head
    rise, fall = motion_image(clip, MotionConfig(face_side=96, views="farneback_rise,farneback_fall")).image
    np.testing.assert_array_equal(rise, motion_image(clip, MotionConfig(face_side=96)).image)
    assert error(fall, -smile) < 0.3


@pytest.mark.parametrize("name", ["difference", "dynamic", "frames"])
def test_other_representations_show_aligned_faces(moving_head, name):
    changes = []
    for policy in ("remove", "keep"):
        image = motion_image(moving_head[0], MotionConfig(representation=name, head_motion=policy, face_side=96)).image
        changes.append(np.abs(image[5] - image[0] if name == "frames" else image)[4:-4, 4:-4].mean())
    assert changes[0] < 0.6 * changes[1]


def test_a_given_box_stays_and_its_face_is_aligned(moving_head):
    clip, smile, box = moving_head
    given = dataclasses.replace(clip, box=box[:3])
    result = motion_image(given, MotionConfig(face_side=96, apex_policy="spot"))
    assert (result.face, result.aligned, result.apex) == ("given", True, 2)
    assert error(result.image, smile) < 0.4


def test_faces_that_are_lost_are_not_aligned_and_cropped_ones_never(tmp_path, moving_head):
    frames = [read_image(path) for path in moving_head[0].paths]
    config = MotionConfig(face_side=96)
    hidden = dataclasses.replace(write_clip(tmp_path / "a", [frames[0], np.full_like(frames[0], 99)]), cropped=False)
    assert not motion_image(hidden, config).aligned
    cropped = write_clip(tmp_path / "b", frames, apex=2)
    images = [motion_image(cropped, dataclasses.replace(config, head_motion=name)) for name in ("remove", "keep")]
    assert not images[0].aligned
    np.testing.assert_array_equal(images[0].image, images[1].image)


def test_a_movement_beside_a_face_that_rests_is_none_of_the_face(tmp_path, moving_head):
    first = read_image(moving_head[0].paths[0])
    beside = first.copy()
    beside[-6:] = 255 - beside[-6:]
    clip = dataclasses.replace(write_clip(tmp_path / "a", [first, beside]), cropped=False)
    result = motion_image(clip, MotionConfig(face_side=96))
    assert (result.aligned, result.moves) == (True, "outside")
    assert not result.image.any()


def test_stills_in_a_table_are_found_by_their_line(tmp_path):
    rows = [np.full(48 * 48, value) for value in (10, 20, 30)]
    lines = ["emotion,pixels,Usage", *(f"3,{' '.join(map(str, row))},Training" for row in rows[:2]), ""]
    lines.append(f"9,{' '.join(map(str, rows[2]))},Training")
    lines.append(f"5,{' '.join(map(str, rows[2]))},Training")
    (tmp_path / "fer2013.csv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    reading = read_corpus("fer2013", tmp_path)
    assert [problem.where for problem in reading.problems] == ["fer2013.csv line 5"]
    values = [read_clip_images(clip, (0,))[0][0, 0, 0] for clip in reading.clips]
    assert values == [10, 20, 30]


def test_a_given_face_box_is_used_and_clipped_to_the_image():
    photograph = skimage.data.astronaut()
    assert face_box(photograph, cropped=False, given=(10, 20, 200)) == FaceBox(10, 20, 200, "given")
    assert face_box(photograph, cropped=False, given=(-9, 490, 100)) == FaceBox(0, 412, 100, "given")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"representation": "lbp"}, "flow, difference, apex, dynamic, frames"),
        ({"flow_method": "raft"}, "farneback, dis, tvl1"),
        ({"apex_policy": "best"}, "given, middle, spot"),
        ({"head_motion": "off"}, "choose one of remove, keep"),
        ({"image_side": 2}, "too small"),
    ],
)
def test_wrong_settings_are_named(settings, text):
    with pytest.raises(ValueError, match=text):
        MotionConfig(**settings)
