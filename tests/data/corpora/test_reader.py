"""Rows and folders that contradict each other: each is reported once, at its place, and no other clip is lost."""

import datetime

import pytest

from lightman_jax.data.corpora import read_corpus
from tests.data.corpora.by_hand import CASME2, CASME3, DFME, MMEW, SAMM, SMIC_E, images, read, spans, table

CODES = {
    "codes": [
        [1, "disgust1_1", 10, 15, 20, "4", "negative", "micro-expression", "disgust"],
        [1, "disgust1_2", "12a", 15, 20, "4", "negative", "macro-expression", "disgust"],
    ],
    "rule 1": [["s15", 1]],
    "rule 2": [["disgust1", "0101"]],
}


def lost(reading):
    return [(problem.where.split(", ")[-1], problem.found) for problem in reading.problems if problem.lost]


def test_a_row_that_cannot_be_read_is_reported_once(tmp_path):
    rows = [[1, "EP02_01f", "", 46, 59, 86], [1, "EP03_02", "", "12a", 59, 86]]
    rows += [[1, "EP04_02", "", datetime.datetime(2014, 5, 8), 59, 86], ["", "EP04_03", "", 46, 59, 86]]
    for _, clip, *_ in rows:
        images(tmp_path / "sub01" / clip, "img{}.jpg", range(46, 87))
    notes = [["Total", "4 clips"], ["EP is an episode"]]
    table(tmp_path / "CASME2-coding-20140508.xlsx", [CASME2, *([*row, "", "12", "happiness"] for row in rows), *notes])
    reading = read_corpus("casme2", tmp_path)
    assert list(spans(reading)) == [("micro", "casme2/sub01/EP02_01f")]
    assert sorted(where.split(" (")[0][-6:] for where, _ in lost(reading)) == ["line 3", "line 4", "line 5"]


def test_a_row_of_another_subject_than_its_clip_is_left_out(tmp_path):
    for subject, clip in (("006", "006_1_2"), ("007", "007_1_1"), ("008", "008_1_1")):
        images(tmp_path / "SAMM" / subject / clip, subject + "_{:05d}.jpg", range(1, 9))
    rows = [
        [subject, clip, 1, 1, 3, 8, 8, "Micro - 1/2", "4", "Anger", "III", ""]
        for subject, clip in ((6, "006_1_2"), (6, "007_1_1"), ("", "008_1_1"))
    ]
    table(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [*([["note"]] * 13), SAMM, *rows])
    reading = read_corpus("samm", tmp_path)
    assert list(spans(reading)) == [("micro", "samm/006/006_1_2")]
    assert [found for _, found in lost(reading)] == ["006", "'' and '008_1_1'"]


def test_notes_below_the_rows_are_no_faults(tmp_path):
    images(tmp_path / "part_A" / "spNo.1" / "a" / "color", "{}.jpg", range(1, 30))
    rows = [["spNO.1", "a", 5, 9, 20, "4", 3, "disgust"], ["sum", 1], ["N.B. frames count from 1"]]
    table(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [CASME3, *rows])
    reading = read("casme3", tmp_path)
    assert (len(reading.clips), reading.problems) == (1, ())


@pytest.mark.parametrize("order", [("codes", "rule 1", "rule 2"), ("rule 2", "codes", "rule 1")])
@pytest.mark.parametrize("index", [False, True])
def test_sheets_of_casme_squared_in_any_order_with_or_without_an_index(tmp_path, order, index):
    images(tmp_path / "cropped" / "s15" / "15_0101disgustingteeth", "img{}.jpg", range(1, 30))
    sheets = {
        name: [[n, *row] if index and name == "codes" else row for n, row in enumerate(CODES[name])] for name in order
    }
    table(tmp_path / "CAS(ME)^2code_final.xlsx", sheets)
    reading = read_corpus("casme_squared", tmp_path)
    assert spans(reading) == {("micro", "casme_squared/s15/disgust1_1_10"): (10, 15, 20)}
    assert reading.clips[0].cropped
    assert [found for _, found in lost(reading)] == ["onset is '12a', not a number in digits"]
    assert any("read the sheet codes" in note for note in reading.notes) == (index or order[0] != "codes")


def test_a_label_that_contradicts_the_name_or_the_folder_is_reported(tmp_path):
    images(tmp_path / "HS" / "s2" / "micro" / "positive" / "s2_ne_01", "image{}.bmp", range(1, 6))
    images(tmp_path / "HS" / "s2" / "micro" / "positive" / "s4_po_01", "image{}.bmp", range(1, 6))
    reading = read_corpus("smic", tmp_path)
    assert [(clip.clip, clip.emotion) for clip in reading.clips] == [("smic/s2/s2_ne_01", "positive")]
    assert [(problem.found, problem.lost) for problem in reading.problems] == [("'positive'", False), ("s2", True)]
    images(tmp_path / "Micro_Expression" / "fear" / "S01-03-001", "{}.jpg", range(1, 10))
    table(tmp_path / "MMEW_Micro_Exp.xlsx", [MMEW, [1, "S01-03-001", 1, 5, 9, "4", "disgust", ""]])
    (problem,) = read("mmew", tmp_path).problems
    assert (problem.expected, problem.found) == ("the emotion of the folder fear", "disgust")


def test_trees_and_tables_next_to_those_of_other_corpora(tmp_path):
    for folder, camera, start in (("HS_long/SMIC-HS-E", "HS", 1), ("VIS_long/SMIC-VIS-E/VIS", "VIS", 100)):
        images(tmp_path / "smic_e_vis" / folder / "s02" / "s02_po_01", "image{}.jpg", range(start, start + 30))
        rows = [SMIC_E, [2, "s02_po_01", start + 5, start + 20, start, "positive"]]
        table(tmp_path / f"SMIC-{camera}-E_annotation_2019.xlsx", rows)
    assert spans(read("smic_e_vis", tmp_path)) == {("micro", "smic_e_vis/s2/s2_po_01"): (105, None, 120)}
    images(tmp_path / "4DME" / "gray_micro" / "12" / "12_3_1", "{}.jpg", range(1, 5))
    images(tmp_path / "SAMM" / "006" / "006_1_2", "006_{:05d}.jpg", range(1, 9))
    row = [6, "006_1_2", 1, 1, 3, 8, 8, "Micro - 1/2", "4", "Anger", "III", ""]
    table(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", [SAMM, row])
    reading = read("megc2019", tmp_path)
    assert spans(reading) == {("micro", "samm/006/006_1_2"): (1, 3, 8)}
    assert {"no clip of SMIC-HS was found", "no clip of CASME II was found"} <= set(reading.notes)


def test_a_longer_table_is_chosen_by_its_clips_and_not_by_its_notes(tmp_path):
    for clip, first in (("s01_ne_01", 420), ("s01_ne_02", 420)):
        images(tmp_path / "SMIC-HS-E" / "s01" / clip, "image{}.jpg", range(first, first + 100))
    rows = [SMIC_E, [1, "s01_ne_01", 427, 460, 420, "negative"]]
    table(tmp_path / "SMIC-HS-E_annotation.xlsx", [*rows, ["total", "157 clips"], ["", "see text"]])
    table(tmp_path / "SMIC-HS-E_annotation_2019.xlsx", [*rows, [1, "s01_ne_02", 427, "", 420, "negative"]])
    reading = read("smic_e", tmp_path)
    assert reading.notes[0].startswith("read the table SMIC-HS-E_annotation_2019.xlsx;")
    assert [problem.flag for problem in reading.problems] == ["--incomplete=keep"]


def test_fer2013_takes_blanks_around_the_pixels(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n0," + "7 " * 2304 + ",Training\n")
    assert len(read("fer2013", tmp_path).clips) == 1


def test_macro_sequences_of_mmew_far_below_the_folder(tmp_path):
    folder = tmp_path / "data" / "MMEW_Final" / "MMEW_Final" / "Macro_Expression" / "S01" / "disgust" / "S01-03-001"
    images(folder, "{}.jpg", range(1, 6))
    images(tmp_path / "data" / "MMEW_Final" / "Micro_Expression" / "fear" / "S01-04-001", "{}.jpg", range(11, 20))
    table(tmp_path / "MMEW_Micro_Exp.xlsx", [MMEW, [1, "S01-04-001", 11, 15, 19, "4", "fear", ""]])
    assert [clip.pool for clip in read("mmew", tmp_path).clips] == ["macro", "micro"]


def test_the_flow_release_next_to_images_is_noted(tmp_path):
    images(tmp_path / "HS" / "s2" / "micro" / "negative" / "s2_ne_01", "image{}.bmp", range(1, 6))
    images(tmp_path / "STSNet_whole_norm_u_v_os", "s02_s02_ne_01{}.png", [""])
    (note,) = (note for note in read("smic", tmp_path).notes if "flow" in note)
    assert note == "the public flow release in the folder is not used: images are read"


def test_clips_of_a_table_without_a_column_for_the_emotion_are_kept_without_one(tmp_path):
    for subject in (3, 200):
        images(tmp_path / "DFME" / f"sub{subject:04d}_01", "{:05d}.png", range(25))
    full = [DFME, [3, "sub0003_01", 0, 9, 20, "anger", 0, 200, "4"]]
    table(tmp_path / "training_full_with_AU.xlsx", full)
    table(tmp_path / "testA.xlsx", [DFME[:5], [200, "sub0200_01", 0, 9, 20]])
    reading = read("dfme", tmp_path)
    assert [(clip.subject, clip.emotion) for clip in reading.clips] == [("dfme/sub0003", "anger"), ("dfme/sub0200", "")]
    assert "a column for emotion" in [problem.expected for problem in reading.problems]
