"""Clips of landmarks through check and preparation: flow in pixels of the face, views, found spans, copies, and refusals."""

import csv
import dataclasses

import numpy as np
import pytest

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.preparation.check import check_reading
from lightman_jax.data.preparation.clip_cache import ClipCache, motion_key
from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.data.preparation.prepare import prepare_clips
from lightman_jax.data.preparation.representation import motion_image
from lightman_jax.data.records import RawClip
from tests.openface import CORNERS_OF_THE_MOUTH, RAISED_BROWS, SMILE, UPPER_BROWS, head_points, write_points

HEADER = ("clip", "subject", "label", "path", "onset", "apex", "offset", "pool")


def course(shape, seed=0, turn=5.0, noise=0.2):
    """Points of 60 frames: the shape comes, stays from frame 25 to 40, and goes by half; the head turns."""
    rng = np.random.default_rng(seed)
    shares = np.interp(np.arange(1, 61), (12, 25, 40, 52), (0, 1, 1, 0.5))
    turns = np.linspace(0, turn, 60)
    return [
        head_points(share * shape, turn=angle) + rng.normal(0, noise, (68, 2))
        for share, angle in zip(shares, turns, strict=True)
    ]


def clip_of(path, apex=30, numbers=range(5, 58)):
    position = None if apex is None else list(numbers).index(apex)
    return RawClip("table/s/a", "table/s", "macro", "landmarks", (path,), tuple(numbers), position)


def at(image, point):
    """Values of an image at a landmark of the mean face."""
    row, column = ((head_points()[point] - (640, 360)) / 200 + 0.5)[::-1] * len(image)
    return image[int(row), int(column)]


@pytest.mark.parametrize("turn", [0.0, 8.0])
def test_a_smile_goes_up_and_out_and_raised_brows_go_up(tmp_path, turn):
    smile = motion_image(clip_of(write_points(tmp_path / "a.csv", course(SMILE, turn=turn))), MotionConfig())
    assert smile.image.shape == (28, 28, 3)
    assert smile.image.dtype == np.float32
    assert at(smile.image, 48)[0] < -2 < 2 < at(smile.image, 54)[0]
    assert max(at(smile.image, 48)[1], at(smile.image, 54)[1]) < -2.5
    assert (smile.apex, smile.apex_from, smile.face, smile.moves, smile.aligned) == (
        25,
        "given",
        "landmarks",
        "face",
        True,
    )
    brows = motion_image(clip_of(write_points(tmp_path / "b.csv", course(RAISED_BROWS, turn=turn))), MotionConfig())
    assert max(at(brows.image, point)[1] for point in UPPER_BROWS) < -4
    assert np.abs(brows.image[18:, :, :2]).max() < 1.5
    assert brows.image[..., 2].min() >= 0
    assert brows.image[..., 2].max() > 0.02


def test_flow_is_in_pixels_of_the_face_and_magnified_as_configured(tmp_path):
    clip = clip_of(write_points(tmp_path / "a.csv", course(SMILE)))
    one = motion_image(clip, MotionConfig()).image
    double = motion_image(clip, MotionConfig(face_side=256)).image
    np.testing.assert_allclose(double[..., :2], 2 * one[..., :2], atol=0.02)
    np.testing.assert_allclose(double[..., 2], one[..., 2], atol=0.01)
    larger = motion_image(clip, MotionConfig(magnify=3)).image
    np.testing.assert_allclose(larger, 3 * one, atol=1e-4)


def test_head_motion_is_kept_as_configured(tmp_path):
    clip = clip_of(write_points(tmp_path / "a.csv", course(0 * SMILE, turn=16.0)))
    removed, kept = (motion_image(clip, MotionConfig(head_motion=policy)) for policy in ("remove", "keep"))
    assert (removed.aligned, kept.aligned) == (True, False)
    assert np.abs(removed.image[..., :2]).max() < 1.5
    assert at(kept.image, 30)[0] > 5, "the nose turns to the right of the image"


def test_each_view_shows_its_leg(tmp_path):
    clip = clip_of(write_points(tmp_path / "a.csv", course(SMILE, noise=0.0)))
    both = motion_image(clip, MotionConfig(views="farneback_rise,dis_rise,farneback_fall,causalnet_fall"))
    assert both.image.shape == (4, 28, 28, 3)
    assert both.missing == ("",) * 4
    np.testing.assert_array_equal(both.image[0], motion_image(clip, MotionConfig()).image)
    np.testing.assert_array_equal(both.image[1], both.image[0])
    np.testing.assert_array_equal(both.image[3], both.image[2])
    back = [at(both.image[2], corner)[1] / at(both.image[0], corner)[1] for corner in CORNERS_OF_THE_MOUTH]
    np.testing.assert_allclose(back, -0.5, atol=0.12)
    at_end = clip_of(clip.paths[0], apex=30, numbers=range(5, 31))
    rise = motion_image(at_end, MotionConfig(views="farneback_rise,farneback_fall"))
    assert np.isnan(rise.image[1]).all()
    assert rise.missing == ("", "their apex is the last frame")


def test_the_apex_follows_the_policy(tmp_path):
    path = write_points(tmp_path / "a.csv", course(SMILE))
    found = {
        policy: (image.apex_from, 5 + image.apex)
        for policy in ("given", "middle", "spot")
        for image in [motion_image(clip_of(path, apex=14), MotionConfig(apex_policy=policy))]
    }
    assert found["given"] == ("given", 14)
    assert found["middle"] == ("middle", 31)
    assert found["spot"][0] == "spot"
    assert 24 <= found["spot"][1] <= 42
    assert motion_image(clip_of(path, apex=None), MotionConfig()).apex_from == "spot", (
        "not the middle: the points are known"
    )


@pytest.mark.parametrize("representation", ["difference", "apex", "dynamic", "frames"])
def test_representations_that_need_images_are_refused(tmp_path, representation):
    clip = clip_of(write_points(tmp_path / "a.csv", course(SMILE)))
    with pytest.raises(ValueError, match=f"landmarks without images have no {representation}; .*--representation=flow"):
        motion_image(clip, MotionConfig(representation=representation))


def write_table(folder, *rows):
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def checked(folder):
    reading, space = assign_labels(read_corpus("table", folder), "3", ("table",))
    return check_reading(reading, space, ClipCache(folder / "cache", workers=1))


def test_a_folder_of_files_with_a_table_is_a_corpus(tmp_path):
    labels = {"a": ("positive", SMILE), "b": ("surprise", RAISED_BROWS)}
    for name, (_, shape) in labels.items():
        write_points(tmp_path / f"{name}.csv", course(shape, seed=ord(name)))
    write_points(tmp_path / "still.csv", [head_points()] * 20)
    (tmp_path / "other.csv").write_text("frame,p1\n1,2\n")
    spans = {"a": ("", "", ""), "b": (5, 30, 58)}
    rows = [(name, f"s{name}", labels[name][0], f"{name}.csv", *spans[name], "micro") for name in labels]
    rows += [("c", "sc", "surprise", "still.csv", 2, "", 18, ""), ("d", "sd", "surprise", "other.csv", "", "", "", "")]
    write_table(tmp_path, *rows)
    check = checked(tmp_path)
    clips = {clip.clip[-1]: clip for clip in check.reading.clips}
    assert list(clips) == ["a", "b", "c"]
    assert clips["a"].numbers[0] < 14
    assert clips["a"].numbers[-1] > 45
    assert (clips["b"].numbers, clips["b"].apex) == (tuple(range(5, 59)), 25)
    assert any(note == "1 clip: onset, apex, offset found by the landmarks" for note in check.reading.notes)
    (problem,) = [problem for problem in check.reading.problems if problem.lost]
    assert "no column x_0" in problem.found
    assert "written with -2Dfp" in problem.found
    manifest = prepare_clips(
        check, tmp_path / "out", dataset="table", config=MotionConfig(), cache=ClipCache(tmp_path / "cache", workers=1)
    )
    assert manifest.clips == {"micro": 2}
    assert manifest.apexes == {"spot": 1, "given": 1}
    assert manifest.faces == {"landmarks": 2}
    (unmoved,) = [problem for problem in manifest.problems if problem.flag]
    assert unmoved.where == "table/sc/c"
    again = checked(tmp_path)
    assert again.reading.clips == check.reading.clips, "from the cache"


def test_two_rows_with_the_same_frames_are_found(tmp_path):
    write_points(tmp_path / "a.csv", course(SMILE))
    (tmp_path / "copy.csv").write_bytes((tmp_path / "a.csv").read_bytes())
    rows = [("a", "s1", "positive", "a.csv", 5, 30, 58, ""), ("b", "s2", "positive", "a.csv", 6, 30, 58, "")]
    write_table(tmp_path, *rows, ("c", "s3", "positive", "copy.csv", 5, 30, 58, ""))
    check = checked(tmp_path)
    assert [clip.clip for clip in check.reading.clips] == ["table/s1/a"]
    found = sorted(problem.found for problem in check.reading.problems if problem.lost)
    assert found[0].startswith("53 of its 53 frames are those of table/s1/a")
    assert found[1] == "those of table/s1/a, byte for byte"


def test_the_key_of_an_image_changes_with_its_frames(tmp_path):
    clip = clip_of(write_points(tmp_path / "a.csv", course(SMILE)))
    moved = dataclasses.replace(clip, numbers=clip.numbers[1:], apex=24)
    assert motion_key(clip, ["x"], MotionConfig()) != motion_key(moved, ["x"], MotionConfig())
