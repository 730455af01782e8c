"""Rows without an onset or an offset: left out and listed, unless they are asked for, or a correction fills them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora.corrections import Correction
from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.corpora.spans import completed, without_zeros
from lightman_jax.data.folders.trees import list_frames
from lightman_jax.data.preparation.check import CorpusCount
from lightman_jax.data.records import LostClipError, Movement
from lightman_jax.data.tables.table import Row
from tests.data.corpora.by_hand import CASME2, CASME3, DFME, MMEW, SMIC_E, images, read, spans, table


def flagged(reading):
    return [(problem.where, problem.found) for problem in reading.problems if problem.flag == "--incomplete=keep"]


def write_smic_e(root, offset="", onset=427):
    images(root / "HS_long" / "SMIC-HS-E" / "s01" / "s01_ne_01", "image{:06d}.jpg", range(420, 520))
    table(root / "SMIC-HS-E_annotation_2019.xlsx", [SMIC_E, [1, "s01_ne_01", onset, offset, 420, "negative"]])
    return root


def test_a_row_without_an_offset_is_listed_and_left_out(tmp_path):
    reading = read("smic_e", write_smic_e(tmp_path))
    assert not reading.clips
    ((where, found),) = flagged(reading)
    assert "line 2 (smic_e/s1/s1_ne_01)" in where
    assert found == "no offset"
    assert "image 519, the last of the folder, as offset with --incomplete=keep" in reading.problems[0].remedy
    assert any("1 clips of SMIC-HS-E are left out without onset or offset" in note for note in reading.notes)


def test_the_deviation_from_published_numbers_counts_what_is_left_out():
    count = CorpusCount("smic_e", "SMIC-HS-E", "micro", {"negative": 66}, {"negative": 70}, 16, 16, False, left_out=4)
    assert count.deviation == "negative 66 of 70; 4 left out by default"


def test_kept_it_takes_the_last_image_and_reports_it(tmp_path):
    reading = read("smic_e", write_smic_e(tmp_path), incomplete="keep")
    assert spans(reading) == {("micro", "smic_e/s1/s1_ne_01"): (427, None, 519)}
    (problem,) = reading.problems
    assert not problem.lost
    assert "takes image 519" in problem.remedy


def test_a_correction_fills_it(tmp_path):
    correction = Correction("smic_e/s1/s1_ne_01", "offset", "", "450")
    reading = read("smic_e", write_smic_e(tmp_path), corrections=[correction])
    assert spans(reading) == {("micro", "smic_e/s1/s1_ne_01"): (427, None, 450)}
    assert not reading.problems


MARKS = ("", "/", "\\", "-", "n/a", "NaN", "None", "null", "?", " ", "\u2013", 0, "0", "0.0")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mark=st.sampled_from(MARKS), field=st.sampled_from(["onset", "offset"]), keep=st.booleans())
def test_every_mark_of_a_missing_number_makes_a_row_incomplete(frames_from_1, mark, field, keep):
    cells = {"onset": "46", "apex": 59, "offset": 86.0} | {field: mark}
    row = Row("table line 2", cells)
    numbers = {name: row.number(name) for name in cells}
    reported = []
    movement = Movement(row.where, "1", "clip", Path("clip"), has_span=True, **numbers)
    movement = without_zeros(movement, frames_from_1, CORPORA["casme2"], lambda *_, **__: None)
    assert getattr(movement, field) is None
    if keep:
        filled = completed(movement, frames_from_1, keep=True, report=lambda *text, **_: reported.append(text))
        assert (filled.onset, filled.apex, filled.offset) == ((1, 59, 86) if field == "onset" else (46, 59, 100))
        assert reported[0][2] == f"no {field}"
    else:
        with pytest.raises(LostClipError, match=f"no {field}"):
            completed(movement, frames_from_1, keep=False, report=None)


@pytest.fixture(scope="module")
def frames_from_1(tmp_path_factory):
    return list_frames(images(tmp_path_factory.mktemp("clip"), "img{}.jpg", range(1, 101)))


def test_an_apex_is_not_taken_as_offset_of_a_folder_of_one_clip(tmp_path):
    images(tmp_path / "CASME2-RAW" / "sub01" / "EP02_01f", "img{}.jpg", range(1, 90))
    rows = [CASME2, [1, "EP02_01f", "", 46, 59, "/", "", "12", "happiness"]]
    table(tmp_path / "CASME2-coding-20140508.xlsx", rows)
    assert [found for _, found in flagged(read("casme2", tmp_path))] == ["no offset"]
    assert spans(read("casme2", tmp_path, incomplete="keep")) == {("micro", "casme2/sub01/EP02_01f"): (46, 59, 89)}


def test_casme2_onset_and_apex_of_0_are_missing(tmp_path):
    for clip in ("EP02_01f", "EP02_02f"):
        images(tmp_path / "CASME2-RAW" / "sub01" / clip, "img{}.jpg", range(1, 90))
    rows = [
        CASME2,
        [1, "EP02_01f", "", 46, 0, 80, "", "", "happiness"],
        [1, "EP02_02f", "", 0, 9, 80, "", "", "others"],
    ]
    table(tmp_path / "CASME2-coding-20140508.xlsx", rows)
    reading = read("casme2", tmp_path)
    assert spans(reading) == {("micro", "casme2/sub01/EP02_01f"): (46, None, 80)}
    assert [found for _, found in flagged(reading)] == ["no onset"]


def test_frames_that_count_from_0_have_an_onset_of_0(tmp_path):
    images(tmp_path / "train" / "sub0003_01", "{:05d}.png", range(40))
    images(tmp_path / "train" / "sub0003_02", "{:05d}.png", range(40))
    rows = [DFME, [3, "sub0003_01", 0, 0, 30, "disgust", 2, 200, ""], [3, "sub0003_02", 5, "0", 30, "fear", 3, 200, ""]]
    table(tmp_path / "training_full_with_AU.xlsx", rows)
    found = spans(read("dfme", tmp_path))
    assert found == {
        ("micro", "dfme/sub0003/sub0003_01"): (0, 0, 30),
        ("micro", "dfme/sub0003/sub0003_02"): (5, None, 30),
    }


def test_an_offset_of_0_in_a_long_video_takes_the_apex_if_kept(tmp_path):
    images(tmp_path / "part_A" / "spNo.40" / "e" / "color", "{}.jpg", range(1, 200))
    rows = [CASME3, ["spNO.40", "e", "96", "100", "0", "1", "7", "sad"]]
    table(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", rows)
    assert [found for _, found in flagged(read("casme3", tmp_path))] == ["no offset"]
    reading = read("casme3", tmp_path, incomplete="keep")
    assert spans(reading) == {("micro", "casme3/spno.40/e_96"): (96, 100, 100)}
    assert "image 100, the apex" in reading.problems[0].remedy
    correction = Correction("casme3/spno.40/e_96", "offset", "0", "110")
    assert spans(read("casme3", tmp_path, corrections=[correction])) == {
        ("micro", "casme3/spno.40/e_96"): (96, 100, 110)
    }


def test_casme_squared_ends_at_the_apex_where_the_offset_is_0_and_only_there(tmp_path):
    images(tmp_path / "rawpic" / "s15" / "15_0101disgust", "img{:03d}.jpg", range(1, 99))
    rows = [
        [1, f"disgust1_{n}", 20 + n, 30, offset, "4", "negative", "micro-expression", ""]
        for n, offset in ((1, 0), (2, "/"))
    ]
    sheets = {"code": rows, "naming1": [["", "s15", 1]], "naming2": [["", "disgust1", "", "0101"]]}
    table(tmp_path / "CAS(ME)^2code_final.xlsx", sheets)
    reading = read("casme_squared", tmp_path)
    assert spans(reading) == {("micro", "casme_squared/s15/disgust1_1_21"): (21, 30, 30)}
    assert [found for _, found in flagged(reading)] == ["no offset"]
    assert any("the apex, is taken, as in published work" in problem.remedy for problem in reading.problems)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (",,", (1, None, 19)),
        ("3,,9", (3, None, 9)),
        ("3,5,", "no offset"),
        (",5,9", "no onset"),
        (",5,", "no onset and no offset"),
        ("3,5,0", "no offset"),
    ],
)
def test_rows_of_an_own_table(tmp_path, cells, found):
    images(tmp_path / "a [1]", "{}.png", range(1, 20))
    (tmp_path / "clips.csv").write_text(f"clip,subject,label,onset,apex,offset,path\nc,p,happy,{cells},a [1]\n")
    reading = read("table", tmp_path)
    if isinstance(found, str):
        assert not reading.clips
        assert [text for _, text in flagged(reading)] == [found]
        assert len(read("table", tmp_path, incomplete="keep").clips) == 1
    else:
        assert list(spans(reading).values()) == [found]


def test_an_incomplete_mmew_row_that_counts_from_the_start_of_the_video(tmp_path):
    images(tmp_path / "Micro_Expression" / "fear" / "S13-06-001", "{}.jpg", range(1, 21))
    table(tmp_path / "MMEW_Micro_Exp.xlsx", [MMEW, ["S13", "S13-06-001", 201, 210, "", "4", "fear", ""]])
    assert [found for _, found in flagged(read("mmew", tmp_path))] == ["no offset"]
    assert spans(read("mmew", tmp_path, incomplete="keep")) == {("micro", "mmew/S13/S13-06-001"): (1, 10, 20)}


@pytest.mark.parametrize(
    ("cells", "found", "kept"),
    [
        ("3,5,", "no offset", (0, 2, 2)),
        (",5,9", "no onset", None),
        ("3,,0", "no offset", None),
    ],
)
def test_a_video_takes_the_apex_as_offset_and_nothing_as_onset(tmp_path, cells, found, kept):
    (tmp_path / "v.avi").write_bytes(b"video")
    (tmp_path / "clips.csv").write_text(f"clip,subject,label,onset,apex,offset,path\nc,p,happy,{cells},v.avi\n")
    reading = read("table", tmp_path)
    assert not reading.clips
    assert [text for _, text in flagged(reading)] == [found]
    assert ("--incomplete=keep" in reading.problems[0].remedy) == (kept is not None)
    clips = read("table", tmp_path, incomplete="keep").clips
    assert [(0, clip.apex, len(clip.numbers) - 1) for clip in clips] == ([kept] if kept else [])


def test_a_folder_is_the_clip_where_no_column_gives_frames(tmp_path):
    images(tmp_path / "a", "{}.png", range(1, 20))
    (tmp_path / "clips.csv").write_text("clip,subject,label,apex,path\nc,p,happy,5,a\n")
    assert spans(read("table", tmp_path)) == {("micro", "table/p/c"): (1, 5, 19)}


def test_tables_and_images_count_alike_by_default():
    assert CORPORA["samm"].shift(None, None, None) == 0
