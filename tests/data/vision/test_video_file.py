"""One video file: square pixels, lengths that headers lack, links without a suffix, and one pass for all clips."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.vision import video_file
from lightman_jax.data.vision.video import Unreadable, find_videos, read_clip_images, read_frames
from lightman_jax.data.vision.video_file import SharedFrames, ShortVideoError, VideoFile

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def frame(number):
    image = np.full((HEIGHT, WIDTH), 15 * number, np.uint8)
    image[10:20, 4 * number : 4 * number + 8] = 255
    return image


def write_y4m(path, aspect="1:1", frames=FRAMES):
    """A raw video without a number of frames in its header; its grey levels are exact."""
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F50:1 Ip A{aspect} C420jpeg\n".encode()
    chroma = bytes([128]) * (HEIGHT * WIDTH // 2)
    path.write_bytes(header + b"".join(b"FRAME\n" + frame(n).tobytes() + chroma for n in range(frames)))


def write_video(path, codec="MJPG", frames=FRAMES):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 50, (WIDTH, HEIGHT))
    for number in range(frames):
        writer.write(np.repeat(frame(number)[..., None], 3, axis=2))
    writer.release()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "v.y4m"
    write_y4m(path)
    return path


def all_frames(path):
    with VideoFile(path) as video:
        return [image for _, image in video.frames()]


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("1:1", (48, 64)),
        ("0:0", (48, 64)),
        ("2559:2560", (48, 64)),
        ("2:1", (48, 128)),
        ("8:9", (48, 57)),
        ("16:11", (48, 93)),
    ],
)
def test_frames_have_square_pixels(tmp_path, aspect, size):
    write_y4m(tmp_path / "v.y4m", aspect)
    frames = all_frames(tmp_path / "v.y4m")
    assert len(frames) == FRAMES
    assert {image.shape for image in frames} == {(*size, 3)}
    (found,) = find_videos([str(tmp_path / "v.y4m")])
    np.testing.assert_array_equal(list(read_frames(found)), frames)
    shared = SharedFrames(tmp_path / "v.y4m", [[3]])
    np.testing.assert_array_equal(shared.take([3]), frames[2:3])
    assert found.notes == shared.notes
    assert bool(shared.notes) == (size != (HEIGHT, WIDTH))


def with_aspect(mp4, wide, high):
    """Add the aspect of the pixels to the description of the video, and its length to that of each box around it."""
    content, starts = bytearray(mp4), []
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v"):
        starts.append(content.find(name, starts[-1] + 8 if starts else 0) - 4)
    length = lambda start: struct.unpack(">I", content[start : start + 4])[0]  # noqa: E731
    end = starts[-1] + length(starts[-1])
    for start in starts:
        content[start : start + 4] = struct.pack(">I", length(start) + 16)
    content[end:end] = struct.pack(">I4sII", 16, b"pasp", wide, high)
    return content


def test_rotated_frames_are_stretched_along_the_rows_of_the_file(tmp_path):
    write_video(tmp_path / "v.mp4", "mp4v")
    content = with_aspect((tmp_path / "v.mp4").read_bytes(), 2, 1)
    (tmp_path / "v.mp4").write_bytes(content)
    assert all_frames(tmp_path / "v.mp4")[0].shape == (HEIGHT, 2 * WIDTH, 3)
    place = content.find(b"tkhd") + 44  # The matrix of the track header.
    content[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "v.mp4").write_bytes(content)
    assert all_frames(tmp_path / "v.mp4")[0].shape == (2 * WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("count", [0, 1, 5, 100, 2**31 - 1])
def test_the_number_of_frames_in_the_header_is_not_used(tmp_path, count):
    write_video(tmp_path / "v.avi")
    content = bytearray((tmp_path / "v.avi").read_bytes())
    for chunk, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        place = content.find(chunk) + offset
        content[place : place + 4] = struct.pack("<I", count)
    (tmp_path / "v.avi").write_bytes(content)
    shared = SharedFrames(tmp_path / "v.avi", [[1, FRAMES], [FRAMES + 1]])
    assert len(shared.take([1, FRAMES])) == 2
    with pytest.raises(ShortVideoError, match=r"v.avi has no frame 13 that OpenCV can decode; it has 12") as error:
        shared.take([FRAMES + 1])
    assert error.value.frames == FRAMES


@pytest.mark.parametrize("codec", ["MJPG", "mp4v"])
def test_a_link_is_a_video_by_its_own_name(tmp_path, codec):
    suffix = ".avi" if codec == "MJPG" else ".mp4"
    write_video(tmp_path / f"v{suffix}", codec)
    (tmp_path / "store").mkdir()
    (tmp_path / f"v{suffix}").rename(tmp_path / "store" / "3fa9c1")
    (tmp_path / f"linked{suffix}").symlink_to("store/3fa9c1")
    (found,) = find_videos([str(tmp_path / f"linked{suffix}")])
    assert len(list(read_frames(found))) == FRAMES


def test_linked_files_and_folders_are_found_once_and_stores_are_not(tmp_path):
    data, store = tmp_path / "data", tmp_path / "data" / ".git" / "annex"
    store.mkdir(parents=True)
    write_video(store / "v.avi")
    (tmp_path / "elsewhere").mkdir()
    write_video(tmp_path / "elsewhere" / "w.avi")
    (data / "a.avi").symlink_to(store / "v.avi")
    (data / "other").symlink_to(tmp_path / "elsewhere")
    (data / "other again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(data)
    assert [video.name for video in find_videos([str(data)])] == [str(data / "a.avi"), str(data / "other" / "w.avi")]


@pytest.mark.parametrize("target", ["store/3fa9c1", "../cache/3fa9c1"])
def test_a_table_takes_linked_videos_wherever_their_content_is(tmp_path, target):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / target).resolve().parent.mkdir()
    write_video(tmp_path / "v.avi")
    (tmp_path / "v.avi").rename((folder / target).resolve())
    for name, place in (("a.avi", target), ("gone.avi", "../cache/nothing"), ("all", "..")):
        (folder / name).symlink_to(place)
    rows = [
        "clip,subject,label,onset,offset,path",
        "a,p,happy,1,12,a.avi",
        "b,p,happy,1,12,gone.avi",
        "c,p,happy,1,12,all",
    ]
    (folder / "clips.csv").write_text("\n".join(rows))
    reading = read_corpus("table", folder)
    (clip,) = reading.clips
    assert clip.paths == (folder / "a.avi",)
    assert len(read_clip_images(clip, range(12))) == 12
    missing, outside = reading.problems
    assert "a link to ../cache/nothing, which is missing" in missing.found
    assert "below" in outside.expected


def test_a_file_that_is_no_video_is_named_with_its_size(tmp_path):
    (tmp_path / "v.avi").write_bytes(b"no video")
    (found,) = find_videos([str(tmp_path / "v.avi")])
    assert isinstance(found, Unreadable)
    assert "v.avi is no video that OpenCV can open (8 bytes)" in found.reason
    shared = SharedFrames(tmp_path / "v.avi", [[1], [2]])
    for number in (1, 2):
        with pytest.raises(ValueError, match="no video that OpenCV can open"):
            shared.take([number])


spans = st.lists(st.lists(st.integers(1, FRAMES), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(needed=spans)
def test_clips_that_share_a_video_get_their_own_frames_from_one_pass(video, needed):
    needed = sorted(needed, key=max)
    expected, opened = all_frames(video), []

    class CountedFile(VideoFile):
        def __init__(self, path):
            opened.append(path)
            super().__init__(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_file, "VideoFile", CountedFile)
        shared = SharedFrames(video, needed)
        for row, numbers in enumerate(needed):
            for number, image in zip(numbers, shared.take(numbers), strict=True):
                np.testing.assert_array_equal(image, expected[number - 1])
            later = {number for numbers in needed[row + 1 :] for number in numbers}
            assert shared._kept.keys() <= later  # Nothing stays in memory that no clip needs.
    assert len(opened) == 1
