"""One reader of videos and images: the same files, suffixes and frames for training and for prediction."""

import shutil

import cv2
import numpy as np
import pytest

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.folders.trees import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.video import Unreadable, find_videos, read_clip_images, read_frames

FRAMES, SIDE = 6, 64


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A user table with one clip per suffix; the content is AVI or PNG, since OpenCV cannot write every format."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 50, (SIDE, SIDE))
    for _ in range(FRAMES):
        writer.write(rng.integers(0, 255, size=(SIDE, SIDE, 3), dtype=np.uint8))
    writer.release()
    write_image(folder / "clip.png", rng.integers(0, 255, size=(SIDE, SIDE, 3), dtype=np.uint8))
    rows = ["clip,subject,label,onset,offset,path"]
    for suffix in sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES):
        path = folder / f"clip{suffix}"
        if not path.exists():
            shutil.copy(folder / ("clip.png" if suffix in IMAGE_SUFFIXES else "clip.avi"), path)
        span = "," if suffix in IMAGE_SUFFIXES else f"1,{FRAMES}"
        rows.append(f"c{suffix[1:]},p1,happiness,{span},{path.name}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_every_suffix_that_can_be_predicted_can_be_trained_on(clips):
    reading = read_corpus("table", clips)
    assert reading.problems == ()
    by_suffix = {clip.paths[0].suffix: clip for clip in reading.clips}
    assert by_suffix.keys() == IMAGE_SUFFIXES | VIDEO_SUFFIXES
    for suffix, clip in by_suffix.items():
        (video,) = find_videos([str(clips / f"clip{suffix}")])
        assert not isinstance(video, Unreadable), video
        assert video.is_file == (suffix in VIDEO_SUFFIXES)
        predicted = [frame.image for frame in read_frames(video)]
        trained = read_clip_images(clip, range(len(clip.numbers)))
        np.testing.assert_array_equal(predicted, trained)
    (unknown,) = find_videos([str(clips / "clips.csv")])
    assert isinstance(unknown, Unreadable)
    assert ".avi" in unknown.reason


def test_frames_are_read_by_number_in_any_order(clips):
    (clip,) = (clip for clip in read_corpus("table", clips).clips if clip.paths[0].suffix == ".avi")
    everything = read_clip_images(clip, range(FRAMES))
    np.testing.assert_array_equal(read_clip_images(clip, (4, 0, 4)), [everything[4], everything[0], everything[4]])
    with pytest.raises(ValueError, match="has no frame 9 that OpenCV can decode"):
        read_clip_images(type(clip)(**{**vars(clip), "numbers": (1, 9)}), (0, 1))


def test_images_given_one_by_one_form_one_video(tmp_path):
    for name, side in (("1.png", 32), ("2.png", 32), ("10.png", 16)):
        write_image(tmp_path / name, np.zeros((side, side, 3), np.uint8))
    # As a shell lists them, and one of them twice.
    names = [str(tmp_path / name) for name in ("1.png", "10.png", "2.png", "2.png")]
    (video,) = find_videos(names)
    assert [path.name for path in video.paths] == ["1.png", "2.png", "10.png"]
    assert video.name == str(tmp_path)
    assert video.notes == ()
    (folder,) = find_videos([str(tmp_path)])
    assert folder == video
    with pytest.raises(ValueError, match=r"10.png has \(16, 16\) pixels, 1.png \(32, 32\)"):
        list(read_frames(folder))


def test_images_have_times_only_at_a_given_frame_rate(tmp_path):
    for name in ("1.png", "2.png", "3.png"):
        write_image(tmp_path / name, np.zeros((32, 32, 3), np.uint8))
    (video,) = find_videos([str(tmp_path)])
    assert np.isnan([frame.seconds for frame in read_frames(video)]).all()
    frames = read_frames(video, 50.0)
    assert [frame.seconds for frame in frames] == [0.0, 0.02, 0.04]
    assert frames.notes == ()


def test_images_without_an_order_are_refused_unless_two_are_given(tmp_path):
    for name in ("neutral.png", "smile.png"):
        write_image(tmp_path / name, np.zeros((32, 32, 3), np.uint8))
    (pair,) = find_videos([str(tmp_path / "smile.png"), str(tmp_path / "neutral.png")])
    assert [path.name for path in pair.paths] == ["smile.png", "neutral.png"]
    (refused,) = find_videos([str(tmp_path)])
    assert "2 names without a number, such as neutral.png, smile.png" in refused.reason


def test_the_order_of_images_is_reported_where_it_was_chosen(tmp_path):
    for number in range(1, 4):
        for kind in ("rgb", "depth"):
            write_image(tmp_path / f"{number}_{kind}.png", np.full((32, 32, 3), number, np.uint8))
    (video,) = find_videos([str(tmp_path)])
    assert [path.name for path in video.paths] == ["1_rgb.png", "2_rgb.png", "3_rgb.png"]
    assert "1_depth.png; used: 1_rgb.png" in video.notes[0]


def test_a_folder_of_other_files_names_their_types(tmp_path):
    (tmp_path / "1.psd").write_bytes(b"x")
    (refused,) = find_videos([str(tmp_path)])
    assert refused.reason == "no image, but 1 of .psd"
