"""The inspection decodes as the preparation does: what passes it can be prepared; choices about the frames are noted."""

import dataclasses

import cv2
import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.preparation.clip_cache import inspection_key
from lightman_jax.data.preparation.inspect_clip import Inspection, inspect_clip, inspection_notes
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.data.preparation.video_jobs import each_result
from lightman_jax.data.records import GivenLandmarks, RawClip
from lightman_jax.data.vision.face_landmarks import find_landmarks
from lightman_jax.data.vision.face_points import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, face_square
from lightman_jax.data.vision.images import resize_image, write_image

SIDE = 128


def moving(frames=3, pixels=2.0):
    """A smooth texture that moves to the right and back, as floats of 20 to 240."""
    rough = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    smooth = sum(cv2.GaussianBlur(rough, (0, 0), sd) * sd for sd in (2, 4, 8))
    smooth = 20 + 220 * (smooth - smooth.min()) / np.ptp(smooth)
    share = 1 - np.abs(np.linspace(-1, 1, frames))
    field = np.zeros((SIDE, SIDE, 2), np.float32)
    for part in share:
        field[..., 0] = -pixels * part
        grid = np.dstack(np.meshgrid(np.arange(SIDE), np.arange(SIDE))).astype(np.float32) + field
        yield cv2.remap(smooth.astype(np.float32), grid, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def stored(folder, frames, suffix, **more):
    """A clip of images in files of one type; TIFF by tifffile, since OpenCV's is compressed."""
    folder.mkdir(exist_ok=True)
    paths = tuple(folder / f"{number}{suffix}" for number in range(len(frames)))
    for path, image in zip(paths, frames, strict=True):
        if suffix == ".tif":
            tifffile.imwrite(path, image)
        else:
            path.write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    return RawClip("c/s/1", "c/s", "micro", "frames", paths, tuple(range(len(frames))), cropped=True, **more)


DEPTHS = {
    "8-bit png": (1.0, np.uint8, ".png"),
    "10-bit png": (1023 / 255, np.uint16, ".png"),
    "12-bit png": (4095 / 255, np.uint16, ".png"),
    "16-bit png": (257.0, np.uint16, ".png"),
    "12-bit tif": (4095 / 255, np.uint16, ".tif"),
    "12-bit pgm": (4095 / 255, np.uint16, ".pgm"),
    "12-bit jp2": (4095 / 255, np.uint16, ".jp2"),
    "float tif of 0 to 1": (1 / 255, np.float32, ".tif"),
    "float tif of 0 to 255": (1.0, np.float32, ".tif"),
    "float tif of 0 to 65535": (257.0, np.float64, ".tif"),
}


@pytest.mark.parametrize("name", DEPTHS)
def test_a_movement_of_2_pixels_is_2_pixels_in_every_depth(tmp_path, name):
    factor, dtype, suffix = DEPTHS[name]
    values = [frame * factor for frame in moving()]
    frames = [np.asarray(one if np.dtype(dtype).kind == "f" else np.rint(one), dtype) for one in values]
    clip = stored(tmp_path / "clip", frames, suffix, apex=1)
    inspection = inspect_clip(clip)
    assert inspection.problems == ()
    assert bool(inspection.notes) == (dtype != np.uint8)
    flow = motion_image(clip, MotionConfig(face_side=SIDE)).image
    assert np.median(flow[6:-6, 6:-6, 0]) == pytest.approx(2.0, abs=0.06)
    assert abs(np.median(flow[6:-6, 6:-6, 1])) < 0.06


def test_the_scale_of_deep_images_is_noted_and_other_depths_are_reported(tmp_path):
    frames = [np.rint(frame * 16).astype(np.uint16) for frame in moving()]
    clip = stored(tmp_path / "clip", frames, ".png")
    assert inspect_clip(clip).notes == ("images of 16-bit integers are scaled so that 4095 is white",)
    faint = stored(tmp_path / "faint", [frame // 16 + 7000 for frame in frames], ".png")
    assert "less than a quarter" in inspect_clip(faint).notes[0]
    black = stored(tmp_path / "black", [frames[0], 0 * frames[1]], ".png")
    assert inspect_clip(black).problems == ()
    mixed = stored(tmp_path / "mixed", [frames[0], frames[1], (frames[2] // 16).astype(np.uint8)], ".png")
    (problem,) = inspect_clip(mixed).problems
    assert not problem.lost
    assert problem.where == "c/s/1: 2.png"
    assert (problem.expected, problem.found) == ("16-bit integers as the 2 others", "1 8-bit integers")


def test_images_of_one_size_after_their_rotation_pass(tmp_path):
    from PIL import Image

    upright = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    clip = stored(tmp_path / "clip", [upright, upright], ".png")
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(clip.paths[1], exif=exif)
    assert inspect_clip(clip).problems == ()
    Image.fromarray(upright).save(clip.paths[1], exif=exif)
    (problem,) = inspect_clip(clip).problems
    assert problem.lost
    assert {problem.expected, problem.found} == {"40x60 pixels as the 1 others", "60x40 pixels"}


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.float16, np.float32, np.float64]),
    channels=st.sampled_from([(), (2,), (3,), (4,), (5,)]),
    low=st.sampled_from([0, -1]),
    photometric=st.sampled_from(["minisblack", "miniswhite", "rgb"]),
    torn=st.booleans(),
)
def test_what_passes_the_inspection_can_be_prepared(tmp_path_factory, dtype, channels, low, photometric, torn):
    folder = tmp_path_factory.mktemp("clip")
    values = np.random.default_rng(0).integers(0, 200, (32, 32, *channels)).astype(dtype)
    if low < 0 and np.dtype(dtype).kind != "u":
        values.flat[0] = low
    photometric = photometric if channels in ((3,), (4,)) or photometric != "rgb" else "minisblack"
    planar = {"planarconfig": "contig"} if channels else {}
    for name in "01":
        tifffile.imwrite(folder / f"{name}.tif", values, photometric=photometric, **planar)
    if torn:
        content = (folder / "1.tif").read_bytes()
        (folder / "1.tif").write_bytes(content[: len(content) // 2])
    clip = RawClip("c", "s", "micro", "frames", (folder / "0.tif", folder / "1.tif"), (0, 1), cropped=True)
    if any(problem.lost for problem in inspect_clip(clip).problems):
        with pytest.raises(ValueError, match=r"\d\.tif is not an image that can be used|same size"):
            motion_image(clip, MotionConfig(face_side=32))
    else:
        motion_image(clip, MotionConfig(face_side=32))


@pytest.fixture(scope="module")
def portrait():
    return resize_image(skimage.data.astronaut()[:320, 100:420], 160, 160)


@pytest.mark.slow
def test_a_face_on_its_side_is_cropped_as_if_it_were_upright(tmp_path, portrait):
    images, config = {}, MotionConfig(representation="apex")
    for turns in (0, 1, 2):
        folder = tmp_path / str(turns)
        folder.mkdir()
        for number in range(2):
            write_image(folder / f"{number}.png", np.ascontiguousarray(np.rot90(portrait, turns)))
        clip = RawClip("c", "s", "micro", "frames", (folder / "0.png", folder / "1.png"), (0, 1))
        inspection = inspect_clip(clip)
        assert inspection.face[3:5] == ("landmarks", -turns % 4)
        assert [note.startswith("the face is not upright") for note in inspection.notes] == [True] * bool(turns)
        images[turns] = motion_image(dataclasses.replace(clip, face=inspection.face), config).image
    # The check finds what the preparation would find.
    np.testing.assert_array_equal(motion_image(clip, config).image, images[2])
    for turns in (1, 2):
        np.testing.assert_array_equal(images[turns], images[0])


def test_clips_without_a_face_are_counted_and_the_first_are_named():
    clips = [RawClip(f"c/s/{number}", "c/s", "micro", "frames", ()) for number in range(8)]
    found, centre = (1, 2, 30, "cascade", 0), (5, 5, 20, "centre", 0)
    faces = [found, centre, None, centre, centre, centre, centre, None]
    (note,) = inspection_notes(clips, [Inspection({}, face=face) for face in faces])
    assert note.startswith("warning: no face was found in 5 of 6 clips")
    assert "c/s/1, c/s/3, c/s/4 and 2 more" in note
    assert "column box" in note
    (note,) = inspection_notes(clips[:3], [Inspection({}, face=face) for face in (found, centre, found)])
    assert note.startswith("no face was found in 1 of 3 clips")
    assert inspection_notes(clips[:2], [Inspection({}, face=found), Inspection({})]) == ()


def write_rows(folder, rows):
    lines = ["clip,subject,label,onset,apex,offset,path,box", *rows]
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return read_corpus("table", folder).clips


def failing_function(clip, config, shared):
    if clip.clip.endswith("c2"):
        raise ValueError("a bad clip")
    return motion_image(clip, config, shared)


def positions(clip, config):
    return 0, clip.apex


def test_clips_of_one_video_give_the_same_images_in_one_pass_as_alone(tmp_path):
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 64))
    for _ in range(30):
        writer.write(cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (64, 64)))
    writer.release()
    spans = [(12, 14, 30), (1, 5, 9), (2, 9, 20), (1, 5, 40), (8, 12, 25)]
    rows = [f"c{row},p,happy,{first},{apex},{last},v.avi,0 0 64" for row, (first, apex, last) in enumerate(spans)]
    clips = write_rows(tmp_path, rows)
    inspections = dict(each_result(clips, inspect_clip, lambda clip: (0, len(clip.numbers) - 1)))
    assert [bool(inspections[row].problems) for row in range(5)] == [False, False, False, True, False]
    assert inspections[3].problems[0].found == "30 frames"
    config = MotionConfig(face_side=64)
    results = dict(each_result(clips, failing_function, positions, (config,)))
    assert str(results[2]) == "a bad clip"
    for row in (0, 1, 3, 4):
        np.testing.assert_array_equal(results[row].image, motion_image(clips[row], config).image)


def test_given_landmarks_are_the_place_of_the_face(tmp_path):
    image = skimage.data.astronaut()[:300, 100:400]
    beside = np.concatenate([image, image], axis=1)
    corners = dict(zip((36, 39, 42, 45, 48, 54), (*RIGHT_EYE, *LEFT_EYE, *MOUTH_CORNERS), strict=True))
    found = find_landmarks(image)[0].points
    points = np.zeros((68, 2))
    points[list(corners)] = found[list(corners.values()), :2] + np.array([300, 0])
    axes = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    cells = ",".join(map(str, points.T.ravel()))
    (tmp_path / "a.csv").write_text(f"frame,success,{','.join(axes)}\n1,1,{cells}\n2,0,{cells}\n")
    clip = dataclasses.replace(stored(tmp_path, [beside[..., ::-1]] * 2, ".png"), cropped=False)
    keys = {inspection_key(clip)}
    searched = inspect_clip(clip).face
    given = dataclasses.replace(clip, landmarks=GivenLandmarks(tmp_path / "a.csv"))
    inspection = inspect_clip(given)
    top, left, side, finder, rotation, angle = inspection.face
    assert (finder, rotation, inspection.problems) == ("given", 0, ())
    # Both faces are of one size: the search takes either, the landmarks the right one.
    alone = face_square(found)
    assert (top + (side - 1) / 2, left + (side - 1) / 2 - 300) == pytest.approx((alone.y, alone.x), abs=1)
    assert angle == pytest.approx(alone.angle, abs=1e-3)
    lost = inspect_clip(dataclasses.replace(given, landmarks=GivenLandmarks(tmp_path / "a.csv", 2)))
    assert (lost.face, len(lost.problems)) == (searched, 1)
    assert lost.problems[0].reason == (
        "found a.csv has no landmarks of frame 2; expected landmarks of the onset frame; correct the file; the face is searched for"
    )
    keys.add(inspection_key(given))
    (tmp_path / "a.csv").write_text("frame\n")
    keys.add(inspection_key(given))
    assert len(keys) == 3
