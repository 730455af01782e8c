"""Files of OpenFace: which rows count, whose face is taken, and the crop that its landmarks give."""

import tracemalloc

import numpy as np
import pytest
import skimage.data

from lightman_jax.data.vision.face_landmarks import find_landmarks
from lightman_jax.data.vision.face_points import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, face_square
from lightman_jax.data.vision.faces import face_box
from lightman_jax.data.vision.given_landmarks import given_square, read_openface, square_in_frame
from tests.openface import AXES, write_openface

CORNERS = dict(zip((36, 39, 42, 45, 48, 54), (*RIGHT_EYE, *LEFT_EYE, *MOUTH_CORNERS), strict=True))


def given_points(points):
    """68 points that have the corners of the eyes and the mouth of 478."""
    given = np.zeros((68, 2))
    given[list(CORNERS)] = points[list(CORNERS.values()), :2]
    return given


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(50, 400, (68, 2)).round(1)


@pytest.mark.parametrize("blank", ["", " "])
def test_rows_with_a_face_are_read_by_frame(tmp_path, points, blank):
    rows = [((n, 0, 0.1, 0.98, 1), points + n) for n in (1, 2)]
    rows += [((3, 0, 0.1, 0.98, 0), points), ((4, 0, 0.1, 0.2, 1), points), ((5, 0, 0.1, 0.9, 1), points * np.nan)]
    found = read_openface(write_openface(tmp_path / "a.csv", rows, blank=blank))
    assert sorted(found) == [1, 2]
    np.testing.assert_allclose(found[2], points + 2, atol=1e-4)


def test_columns_that_versions_lack_are_not_needed(tmp_path, points):
    path = write_openface(tmp_path / "a.csv", [((7, 0.2, 0.9), points)], known=("frame", "timestamp", "confidence"))
    assert list(read_openface(path)) == [7]
    image = write_openface(tmp_path / "b.csv", [((0, 0.9), points)], known=("face", "confidence"))
    assert list(read_openface(image)) == [1]


def test_rows_without_numbers_of_frames_and_faces_are_one_frame_each(tmp_path, points):
    found = read_openface(write_openface(tmp_path / "a.csv", [((1,), points), ((1,), points + 5)], known=("success",)))
    assert sorted(found) == [1, 2]
    np.testing.assert_allclose(found[2], points + 5, atol=1e-4)


@pytest.mark.parametrize("mark", ["nan", "-nan(ind)", "-1.#IND", "NaN"])
def test_no_number_in_any_spelling_is_a_frame_without_landmarks(tmp_path, points, mark):
    path = write_openface(tmp_path / "a.csv", [((n, 0, n / 30, 0.98, 1), points) for n in (1, 2, 3)])
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace(f" {points[0, 0]}", f" {mark}", 1)
    lines[3] = lines[3].replace("0.98", mark, 1)
    path.write_text("\n".join(lines) + "\n")
    assert list(read_openface(path)) == [1]


def test_files_with_every_column_of_a_full_run_are_read_in_any_order_of_columns(tmp_path, points):
    path = write_openface(tmp_path / "a.csv", [((3, 0, 0.1, 0.9, 1), points)], more=("AU01_r", "AU12_c", "pose_Rx"))
    rows = [line.split(",")[::-1] for line in path.read_text().splitlines()]
    path.write_text("\ufeff" + "\r\n".join(map(",".join, rows)) + "\r\n", encoding="utf-8")
    np.testing.assert_allclose(read_openface(path)[3], points, atol=1e-4)


def test_memory_is_that_of_the_points_however_many_columns_a_file_has(tmp_path, points):
    more = [f"p_{number}" for number in range(500)]
    path = write_openface(tmp_path / "a.csv", [((n, 0, 0.1, 0.9, 1), points) for n in range(1, 401)], more=more)
    tracemalloc.start()
    found = read_openface(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 400
    # 0.54 kB of points per frame, with the objects around them; a row has 3 kB, with its cells as text 40 kB.
    assert peak < 400 * 1_000 + 200_000


def test_of_several_faces_the_one_in_most_frames_is_taken(tmp_path, points):
    rows = [((1, 0, 0, 1, 1), points), *(((n, 5, 0, 1, 1), points + 100) for n in (1, 2))]
    found = read_openface(write_openface(tmp_path / "a.csv", rows))
    np.testing.assert_allclose(found[1], points + 100, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.csv: no column x_0, but nothing; give a csv file of OpenFace"),
        ("frame,p1\n1,2\n", r"no column x_0, but frame, p1; .*-2Dfp"),
        (",".join(["frame", *AXES]) + "\n1,2\n", r"a\.csv line 2: 2 cells, fewer than the header"),
        (",".join(["frame", *AXES]) + "\n1" + ",x" * 136 + "\n", r"a\.csv line 2: could not convert string to float"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_openface(tmp_path / "a.csv")


def test_the_crop_is_that_of_the_same_corners_among_all_landmarks(tmp_path):
    image = skimage.data.astronaut()
    found = find_landmarks(image)[0].points
    np.testing.assert_allclose(given_square(given_points(found)), face_square(found), rtol=1e-5)
    path = write_openface(tmp_path / "a.csv", [((4, 0, 0, 1, 1), given_points(found))])
    np.testing.assert_allclose(square_in_frame(path, 4), face_box(image, cropped=False).square, atol=3)
    with pytest.raises(ValueError, match=r"a\.csv has no landmarks of frame 5"):
        square_in_frame(path, 5)
    with pytest.raises(ValueError, match=r"b\.csv cannot be read \(No such file"):
        square_in_frame(tmp_path / "b.csv", 1)


def test_other_separators_are_refused_in_few_words(tmp_path, points):
    path = write_openface(tmp_path / "a.csv", [((1, 0, 0.1, 0.9, 1), points)], blank="")
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(ValueError, match="no column x_0, but frame;face_id") as refused:
        read_openface(path)
    assert len(str(refused.value)) < 200
