"""Other copies of the corpora: different spellings, nesting, table formats and stray files are read unchanged."""

import csv
import shutil

import numpy as np
import openpyxl
import pytest
import xlwt

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.vision.images import write_image

IMAGE = np.full((12, 12, 3), 90, np.uint8)


def frames(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_image(folder / name, IMAGE)


def xlsx(path, rows, sheet="data"):
    book = openpyxl.Workbook()
    book.active.title = "read me"
    page = book.create_sheet(sheet)
    for row in rows:
        page.append(row)
    book.save(path)


def clips(name, folder):
    reading = read_corpus(name, folder)
    assert not [problem for problem in reading.problems if problem.lost], reading.problems
    return {(clip.pool, clip.clip): clip for clip in reading.clips}


def test_casme2_raw_frames_with_a_csv_table(tmp_path):
    frames(tmp_path / "CASME2-RAW" / "CASME2-RAW" / "sub01" / "EP02_01f", [f"img{n}.jpg" for n in range(1, 40)])
    frames(tmp_path / "CASME2-RAW" / "CASME2-RAW" / "Sub09" / "EP09f", [f"img{n}.jpg" for n in range(1, 30)])
    with (tmp_path / "CASME2-coding-updated.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["Estimated Emotion", "Filename", "Subject", "OffsetFrame", "OnsetFrame", "ApexFrame", "Action Units"],
                ["happiness", "EP02_01f", "01", "30", "10", "20", "L12"],
                ["surprise", "EP09f", "9.0", "21", "5", "/", "1+2"],
            ]
        )
    found = clips("casme2", tmp_path)
    first = found["micro", "casme2/sub01/EP02_01f"]
    assert (first.numbers[0], first.apex, len(first.paths), first.action_units) == (10, 10, 21, (12,))
    assert found["micro", "casme2/sub09/EP09f"].apex is None
    assert read_corpus("casme2", tmp_path / "CASME2-RAW" / "..").clips


def test_casme2_prefers_cropped_to_selected_frames(tmp_path):
    for folder, prefix in (("CASME2_RAW_selected", "img"), ("Cropped", "reg_img")):
        frames(tmp_path / folder / "sub01" / "EP02_01f", [f"{prefix}{n}.jpg" for n in range(10, 20)])
    xlsx(
        tmp_path / "CASME2-coding-20190701.xlsx",
        [
            [
                "Subject",
                "Filename",
                None,
                "OnsetFrame",
                "ApexFrame",
                "OffsetFrame",
                None,
                "Action Units",
                "Estimated Emotion",
            ],
            [1, "EP02_01f", None, 10, 14, 19, None, 4, "disgust"],
        ],
    )
    (clip,) = clips("casme2", tmp_path).values()
    assert clip.cropped
    assert clip.action_units == (4,)


def test_casme_with_an_xls_table_and_a_stray_file(tmp_path):
    frames(tmp_path / "Cropped" / "sub20" / "EP12_03", [f"reg_EP12_03-{n:03d}.jpg" for n in range(98, 110)])
    (tmp_path / "Cropped" / "sub20" / "EP12_03" / "Thumbs.db").write_bytes(b"x")
    book = xlwt.Workbook()
    page = book.add_sheet("casme")
    header = ["Subject", "Filename", "", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "", "Onset", "Total", "AU", "Emotion"]
    for line, row in enumerate([header, [20, "EP12_03", "", 98, 103, 104, 108, "", 83, 183, "4", "tense"]]):
        for column, cell in enumerate(row):
            page.write(line, column, cell)
    book.save(str(tmp_path / "CASME-coded-20190721.xls"))
    (clip,) = clips("casme", tmp_path).values()
    assert [clip.numbers[0], clip.numbers[clip.apex], clip.numbers[-1]] == [98, 103, 108]
    assert clip.emotion == "tense"


def test_samm_with_a_longer_preamble_and_four_digit_frames(tmp_path):
    frames(tmp_path / "SAMM" / "SAMM" / "011" / "011_2_1", [f"011_{n:04d}.jpg" for n in range(500, 520)])
    header = [
        "Subject",
        "Filename",
        "Inducement Code",
        "Onset Frame",
        "Apex Frame",
        "Offset Frame",
        "Duration",
        "Micro",
    ]
    header += ["Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
    rows = [[f"note {n}"] for n in range(14)]
    rows += [header, [11, "011_2_1", "2", "500", "510", 519, 20, "Micro - 1/2", "L12 or 14", "Contempt", 7, None]]
    xlsx(tmp_path / "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", rows, "MICRO_ONLY")
    (clip,) = clips("samm", tmp_path).values()
    assert clip.subject == "samm/011"
    assert (clip.emotion, clip.objective, clip.action_units) == ("contempt", "VII", ())


@pytest.mark.parametrize("space", ["SMIC-E_raw image", "SMIC_E_raw_image"])
@pytest.mark.parametrize(("nested", "first"), [(True, 1000), (False, 1)])
def test_smic_e_in_every_spelling_and_with_renumbered_images(tmp_path, space, nested, first):
    root = tmp_path / space / "HS_long" / "SMIC-HS-E" / ("HS" if nested else ".")
    frames(root / "s3" / "s3_po_02", [f"image{n}.jpg" for n in range(first, first + 60)])
    frames(tmp_path / space / "VIS_long" / "SMIC-VIS-E" / "s03" / "s03_po_02", ["image1.jpg", "image2.jpg"])
    rows = [["Subject", "Filename", "OnsetF", "ApexF", "OffsetF", "FirstF", "Emotion"]]
    rows += [[3, "s03_po_02", 1010, 1020, 1030, 1000, "positive"], ["157 clips"], [None, "see the paper"]]
    xlsx(tmp_path / space / "SMIC-HS-E_annotation_2019.xlsx", rows)
    (clip,) = clips("smic_e", tmp_path).values()
    assert clip.clip == "smic_e/s3/s3_po_02"
    assert (clip.numbers[0], clip.apex, clip.numbers[-1]) == (first + 10, 10, first + 30)


def test_mmew_with_subject_folders_and_stills(tmp_path):
    frames(tmp_path / "S03" / "happiness" / "S03-01-002", [f"{n}.jpg" for n in range(1, 20)])
    frames(tmp_path / "Macro_Expression" / "S03" / "repression", ["S03-05-001.jpg"])
    rows = [
        [
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Action Units",
            "Estimated Emotion",
            "remarks",
        ]
    ]
    rows += [["S03", "S03-01-002", 201, 210, 219, "6+12", "happiness", ""]]
    xlsx(tmp_path / "MMEW_Micro_Exp(20).xlsx", rows)
    found = clips("mmew", tmp_path)
    micro, macro = found["micro", "mmew/S03/S03-01-002"], found["macro", "mmew/S03/S03-05-001"]
    assert (micro.numbers[0], micro.apex, micro.numbers[-1]) == (1, 9, 19)
    assert macro.emotion == "others"
    assert micro.subject == macro.subject


def test_casme3_second_release_with_cut_clips_and_capital_letters(tmp_path):
    frames(tmp_path / "Part_A_ME_clip" / "frame" / "spNo.1_J_355", [f"{n}.jpg" for n in range(355, 366)])
    frames(tmp_path / "Part_A_ME_clip" / "depth" / "spNo.1_J_355", ["355.png"])
    rows = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion", "Expression type"]]
    rows += [["spNO.1", "J", "355", "360", "365", "4+L10T", 4, "Others", "Micro-expression"]]
    xlsx(tmp_path / "CAS(ME)3_part_A_v2.xlsx", rows, "label")
    (clip,) = clips("casme3", tmp_path).values()
    assert clip.clip == "casme3/spno.1/j_355"
    assert (clip.emotion, clip.objective, clip.action_units) == ("others", "IV", (4, 10))


def test_casme_squared_with_keys_in_other_columns(tmp_path):
    frames(tmp_path / "rawpic" / "s16" / "16_0505funnyinnovations", [f"img{n:05d}.jpg" for n in range(1, 90)])
    book = openpyxl.Workbook()
    book.active.append([2, "funny_4", 20, 25, 30, "12", "positive", "macro-expression", "happiness"])
    book.active.append([2, "funny_5", 41, 48, 0, "6+12", "positive", "micro-expression", "happiness"])
    book.create_sheet("who").append([2, "s16"])
    book.create_sheet("what").append(["0505", "funny"])
    book.save(tmp_path / "CAS(ME)^2code_final(Updated).xlsx")
    found = clips("casme_squared", tmp_path)
    assert found["macro", "casme_squared/s16/funny_4_20"].apex == 5
    assert found["micro", "casme_squared/s16/funny_5_41"].numbers[-1] == 48


def test_oulu_casia_in_a_nested_folder_with_infrared_only(tmp_path):
    frames(
        tmp_path / "B_OriginalImg" / "B_OriginalImg" / "OriginalImg" / "NI" / "Weak" / "P001" / "Anger",
        ["000.jpeg", "001.jpeg"],
    )
    (clip,) = clips("oulu_casia", tmp_path).values()
    assert clip.emotion == "anger"
    assert any("NI Weak" in note for note in read_corpus("oulu_casia", tmp_path).notes)


def test_ck_plus_with_empty_emotion_folders_in_separate_trees(tmp_path):
    for sequence in ("001", "002"):
        frames(
            tmp_path / "images" / "cohn-kanade-images" / "S010" / sequence,
            [f"S010_{sequence}_{n:08d}.png" for n in (1, 2, 3)],
        )
        (tmp_path / "Emotion" / "S010" / sequence).mkdir(parents=True)
    (tmp_path / "Emotion" / "S010" / "002" / "S010_002_00000003_emotion.txt").write_text("   7.0000000e+00\n")
    (tmp_path / "images" / ".DS_Store").write_bytes(b"")
    found = clips("ck_plus", tmp_path)
    assert [clip.emotion for clip in found.values()] == ["", "surprise"]


def test_megc2019_from_three_raw_downloads_in_one_folder(tmp_path):
    test_casme2_prefers_cropped_to_selected_frames(make(tmp_path / "data" / "CASME II"))
    test_samm_with_a_longer_preamble_and_four_digit_frames(make(tmp_path / "data" / "SAMM"))
    frames(
        tmp_path / "data" / "SMIC" / "SMIC_all_raw" / "HS" / "s01" / "micro" / "negative" / "s01_ne_01",
        ["image1.bmp", "image2.bmp"],
    )
    found = clips("megc2019", tmp_path / "data")
    assert {name.split("/")[0] for _, name in found} == {"smic", "casme2", "samm"}
    shutil.rmtree(tmp_path / "data" / "SAMM")
    assert {name.split("/")[0] for _, name in clips("megc2019", tmp_path / "data")} == {"smic", "casme2"}


def make(folder):
    folder.mkdir(parents=True)
    return folder
