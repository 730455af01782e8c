"""Layouts as published: nested and doubled folders, tables in other places and versions, and frame numbers of other origins."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.mmew import MMEW as MMEW_CORPUS
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import Frames
from lightman_jax.data.records import DataError, Movement
from tests.data.corpora.by_hand import CASME2, CASME3, DFME, MMEW, SMIC_E, images, read, spans, table

FLOW_TABLE = "combined_3_class2_for_optical_flow.csv"
CLIP = {("micro", "casme2/sub01/EP02_01f"): (46, 59, 86)}
CASME2_ROWS = [CASME2, [1, "EP02_01f", "", 46, 59, 86, "", "12", "happiness"]]


def write_flow(root):
    names = ["s03_s03_po_02 ", "sub05_EP12_03f", "006_006_1_2"]
    for name in names:
        images(root / "datasets" / "STSNet_whole_norm_u_v_os", name + "{}.png", [""])
        images(root / "datasets" / "three_norm_u_v_os" / "s03" / "u_test" / "0", name + "{}.png", [""])
        images(root / "datasets" / "combined_datasets_whole", name + "{}.png", [""])
    rows = ["dataset,sub,filename_o,label", "smic,s03,s03_po_02,1", "casme2,sub05,EP12_03f,2", "samm,006,006_1_2,0"]
    (root / FLOW_TABLE).write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("given_folder", [".", "datasets", "datasets/STSNet_whole_norm_u_v_os"])
def test_flow_release_with_the_images_in_datasets(tmp_path, given_folder):
    reading = read("megc2019", write_flow(tmp_path) / given_folder)
    assert {clip.clip: clip.emotion for clip in reading.clips} == {
        "smic/s3/s3_po_02": "positive",
        "casme2/sub05/EP12_03f": "surprise",
        "samm/006/006_1_2": "negative",
    }
    assert {clip.paths[0].parent.name for clip in reading.clips} == {"STSNet_whole_norm_u_v_os"}
    assert not reading.problems
    (note,) = reading.notes
    assert note.endswith("copies next to it are not used: combined_datasets_whole, three_norm_u_v_os")


@pytest.mark.parametrize("given_folder", [".", "part_C", "part_C/RGB_Depth/part_C"])
def test_casme3_part_c_with_one_video_per_subject(tmp_path, given_folder):
    for subject in ("01", "12"):
        video = tmp_path / "part_C" / "RGB_Depth" / "part_C" / "part_C" / subject / "a"
        images(video / "color", "{}.jpg", range(1, 60))
        images(video / "depth", "{}.png", range(1, 60))
    images(tmp_path / "part_A" / "spNo.1" / "a" / "color", "{}.jpg", range(1, 9))
    rows = [["sub", "count", "onset", "offset", "au"], [1, 1, 10, 25, "4"], ["12", "2", "30", "50", "4\uff0c12"]]
    table(tmp_path / "part_C" / "CAS(ME)3_part_C_ME.xlsx", rows)
    reading = read("casme3_c", tmp_path / given_folder)
    assert spans(reading) == {
        ("micro", "casme3_c/c1/1_10"): (10, None, 25),
        ("micro", "casme3_c/c12/2_30"): (30, None, 50),
    }
    assert reading.clips[1].action_units == (4, 12)
    assert {path.parent.name for clip in reading.clips for path in clip.paths} == {"color"}


def test_casme3_cut_clips_next_to_volumes_of_whole_videos(tmp_path):
    images(tmp_path / "Part_A_ME_clip" / "frame" / "spNo.1_a_12", "{}.jpg", range(12, 40))
    images(tmp_path / "vol1" / "part_A" / "spNo.1" / "a" / "color", "{}.jpg", range(1, 99))
    images(tmp_path / "vol2" / "part_A" / "spNo.2" / "b" / "color", "{}.jpg", range(1, 99))
    rows = [[*CASME3, "Expression type"]]
    rows += [["spNO.1", "a", 12, 20, 39, "4", "4", "fear", "Micro-expression"]]
    rows += [
        [f"spNO.{n}", video, 50, 60, 70, "4", "4", "fear", "Macro-expression"] for n, video in ((1, "a"), (2, "b"))
    ]
    table(tmp_path / "CAS(ME)3_part_A_v2.xls", rows)
    reading = read("casme3", tmp_path)
    places = {clip.clip: clip.paths[0].parent.relative_to(tmp_path).as_posix() for clip in reading.clips}
    assert places == {
        "casme3/spno.1/a_12": "Part_A_ME_clip/frame/spNo.1_a_12",
        "casme3/spno.1/a_50": "vol1/part_A/spNo.1/a/color",
        "casme3/spno.2/b_50": "vol2/part_A/spNo.2/b/color",
    }


def test_dfme_with_one_doubled_split_folder(tmp_path):
    splits = {"train_data/train_data/sub0003_01": "training", "test_A/sub0200_02": "testA", "sub0300_1": "testB"}
    for path, name in splits.items():
        images(tmp_path / "DFME" / path, "{:05d}.png", range(40))
        subject, clip = path[-11:].split("/")[-1][:7], path.split("/")[-1].replace("_1", "_01")
        rows = [DFME, [subject, clip, 0, 12, 30, "disgust", 2, 200, "4"]]
        table(tmp_path / "DFME" / f"{name}_with_AU.xlsx", rows)
    images(tmp_path / "x" / "y" / "train" / "sub0003_01", "{:05d}.png", range(40))
    reading = read("dfme", tmp_path)
    assert [clip.clip for clip in reading.clips] == [
        "dfme/sub0003/sub0003_01",
        "dfme/sub0200/sub0200_02",
        "dfme/sub0300/sub0300_01",
    ]
    assert any("1 folders of x/y/train are not used" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("row", "count", "span", "reported"),
    [
        ((11, 20, 40), 30, (1, 10, 30), False),
        ((1, 10, 30), 30, (1, 10, 30), False),
        ((5, 10, 20), 30, (5, 10, 20), False),
        ((201, 210, 220), 20, (1, 10, 20), False),
        ((201, 210, 215), 20, (1, 10, 15), True),
        ((11, 20, 35), 30, (1, 10, 25), True),
    ],
)
def test_mmew_rows_that_count_from_the_start_of_the_video(tmp_path, row, count, span, reported):
    images(tmp_path / "Micro_Expression" / "fear" / "S13-06-001", "{}.jpg", range(1, count + 1))
    table(tmp_path / "MMEW_Micro_Exp.xlsx", [MMEW, ["S13", "S13-06-001", *map(str, row), "4", "fear", ""]])
    reading = read("mmew", tmp_path)
    assert spans(reading) == {("micro", "mmew/S13/S13-06-001"): span}
    assert [problem.lost for problem in reading.problems] == [False] * reported
    assert any("more images than their rows name" in note for note in reading.notes) == (span == row == (5, 10, 20))


@settings(max_examples=50, deadline=None)
@given(count=st.integers(2, 60), start=st.integers(1, 5000), position=st.floats(0, 1))
def test_as_many_images_as_from_onset_to_offset_tell_the_shift(tmp_path_factory, count, start, position):
    apex = start + round(position * (count - 1))
    frames = Frames((tmp_path_factory.getbasetemp(),) * count, tuple(range(1, count + 1)))
    movement = Movement("line 2", "S1", "S01-01-001", None, onset=start, apex=apex, offset=start + count - 1)
    collector = Collector(tmp_path_factory.getbasetemp(), tmp_path_factory.getbasetemp(), MMEW_CORPUS)
    assert MMEW_CORPUS.shift(collector, movement, frames) == start - 1
    assert not collector.reading().problems


@pytest.mark.parametrize(("first", "onset"), [(1, 31), (100, 130), (0, 30)])
def test_smic_e_images_renumbered_within_the_range_of_the_table(tmp_path, first, onset):
    images(tmp_path / "HS_long" / "SMIC-HS-E" / "s09" / "s9_po_02", "image{}.jpg", range(first, first + 300))
    table(tmp_path / "SMIC-HS-E_annotation.xlsx", [SMIC_E, [9, "s09_po_02", 130, "142", 100, "positive"]])
    assert spans(read("smic_e", tmp_path)) == {("micro", "smic_e/s9/s9_po_02"): (onset, None, onset + 12)}


def test_oulu_casia_counts_what_it_leaves_out(tmp_path):
    for condition in ("VL/Strong", "VL/Weak", "NI/Strong"):
        for emotion in ("Anger", "Surprise"):
            images(tmp_path / "B_OriginalImg" / condition / "P001" / emotion, "{:03d}.jpeg", range(6))
    reading = read("oulu_casia", tmp_path)
    assert len(reading.clips) == 2
    left = "4 sequences of other cameras, lights or copies are left out: B_OriginalImg/VL/Weak 2, B_OriginalImg/NI/Strong 2"
    assert left in reading.notes


def test_ck_plus_with_labels_in_folders_of_their_archives(tmp_path):
    images(tmp_path / "extended" / "cohn-kanade-images" / "S005" / "001", "S005_001_{:08d}.png", range(1, 8))
    for archive, kind, text in (
        ("Emotion_labels", "Emotion", "   3.0e+00\n"),
        ("FACS_labels", "FACS", "   9.0   4.0\n"),
    ):
        folder = tmp_path / archive / kind / "S005" / "001"
        folder.mkdir(parents=True)
        (folder / f"S005_001_00000007_{kind.lower()}.txt").write_text(text)
    (clip,) = read("ck_plus", tmp_path).clips
    assert (clip.emotion, clip.action_units) == ("disgust", (9,))


@pytest.mark.parametrize(
    ("table_place", "given_folder"),
    [
        ("CASME2-coding-20140508.xlsx", "CASME2/Cropped"),
        ("labels/CASME2-coding-20140508.xls", "CASME2/Cropped"),
        ("CASME2/doc/a/b/c/CASME2-coding.csv.xlsx", "CASME2"),
    ],
)
def test_the_table_may_lie_above_next_to_or_far_below_the_images(tmp_path, table_place, given_folder):
    images(tmp_path / "CASME2" / "Cropped" / "sub01" / "EP02_01f", "reg_img{}.jpg", range(46, 87))
    table(tmp_path / table_place, CASME2_ROWS)
    reading = read("casme2", tmp_path / given_folder)
    assert spans(reading) == CLIP
    assert any("was found in" in note for note in reading.notes) == (given_folder == "CASME2/Cropped")


@pytest.mark.parametrize("old", [False, True])
def test_a_table_may_have_the_suffix_of_the_other_excel_format(tmp_path, old):
    images(tmp_path / "sub01" / "EP02_01f", "img{}.jpg", range(46, 87))
    table(tmp_path / ("CASME2-coding.xlsx" if old else "CASME2-coding.xls"), CASME2_ROWS, old=old)
    assert spans(read("casme2", tmp_path)) == CLIP


def test_without_a_table_the_message_names_it(tmp_path):
    images(tmp_path / "CASME2" / "Cropped" / "sub01" / "EP02_01f", "reg_img{}.jpg", range(46, 87))
    with pytest.raises(
        DataError, match=r"no annotation table of CASME II, nor have the folders above.*CASME2-coding-\*"
    ):
        read_corpus("casme2", tmp_path / "CASME2")


def test_of_two_versions_of_a_table_the_more_complete_one_is_read(tmp_path):
    for clip in ("EP02_01f", "EP02_07"):
        images(tmp_path / "sub01" / clip, "img{}.jpg", range(1, 99))
    table(tmp_path / "CASME2-coding-20140508.xlsx", CASME2_ROWS)
    table(tmp_path / "CASME2-coding-updated.xlsx", [*CASME2_ROWS, [1, "EP02_07", "", 5, 9, 20, "", "4", "disgust"]])
    reading = read("casme2", tmp_path)
    assert len(reading.clips) == 2
    chosen = "read the table CASME2-coding-updated.xlsx; CASME2-coding-20140508.xlsx lists the same clips"
    assert chosen in reading.notes


def test_tables_without_a_common_row_are_read_together(tmp_path):
    for clip in ("EP02_01f", "EP02_07"):
        images(tmp_path / "sub01" / clip, "img{}.jpg", range(1, 99))
    table(tmp_path / "CASME2-coding-1.xlsx", CASME2_ROWS)
    table(tmp_path / "CASME2-coding-2.xlsx", [CASME2, [1, "EP02_07", "", 5, 9, 20, "", "4", "disgust"]])
    reading = read("casme2", tmp_path)
    assert len(reading.clips) == 2
    assert "read the table CASME2-coding-1.xlsx, CASME2-coding-2.xlsx; no two list the same clip" in reading.notes


@settings(max_examples=20, deadline=None)
@given(
    wrapper=st.sampled_from(["raw [1]", "CASME II (copy)", unicodedata.normalize("NFD", "vidéos é"), "a b", "{x}*?"]),
    subject=st.sampled_from(["sub01", "Sub1", "SUB001", "sub1 "]),
    clip=st.sampled_from(["EP02_01f", "ep2_1F", "EP02_01f "]),
)
def test_names_of_folders_in_every_spelling(tmp_path_factory, wrapper, subject, clip):
    root = tmp_path_factory.mktemp("spelling")
    folder = images(root / wrapper / "CASME2-RAW" / subject / clip, "img{}.jpg", range(40, 99))
    for stray in (".DS_Store", "desktop.ini", "Thumbs.db", "._img50.jpg", "img.lnk"):
        (folder / stray).write_bytes(b"")
    (root / "__MACOSX" / "CASME2-RAW" / "sub01" / "EP02_01f").mkdir(parents=True)
    table(root / "CASME2-coding-20140508.xlsx", CASME2_ROWS)
    table(root / "__MACOSX" / "CASME2-coding-2.xlsx", CASME2_ROWS)
    reading = read("casme2", root)
    assert spans(reading) == CLIP
    assert not reading.problems


def test_a_clip_in_two_spellings_of_its_folder_is_reported(tmp_path):
    for subject in ("sub01", "Sub1"):
        images(tmp_path / subject / "EP02_01f", "img{}.jpg", range(40, 99))
    table(tmp_path / "CASME2-coding-20140508.xlsx", CASME2_ROWS)
    reading = read("casme2", tmp_path)
    assert spans(reading) == CLIP
    (problem,) = reading.problems
    assert problem.where == "sub01/EP02_01f"
    assert problem.expected.endswith("Sub1/EP02_01f is the same clip")


def test_a_data_row_without_a_clip_name_is_reported(tmp_path):
    images(tmp_path / "SMIC-HS-E" / "s09" / "s9_po_02", "image{}.jpg", range(100, 200))
    rows = [SMIC_E, [9, "s09_po_02", 130, "142", 100, "positive"], [9, "s09po03", 130, 142, 100, "positive"]]
    table(tmp_path / "SMIC-HS-E_annotation.xlsx", [*rows, ["157 clips in all"], ["", "see the paper"]])
    reading = read_corpus("smic_e", tmp_path)
    assert [problem.found for problem in reading.problems] == ["'9' and 's09po03'"]
