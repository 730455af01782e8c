"""One video file: square pixels, lengths that headers lack, links without a suffix, and one pass for all clips."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.vision import video_file
from lightman_jax.data.vision.interlace import first_field
from lightman_jax.data.vision.spotting import SpotConfig
from lightman_jax.data.vision.video import Unreadable, find_videos, read_clip_images, read_frames
from lightman_jax.data.vision.video_file import SharedFrames, ShortVideoError, VideoFile

HEIGHT, WIDTH, FRAMES = 48, 64, 12


def frame(number):
    image = np.full((HEIGHT, WIDTH), 15 * number, np.uint8)
    image[10:20, 4 * number : 4 * number + 8] = 255
    return image


def write_y4m(path, aspect="1:1", frames=FRAMES, scan="p", grey=frame):
    """A raw video without a number of frames in its header; its grey levels are exact."""
    height, width = grey(0).shape
    header = f"YUV4MPEG2 W{width} H{height} F50:1 I{scan} A{aspect} C420jpeg\n".encode()
    chroma = bytes([128]) * (height * width // 2)
    path.write_bytes(header + b"".join(b"FRAME\n" + grey(n).tobytes() + chroma for n in range(frames)))


def write_video(path, codec="MJPG", frames=FRAMES, fps=50.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (WIDTH, HEIGHT))
    for number in range(frames):
        writer.write(np.repeat(frame(number % FRAMES)[..., None], 3, axis=2))
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
    np.testing.assert_array_equal([frame.image for frame in read_frames(found)], frames)
    shared = SharedFrames(tmp_path / "v.y4m", [[3]])
    np.testing.assert_array_equal(shared.take([3]), frames[2:3])
    assert found.notes == shared.notes
    assert bool(shared.notes) == (size != (HEIGHT, WIDTH))


def extended(mp4, boxes, data):
    """Add data to the end of the last of some boxes, each in the one before, and its length to that of each; and its start."""
    content, starts = bytearray(mp4), []
    for name in boxes.encode().split():
        starts.append(content.find(name, starts[-1] + 8 if starts else 0) - 4)
    length = lambda start: struct.unpack(">I", content[start : start + 4])[0]  # noqa: E731
    end = starts[-1] + length(starts[-1])
    for start in starts:
        content[start : start + 4] = struct.pack(">I", length(start) + len(data))
    content[end:end] = data
    return content, starts[-1]


def rotate(path, quarter_turns):
    """Write a clockwise rotation into the track header of an MP4 file."""
    content, unit = bytearray(path.read_bytes()), 1 << 16
    place = content.find(b"tkhd") + 44
    across, along = ((unit, 0), (0, unit), (-unit, 0), (0, -unit))[quarter_turns]
    content[place : place + 36] = struct.pack(">9i", across, along, 0, -along, across, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_frames_are_turned_as_the_metadata_specify(tmp_path, suffix, quarter_turns):
    path = tmp_path / f"v{suffix}"
    write_video(path, "mp4v")
    upright = all_frames(path)
    rotate(path, quarter_turns)
    (video,) = find_videos([str(path)])
    for turned, before in zip(read_frames(video), upright, strict=True):
        np.testing.assert_array_equal(turned.image, np.rot90(before, -quarter_turns))


def test_rotated_frames_are_stretched_along_the_rows_of_the_file(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, "mp4v")
    square = struct.pack(">I4sII", 16, b"pasp", 2, 1)
    path.write_bytes(extended(path.read_bytes(), "moov trak mdia minf stbl stsd mp4v", square)[0])
    assert all_frames(path)[0].shape == (HEIGHT, 2 * WIDTH, 3)
    rotate(path, 1)
    assert all_frames(path)[0].shape == (2 * WIDTH, HEIGHT, 3)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "mp4v"), (".mov", "mp4v"), (".mkv", "MJPG"), (".avi", "MJPG"), (".webm", "VP80")]
)
def test_times_are_those_of_the_container(tmp_path, suffix, codec):
    path, fps = tmp_path / f"v{suffix}", 24000 / 1001
    write_video(path, codec, fps=fps)
    (video,) = find_videos([str(path)])
    assert video.fps == pytest.approx(fps, abs=0.001)
    assert video.fps >= SpotConfig().min_fps
    frames = read_frames(video)
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(FRAMES) / fps, atol=0.0006)
    assert frames.notes == ()
    given = [frame.seconds for frame in read_frames(video, 100.0)]
    np.testing.assert_allclose(given, np.arange(FRAMES) / 100)


def test_times_of_a_variable_frame_rate_are_exact(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, "mp4v")
    content = path.read_bytes()
    tick = struct.unpack_from(">I", content, content.find(b"stts") + 16)[0]
    runs = [(4, tick), (1, tick // 2), (1, tick + tick // 2), (6, tick)]
    content, start = extended(content, "moov trak mdia minf stbl stts", bytes(8 * (len(runs) - 1)))
    struct.pack_into(f">{1 + 2 * len(runs)}I", content, start + 12, len(runs), *(n for run in runs for n in run))
    path.write_bytes(content)
    (video,) = find_videos([str(path)])
    frames = read_frames(video)
    steps = np.diff([frame.seconds for frame in frames])
    np.testing.assert_allclose(steps, [0.02] * 4 + [0.01, 0.03] + [0.02] * 5, atol=1e-6)
    assert frames.notes == ("frame rate varies: 10.0 to 30.0 ms between frames",)
    replaced = read_frames(video, 25.0)
    assert [frame.seconds for frame in replaced] == [number / 25 for number in range(FRAMES)]
    assert replaced.notes == ()


@pytest.mark.parametrize("stated", [0.0, 1000.0])
def test_a_frame_rate_that_the_times_contradict_is_replaced(tmp_path, monkeypatch, stated):
    write_video(tmp_path / "v.mp4", "mp4v")
    monkeypatch.setattr(VideoFile, "fps", stated)
    (video,) = find_videos([str(tmp_path / "v.mp4")])
    assert video.fps == pytest.approx(50, abs=0.01)
    text = "frames per second by the times of 12 frames: 50; the header states"
    assert video.notes == (f"{text} {'1000' if stated else 'none'}",)


def test_a_high_frame_rate_is_taken_from_the_header(tmp_path):
    write_video(tmp_path / "v.mp4", "mp4v", fps=1000)
    (video,) = find_videos([str(tmp_path / "v.mp4")])
    assert (video.fps, video.notes) == (1000, ())


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mkv", "MJPG"), (".webm", "VP80")])
def test_a_truncated_video_gives_its_frames_and_the_reason(tmp_path, suffix, codec):
    path = tmp_path / f"v{suffix}"
    write_video(path, codec, frames=4 * FRAMES)
    whole = all_frames(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (video,) = find_videos([str(path)])
    reader = read_frames(video)
    frames = [frame.image for frame in reader]
    assert 8 <= len(frames) < len(whole)
    np.testing.assert_array_equal(frames[:-1], whole[: len(frames) - 1])  # The last one may be cut.
    (note,) = reader.notes
    assert "of 0.96 s can be decoded: the file is damaged, cut off, or states a wrong length" in note


@pytest.mark.parametrize("whole", [0, 5])
def test_frames_before_damage_are_read_and_the_damage_is_noted(tmp_path, monkeypatch, whole):
    class DamagedVideo:
        def __init__(self, path):
            self.video, self.decoded = capture(path), 0

        def __getattr__(self, name):
            return getattr(self.video, name)

        def retrieve(self):
            self.decoded += 1
            if self.decoded > whole:
                raise cv2.error("no picture")
            return self.video.retrieve()

    capture = cv2.VideoCapture
    write_video(tmp_path / "v.mp4", "mp4v")
    (video,) = find_videos([str(tmp_path / "v.mp4")])
    monkeypatch.setattr(cv2, "VideoCapture", DamagedVideo)
    frames = read_frames(video)
    if whole:
        assert len(list(frames)) == whole
        assert frames.notes[0] == "v.mp4 is damaged (no picture) from frame 6 on"
    else:
        with pytest.raises(ValueError, match=r"v.mp4 is damaged \(no picture\)"):
            list(frames)


def portrait(number):
    """The portrait in grey, moved by 2 pixels per half frame."""
    return np.roll(astronaut()[40:200, 120:360, 1], 2 * number, axis=1)


def woven(number):
    result = portrait(2 * number)
    result[1::2] = portrait(2 * number + 1)[1::2]
    return result


def test_fields_are_separated_in_prediction_alone_and_whole_frames_stay(tmp_path):
    for name, grey in (("fields", woven), ("whole", lambda number: portrait(2 * number))):
        write_y4m(tmp_path / f"{name}.y4m", grey=grey)
        (video,) = find_videos([str(tmp_path / f"{name}.y4m")])
        frames, stored = read_frames(video), all_frames(video.paths[0])
        images = [frame.image for frame in frames]
        if name == "whole":
            np.testing.assert_array_equal(images, stored)
            assert frames.notes == ()
        else:
            np.testing.assert_array_equal(images, [first_field(image) for image in stored])
            assert "interlaced: every second line is interpolated" in frames.notes[0]
            assert "ffmpeg -i FILE -vf bwdif" in frames.notes[0]
        np.testing.assert_array_equal(SharedFrames(video.paths[0], [[3]]).take([3]), stored[2:3])


def test_interlaced_video_that_opencv_cannot_decode_is_refused(tmp_path):
    write_y4m(tmp_path / "v.y4m", scan="t", grey=woven)
    (video,) = find_videos([str(tmp_path / "v.y4m")])
    if tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 13):
        assert len(list(read_frames(video))) == FRAMES
    else:
        with pytest.raises(ValueError, match=r"all 12 frames are equal; OpenCV.*ffmpeg -i FILE -vf bwdif"):
            list(read_frames(video))


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
