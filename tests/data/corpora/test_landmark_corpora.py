"""Corpora of OpenFace files: RAVDESS by its names, and a user table whose paths are csv files."""

import csv

import numpy as np
import pytest

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.corrections import Correction
from lightman_jax.data.corpora.labels import assign_labels, label_space, published
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.records import UNKNOWN_SPAN, DataError

HEADER = ("clip", "subject", "label", "path", "onset", "apex", "offset", "pool")


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.csv").write_text("")
    return folder


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


@pytest.mark.parametrize("place", [".", "FacialTracking_Actors_01-24", "a/b/Actor_12"])
def test_ravdess_is_read_by_the_names_of_its_files(tmp_path, place):
    touch(
        tmp_path / place, "01-01-03-02-01-01-12", "01-02-04-01-02-01-01", "01-01-01-01-01-01-12", "01-01-02-02-01-01-12"
    )
    touch(tmp_path, "notes", "03-01-03-02-01-01-12", "01-01-03-02-01-01")
    reading = read_corpus("ravdess", tmp_path)
    assert [(clip.clip, clip.subject, clip.emotion) for clip in reading.clips] == [
        ("ravdess/Actor_01/01-02-04-01-02-01-01", "ravdess/Actor_01", "sadness"),
        ("ravdess/Actor_12/01-01-01-01-01-01-12", "ravdess/Actor_12", "neutral"),
        ("ravdess/Actor_12/01-01-02-02-01-01-12", "ravdess/Actor_12", "calm"),
        ("ravdess/Actor_12/01-01-03-02-01-01-12", "ravdess/Actor_12", "happiness"),
    ]
    assert {(c.pool, c.kind, c.numbers, c.apex, c.fps) for c in reading.clips} == {
        ("macro", "landmarks", UNKNOWN_SPAN, None, 30)
    }
    assert not reading.problems
    assert any("speak or sing" in note for note in reading.notes)
    labelled, _ = assign_labels(reading, "3", ("smic",))
    assert [clip.label for clip in labelled.clips] == ["negative", "positive"]
    assert any("1 macro calm, 1 macro neutral" in note for note in labelled.notes), "they show no expression of a class"


def test_ravdess_reports_wrong_names_copies_and_unknown_actors(tmp_path):
    touch(
        tmp_path / "a", "01-01-03-02-01-01-12", "02-01-03-02-01-01-12", "02-01-08-02-01-01-12", "01-01-09-01-01-01-25"
    )
    touch(tmp_path / "b", "01-01-03-02-01-01-12", "01-01-05-02-01-01-25")
    reading = read_corpus("ravdess", tmp_path)
    assert [clip.clip.split("/")[-1] for clip in reading.clips] == [
        "01-01-03-02-01-01-12",
        "02-01-08-02-01-01-12",
        "01-01-05-02-01-01-25",
    ], "a copy without sound counts where it is alone"
    assert any(note.startswith("1 files of RAVDESS without sound") for note in reading.notes)
    found = sorted((problem.found, problem.lost) for problem in reading.problems)
    assert found == [
        ("'09'", True),
        ("clip ravdess/Actor_12/01-01-03-02-01-01-12 a second time", True),
        ("unknown subject Actor_25", False),
    ]
    with pytest.raises(DataError, match=r"Looked for csv files of OpenFace with the names of RAVDESS.*Zenodo"):
        read_corpus("ravdess", touch(tmp_path / "c", "other"))


def test_ravdess_takes_corrections_of_the_span_and_the_emotion(tmp_path):
    touch(tmp_path, "01-01-03-02-01-01-12")
    name = "ravdess/Actor_12/01-01-03-02-01-01-12"
    changes = [("onset", "", "12"), ("apex", "", "40"), ("emotion", "happiness", "surprise")]
    corrections = [Correction(name, field, old, new, "seen") for field, old, new in changes]
    (clip,) = read_corpus("ravdess", tmp_path, corrections).clips
    assert (clip.numbers, clip.apex, clip.emotion) == ((12, 40, 0), 1, "surprise")


def test_published_counts_of_ravdess():
    corpus = CORPORA["ravdess"]
    assert corpus.clips == 2452
    assert corpus.emotions["neutral"] == 188
    assert published("ravdess", label_space("3", ("smic",))) == ((1320, 376, 192), 24)


def test_paths_of_a_table_may_be_files_of_openface(tmp_path):
    touch(tmp_path / "faces", "a", "b")
    spans = {
        "nothing": ("", "", ""),
        "all": (3, 5, 9),
        "no apex": (3, "", 9),
        "apex alone": ("", 5, ""),
        "onset and apex": (3, 5, 0),
    }
    rows = [
        (name, "anna", "joy", f"faces/{'ab'[n % 2]}.CSV", *span, "macro")
        for n, (name, span) in enumerate(spans.items())
    ]
    write(tmp_path / "clips.csv", *rows, ("m", "ben", "joy", "faces/a.csv", 1, 2, 3, ""))
    reading = read_corpus("table", tmp_path)
    assert {clip.clip.split("/")[-1]: (clip.kind, clip.numbers, clip.apex) for clip in reading.clips} == {
        "nothing": ("landmarks", UNKNOWN_SPAN, None),
        "all": ("landmarks", tuple(range(3, 10)), 2),
        "no apex": ("landmarks", tuple(range(3, 10)), None),
        "apex alone": ("landmarks", (0, 5, 0), 1),
        "onset and apex": ("landmarks", (3, 5, 0), 1),
        "m": ("landmarks", (1, 2, 3), 1),
    }
    assert not [problem for problem in reading.problems if problem.lost]
    assert {clip.pool for clip in reading.clips} == {"micro", "macro"}


@pytest.mark.parametrize("span", [(5, 4, 9), (5, "", 4), (5, "", 5), ("", 9, 4), (-3, 5, 9)])
def test_numbers_out_of_order_are_refused(tmp_path, span):
    touch(tmp_path, "a")
    write(tmp_path / "clips.csv", ("c", "anna", "joy", "a.csv", *span, ""))
    reading = read_corpus("table", tmp_path)
    (problem,) = reading.problems
    assert problem.lost
    assert problem.expected.startswith("1 <= onset <= apex <= offset") or "number" in problem.expected
    assert not reading.clips


def test_thousands_of_files_next_to_a_table_are_not_taken_for_tables(tmp_path):
    header = ",".join(["frame", " face_id", *(f" {axis}_{n}" for axis in "xyXYZ" for n in range(68)), " AU12_c"])
    for number in range(20):
        (tmp_path / f"{number}.csv").write_text(f"{header}\n{','.join(['1'] * 343)}\n")
    write(tmp_path / "my list.csv", *((f"c{n}", "anna", "joy", f"{n}.csv", "", "", "", "") for n in range(20)))
    reading = read_corpus("table", tmp_path)
    assert len(reading.clips) == 20
    assert not np.any([problem.lost for problem in reading.problems])
