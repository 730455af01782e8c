"""A table of own clips: which tables are read, names in any script, paths in another spelling, labels letter by letter."""

import csv
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.corrections import Correction
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.corpora.user_table import read_rows, row_fps
from lightman_jax.data.tables.cells import MISSING
from lightman_jax.data.vision.images import write_image

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = ("clip", "subject", "label", "path")
PLAIN = st.text(
    st.characters(categories=("L", "M", "N", "P", "S"), exclude_characters="/\\<>\ufffd"), min_size=1, max_size=20
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    for number in (1, 2, 3):
        write_image(tmp_path / "a" / f"{number}.png", np.full((8, 8, 3), 60 * number, np.uint8))
    return tmp_path


def write(path, *rows, header=HEADER):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def own(folder):
    reading = read_corpus("table", folder)
    return assign_labels(reading, "own", ["table"])


def ids(reading):
    return [clip.clip for clip in reading.clips]


@QUICK
@given(name=PLAIN, column=st.integers(0, 2))
def test_names_in_any_script_are_kept_letter_by_letter(folder, name, column):
    row = ["c", "anna", "joy", "a"]
    row[column] = name
    write(folder / "clips.csv", row)
    reading = read_corpus("table", folder)
    refused = name.lower() in MISSING or not name.strip("-.?") or name[0] in "=+-@\uff1d\uff0b\uff0d\uff20"
    if not refused and not reading.problems:
        (clip,) = reading.clips
        assert (clip.clip, clip.subject, clip.written)[column] in (f"table/anna/{name}", f"table/{name}", name)
    assert bool(reading.clips) != bool(reading.problems)


@pytest.mark.parametrize(
    "name",
    [
        "O'Brien",
        "O\N{RIGHT SINGLE QUOTATION MARK}Brien",
        "अनिल कुमार",
        "محمد علي",
        "דוד",
        "สมชาย",
        "😀",
        "a & b",
        "#3",
        "[x]",
        "1, 2",
        "\N{ARABIC LETTER MEEM}\N{ARABIC LETTER FARSI YEH}\u200c\N{ARABIC LETTER KHAH}",
    ],
)
def test_names_of_subjects_are_plain_names(folder, name):
    write(folder / "clips.csv", ["c", name, "joy", "a"])
    reading = read_corpus("table", folder)
    assert ids(reading) == [f"table/{name}/c"]
    assert not reading.problems


@pytest.mark.parametrize("name", ["\uff1dx", "a\u202eb", "a\u200bb", "a\nb", "J\ufffdrgen", "...", "a<b", "x" * 201])
def test_names_that_mislead_are_refused(folder, name):
    write(folder / "clips.csv", ["c", "anna", "joy", "a"], ["d", name, "joy", "a"])
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/c"]
    assert len(reading.problems) == 1


@QUICK
@given(mark=st.sampled_from(sorted(MISSING - {""})), column=st.integers(0, 2), upper=st.booleans())
def test_a_mark_of_a_missing_value_is_no_name(folder, mark, column, upper):
    row = ["d", "ben", "joy", "a"]
    row[column] = mark.upper() if upper else mark
    write(folder / "clips.csv", ["c", "anna", "joy", "a"], row)
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/c"]
    (problem,) = reading.problems
    assert problem.lost
    assert "line 3" in problem.where
    assert "nan, NA or None are missing" in problem.remedy


@QUICK
@given(
    labels=st.lists(
        st.sampled_from(
            [
                "joy",
                "amusement",
                "happy",
                "Happy",
                "other",
                "b+a",
                "a+b",
                "tension",
                "sad",
                "10",
                "2",
                "-1",
                "-0.5",
                "+1",
            ]
        ),
        min_size=1,
    )
)
def test_own_labels_stay_letter_by_letter(folder, labels):
    write(folder / "clips.csv", *([f"c{n:02d}", "anna", label, "a"] for n, label in enumerate(labels)))
    reading, space = own(folder)
    assert [clip.label for clip in reading.clips] == labels
    assert space.classes == tuple(sorted(set(labels)))


def test_named_label_spaces_merge_own_labels(folder):
    write(
        folder / "clips.csv",
        *([f"c{n}", "anna", label, "a"] for n, label in enumerate(["joy", "Angry", "surprised", "bored"])),
    )
    reading, _ = assign_labels(read_corpus("table", folder), "3", ["table"])
    assert [clip.label for clip in reading.clips] == ["positive", "negative", "surprise"]
    assert [clip.written for clip in reading.unlabelled] == ["bored"]
    assert "1 micro bored" in reading.notes[-1]


def test_spellings_of_one_label_meet_and_similar_labels_are_reported(folder):
    labels = ["\xe9", "e\u0301", "0", "0.0", "Happy", "happy", "x y", "x_y", "01", "1"]
    write(folder / "clips.csv", *([f"c{n}", "anna", label, "a"] for n, label in enumerate(labels)))
    reading, space = own(folder)
    assert space.classes == ("0", "01", "1", "Happy", "happy", "x y", "x_y", "\xe9")
    assert [note for note in reading.notes if "are one class" in note] == [
        "labels '0' (1) and '0.0' (1) are one class, 0",
        r"labels 'e\u0301' (1) and '\xe9' (1) are one class, " + "\xe9",
    ]
    assert [problem.found for problem in reading.problems] == [
        "'01' (1 clips), '1' (1 clips)",
        "'Happy' (1 clips), 'happy' (1 clips)",
        "'x y' (1 clips), 'x_y' (1 clips)",
    ]
    assert not any(problem.lost for problem in reading.problems)


@pytest.mark.parametrize("beside", ["aaa.csv", "old.xlsx", "predictions.csv", "corrections.csv", "notes.txt"])
def test_the_table_named_clips_is_read(folder, beside):
    write(folder / "clips.csv", ["c", "anna", "joy", "a"])
    write(folder / beside, ["d", "ben", "joy", "a"], header=HEADER if beside == "aaa.csv" else ("clip", "label"))
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/c"]
    said = "read clips.csv; other tables of clips are not read: aaa.csv" in reading.notes
    assert said == (beside == "aaa.csv")
    (folder / "clips.csv").write_text("clip,subject\nc,anna\n")
    with pytest.raises(ValueError, match=r"clips\.csv has no row that names the columns"):
        read_corpus("table", folder)


def test_parts_of_a_table_are_read_together(folder):
    write(folder / "part1.csv", ["c", "anna", "joy", "a"])
    write(folder / "part2.csv", ["a", "joy", "ben", "d"], ["a", "joy", "anna", "c"], header=HEADER[::-1])
    write(folder / "part3.csv", ["e", "cara", "joy", "a", "30"], header=(*HEADER, "fps"))
    write(folder / "sub" / "clips.csv", ["f", "dan", "joy", "../a"])
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/c", "table/ben/d"]
    assert "read part1.csv, part2.csv; other tables of clips are not read: part3.csv, sub/clips.csv" in reading.notes
    assert "1 clips of part2.csv are those of part1.csv, read once" in reading.notes
    assert not reading.problems


def test_tables_of_several_folders_are_read_together(folder):
    for name in ("s1", "s2"):
        write(folder / name / "clips.csv", [f"{name}c", name, "joy", "a"])
        shutil.copytree(folder / "a", folder / name / "a")
    assert ids(read_corpus("table", folder)) == ["table/s1/s1c", "table/s2/s2c"]


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("clip;subject;label;path\r\nc;anna;joy;a\r\n", "csv"), ("clip\tsubject\tlabel\tpath\rc\tanna\tjoy\ta", "txt")],
)
def test_tables_of_other_programs_are_found(folder, text, suffix):
    (folder / f"clips.{suffix}").write_bytes(text.encode("utf-16" if suffix == "txt" else "cp1252"))
    assert ids(read_corpus("table", folder)) == ["table/anna/c"]


@pytest.mark.parametrize(
    ("place", "path"), [("M\xfccke", "Mu\u0308cke"), ("Mu\u0308cke/b", "M\xfccke/b"), ("A B", "a b"), ("B", ".\\b")]
)
def test_a_path_in_another_spelling_is_found_and_said(folder, place, path):
    shutil.copytree(folder / "a", folder / place)
    write(folder / "clips.csv", ["c", "anna", "joy", path], ["d", "anna", "joy", "a"])
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/c", "table/anna/d"]
    assert reading.clips[0].paths[0].parent == folder / place
    assert any("1 paths of clips.csv are spelt unlike the files" in note for note in reading.notes)


def test_a_path_in_the_spelling_of_two_folders_is_refused(folder):
    for name in ("Ab", "aB"):
        shutil.copytree(folder / "a", folder / name)
    if len({*folder.iterdir()}) < 3:
        pytest.skip("the file system ignores case")
    write(folder / "clips.csv", ["c", "anna", "joy", "ab"], ["d", "anna", "joy", "a"])
    reading = read_corpus("table", folder)
    assert ids(reading) == ["table/anna/d"]
    assert reading.problems[0].found == "'Ab' and 'aB'"


def test_a_column_in_two_spellings_is_reported(folder):
    write(folder / "clips.csv", ["c", "anna", "joy", "a", "fear"], header=(*HEADER, "Emotion"))
    (problem,) = read_corpus("table", folder).problems
    assert (problem.found, problem.remedy) == ("Emotion", "label is read, this one is not")


def test_corrections_apply_to_videos_and_unknown_clips_are_reported(folder):
    (folder / "v.avi").write_bytes(b"")
    header = (*HEADER, "onset", "apex", "offset")
    write(folder / "clips.csv", ["c", "Ren\xe9e", "joy", "v.avi", 1, 5, 9], header=header)
    decomposed = unicodedata.normalize("NFD", "table/Ren\xe9e/c")
    corrections = [
        Correction(decomposed, "apex", "5", "4"),
        Correction("table/nobody/c", "apex", "5", "4"),
        Correction("smic/s1/c", "apex", "5", "4"),
    ]
    reading = read_corpus("table", folder, corrections)
    assert reading.clips[0].apex == 3
    assert [problem.found for problem in reading.problems] == ["table/nobody/c"]


def test_decimal_commas_are_numbers(folder):
    write(
        Path(folder / "clips.csv"),
        ["c", "anna", "joy", "a", "29,97", "1,0", "3,0"],
        header=(*HEADER, "fps", "onset", "offset"),
    )
    (row,) = read_rows(folder / "clips.csv").rows
    assert (row_fps(row), row.number("onset"), row.number("offset")) == (29.97, 1, 3)


@pytest.mark.parametrize("name", ["2-Jan", "01. Feb", "Mar-02", "2026-01-02 00:00:00", "3. Okt 26"])
def test_a_name_that_may_have_been_turned_into_a_date_is_reported(folder, name):
    write(folder / "clips.csv", [name, "anna", "joy", "a"], ["janet-02", "May", "marvel 20", "a"])
    reading = read_corpus("table", folder)
    assert len(reading.clips) == 2
    (problem,) = reading.problems
    assert (problem.lost, "line 2" in problem.where, name in problem.found) == (False, True, True)


def test_the_file_of_landmarks_counts_frames_from_the_first_of_the_folder_or_video(folder):
    for place in ("a.csv", "deep/a.csv"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text("frame,x_0\n")
    (folder / "v.avi").write_bytes(b"")
    header = (*HEADER, "onset", "apex", "offset", "landmarks")
    rows = [("c", "anna", "joy", "a", 2, 3, 3, "deep/A.csv"), ("d", "anna", "joy", "v.avi", 7, 8, 9, "a.csv")]
    rows += [("e", "anna", "joy", "a", 1, 2, 3, "none.csv"), ("f", "ben", "joy", "a", 1, 2, 3, "../a.csv")]
    write(folder / "clips.csv", *rows, header=header)
    reading = read_corpus("table", folder)
    given_with = {clip.clip: clip.landmarks for clip in reading.clips}
    assert given_with.pop("table/anna/c") == (folder / "deep" / "a.csv", 2)
    assert given_with.pop("table/anna/d") == (folder / "a.csv", 7)
    assert set(given_with.values()) == {None}
    assert len(given_with) == len(reading.problems) == 2
    assert all("no file below" in problem.found and not problem.lost for problem in reading.problems)
