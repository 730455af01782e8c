"""The check of a download: every fault is listed with its place, what was expected, what was found and a remedy."""

import dataclasses
import json
import os
import shutil

import numpy as np
import openpyxl
import pytest

from experiments import prepare
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.corrections import Correction, read_corrections
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.stand_in import stand_in_config, write_stand_in
from lightman_jax.data.tables.table import read_table
from lightman_jax.data.vision.images import read_image, write_image


def stand_in(folder, name, subjects=4):
    return write_stand_in(folder, name, dataclasses.replace(stand_in_config(name), subjects=subjects, side=48))


def edit(path, change):
    book = openpyxl.load_workbook(path)
    change(book.worksheets[0])
    book.save(path)


def check(folder, out, name="dfme", *flags):
    status = prepare.main(
        [
            f"--dataset={name}",
            f"--data_dir={folder}",
            f"--data_cache={out}",
            "--workers=1",
            "--check",
            f"--out={out / 'check.json'}",
            *flags,
        ]
    )
    return status, json.loads((out / "check.json").read_text())


@pytest.fixture
def dfme(tmp_path):
    return stand_in(tmp_path / "dfme", "dfme")


def clip(dfme, row):
    return dfme / "training" / f"sub{row[0]:04d}_{row[1]:02d}"


def test_one_command_lists_twelve_different_faults(dfme, tmp_path, capsys):
    table = dfme / "training_full_with_AU.xlsx"

    def plant(sheet):
        columns = {cell.value: cell.column for cell in sheet[1]}
        lines = {sheet.cell(line, columns["Filename"]).value: line for line in range(2, sheet.max_row + 1)}
        place = lambda name, column: sheet.cell(lines[name], columns[column])  # noqa: E731
        place("sub0001_01", "ApexFrame").value = "/"
        place("sub0001_02", "OnsetFrame").value, place("sub0001_02", "OffsetFrame").value = 6, 0
        place("sub0001_03", "OffsetFrame").value = 60
        place("sub0001_04", "Emotion").value = "hapiness"
        place("sub0001_05", "Fps").value = 30000
        sheet.append([cell.value for cell in sheet[lines["sub0001_06"]]])
        sheet.cell(1, columns["AU"]).value = "Aktion"

    edit(table, plant)
    (clip(dfme, (2, 1)) / "00003.png").write_bytes(b"torn")
    coloured = clip(dfme, (2, 2)) / "00002.png"
    write_image(coloured, np.repeat(read_image(coloured).mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8))
    for path in clip(dfme, (2, 3)).iterdir():
        path.unlink()
    shutil.copytree(clip(dfme, (2, 4)), dfme / "training" / "sub0099_01")
    clip(dfme, (2, 5)).rename(dfme / "training" / "sub0002_05 copy")
    before = {path: path.read_bytes() for path in dfme.rglob("*") if path.is_file()}

    status, found = check(dfme, tmp_path / "out")
    assert status == 1
    assert {path: path.read_bytes() for path in before} == before, "a check must not change files"
    listed = {problem["where"].split(", sheet Sheet1, ")[-1]: problem for problem in found["problems"]}
    text = "\n".join(f"{p['where']}|{p['expected']}|{p['found']}|{p['remedy']}" for p in found["problems"])
    for fault in (
        "an apex frame|none",
        "an onset before the offset|onset 6, apex 3, offset 0",
        "images to the offset 60",
        "'hapiness'",
        "200, 300 or 500 frames per second|30000",
        "clip dfme/sub0001/sub0001_06 a second time",
        "a column for action units|the columns Subject",
        "00003.png|an image|4 bytes that OpenCV cannot decode",
        "00002.png|coloured images as the 6 others|1 grey",
        "sub0002_03|images|an empty folder",
        "sub0099_01|a row in the table for every folder of images|a folder without a row",
        "a folder sub0002_05|none of that name",
    ):
        assert fault in text, fault
    assert all(p[field] for p in found["problems"] for field in ("where", "expected", "found", "remedy"))
    assert len(listed) >= 12
    printed = capsys.readouterr().out
    assert "problems" in printed
    assert "clips can be used" in printed
    clean = {c for c in found["clips_per_subject"] if c.startswith("dfme/sub0003")}
    assert clean, "the other clips are checked"


def test_the_exit_status_is_0_if_default_settings_alone_leave_clips_out(tmp_path, capsys):
    rows = ["clip,subject,label,onset,offset,path,box"]
    for number, onset in enumerate(("1", "1", "")):
        folder = tmp_path / "data" / f"{number}"
        folder.mkdir(parents=True)
        for frame in (1, 2):
            write_image(folder / f"{frame}.png", np.full((16, 16, 3), 40 * number + frame, np.uint8))
        rows.append(f"{number},{number},{'ab'[number % 2]},{onset},2,{number},0 0 16")
    (tmp_path / "data" / "clips.csv").write_text("\n".join(rows))
    status, found = check(tmp_path / "data", tmp_path, "table", "--no_movement=keep")
    assert status == 0
    assert [problem["flag"] for problem in found["problems"]] == ["--incomplete=keep"]
    assert "2 clips can be used; 1 are left out by default" in capsys.readouterr().out
    (tmp_path / "data" / "clips.csv").write_text("\n".join([*rows, "3,3,a,1,2,nothing,"]))
    status, _ = check(tmp_path / "data", tmp_path, "table", "--no_movement=keep")
    assert status == 1
    assert "2 clips can be used; 1 clips or rows cannot; 1 are left out by default" in capsys.readouterr().out


@pytest.mark.slow
def test_the_other_clips_are_prepared_and_the_exit_status_is_1(dfme, tmp_path):
    (clip(dfme, (1, 1)) / "00003.png").write_bytes(b"")
    flags = ["--dataset=dfme", f"--data_dir={dfme}", f"--data_cache={tmp_path / 's'}", "--workers=1"]
    assert prepare.main(flags) == 1
    manifest = json.loads(next((tmp_path / "s").glob("dfme_stand_in-*/manifest.json")).read_text())
    assert manifest["clips"] == {"micro": 23}
    assert len(manifest["sources"]) >= 23 * 7
    assert all(len(digest) == 64 for digest in manifest["sources"].values())
    (problem,) = [p for p in manifest["problems"] if p["lost"]]
    assert "sub0001_01" in problem["where"]


@pytest.mark.parametrize("kind", ["locked", "torn", "empty", "huge", "binary"])
def test_a_table_that_cannot_be_read_is_named(dfme, tmp_path, capsys, kind):
    table = dfme / "training_full_with_AU.xlsx"
    content = {
        # An encrypted workbook is a compound file, not a zip archive.
        "locked": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(4096),
        "torn": table.read_bytes()[:700],
        "empty": b"",
        "huge": b"",
        "binary": os.urandom(5000),
    }[kind]
    table.write_bytes(content)
    if kind == "huge":
        with table.open("wb") as file:
            file.truncate(80 << 20)
    assert prepare.main(["--dataset=dfme", f"--data_dir={dfme}", f"--data_cache={tmp_path / 's'}", "--check"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert table.name in error
    assert "Traceback" not in error


def test_cyclic_links_blanks_non_ascii_letters_and_second_copies_are_read(dfme, tmp_path):
    root = tmp_path / "my data é 数据"
    root.mkdir()
    shutil.move(dfme, root / "dfme copy")
    (root / "dfme copy" / "training" / "loop").symlink_to(root, target_is_directory=True)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    reading = read_corpus("dfme", root)
    assert len(reading.clips) == 24
    shutil.copytree(root / "dfme copy" / "training", root / "dfme copy" / "training2", symlinks=True)
    again = read_corpus("dfme", root)
    assert len(again.clips) == 24


def test_two_trees_of_a_corpus_are_not_mixed(tmp_path):
    tree = stand_in(tmp_path / "smic", "smic", subjects=2)
    shutil.copytree(tree / "SMIC_all_cropped", tree / "SMIC_all_raw")
    reading = read_corpus("smic", tree)
    assert len(reading.clips) == 30
    assert {path.relative_to(tree).parts[0] for c in reading.clips for path in c.paths} == {"SMIC_all_cropped"}
    assert any("other copies are not used" in note for note in reading.notes)


def test_identical_clips_under_two_names_are_used_once(dfme, tmp_path):
    shutil.rmtree(clip(dfme, (3, 1)))
    shutil.copytree(clip(dfme, (2, 1)), clip(dfme, (3, 1)))
    status, found = check(dfme, tmp_path / "out")
    assert status == 1
    (copy,) = [p for p in found["problems"] if "byte for byte" in p["found"]]
    assert copy["where"] == "dfme/sub0003/sub0003_01"


def test_a_correction_applies_only_to_the_old_value_it_names(tmp_path):
    tree = stand_in(tmp_path / "casme2", "casme2")
    name = "casme2/sub01/EP02_03f"
    right = Correction(name, "apex", "", "52", "a test")
    stale = Correction("casme2/sub01/EP02_01f", "onset", "1", "2")
    reading = read_corpus("casme2", tree, (right, stale))
    corrected = next(c for c in reading.clips if c.clip == name)
    assert corrected.numbers[corrected.apex] == 52
    assert reading.corrections[0] == "casme2/sub01/EP02_01f: onset is 47, not '1'; correction not applied"
    assert reading.corrections[1] == f"{name}: apex missing -> 52 a test"
    table = tmp_path / "corrections.csv"
    table.write_text("clip,field,old,new,source\n" + f"{name},apex,,52,a test\n")
    assert read_corrections(table) == (right,)
    table.write_text("clip,field,old,new,source\nx,colour,1,2,me\n")
    with pytest.raises(DataError, match="'colour' cannot be corrected; choose one of onset, apex"):
        read_corrections(table)


def test_counts_that_differ_from_the_published_ones_are_reported(tmp_path):
    (stand_in(tmp_path / "casme2", "casme2") / "STAND_IN.txt").unlink()
    status, found = check(tmp_path / "casme2", tmp_path / "out", "casme2")
    assert status == 0
    (count,) = found["counts"]
    assert count["published"] == {"negative": 88, "positive": 32, "surprise": 25}
    assert count["deviation"] == "negative 8 of 88, positive 8 of 32, surprise 8 of 25; 4 of 24 subjects"
    assert "not part of the 3 classes: 8 micro others" in found["notes"]
    _, five = check(tmp_path / "casme2", tmp_path / "out", "casme2", "--labels=4")
    assert five["classes"] == ["negative", "positive", "surprise", "others"]
    assert sum(five["counts"][0]["found"].values()) == 32


def test_the_header_is_found_below_notes_and_under_other_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a note\n\nSUBJECT ,file name,Onset Frame\n1,a,\\\n06,b,12\n", encoding="utf-8")
    table = read_table(path, ("subject", "clip"), ("onset", "apex"))
    assert table.absent == ("apex",)
    assert [(row.text("subject"), row.text("clip"), row.number("onset")) for row in table.rows] == [
        ("1", "a", None),
        ("06", "b", 12),
    ]
    path.write_text("Subject;Filename;Onset\n1;a;x7\n")
    with pytest.raises(ValueError, match="onset is 'x7', not a number"):
        read_table(path, ("subject", "clip"), ("onset",)).rows[0].number("onset")


def test_check_maps_every_label_as_written_to_its_class(tmp_path, capsys):
    folder = tmp_path / "data"
    labels = ["joy", "joy", "Amusement", "fear", "bored"]
    for number, _ in enumerate(labels):
        (folder / str(number)).mkdir(parents=True)
        for frame in (1, 2, 3):
            image = np.full((20, 20, 3), 20 * number + 50 * frame, np.uint8)
            write_image(folder / str(number) / f"{frame}.png", image)
    rows = [f"c{number},anna,{label},{number},1,2,3" for number, label in enumerate(labels)]
    (folder / "clips.csv").write_text("clip,subject,label,path,onset,apex,offset\n" + "\n".join(rows) + "\n")
    _, found = check(folder, tmp_path, "table", "--labels=3")
    (count,) = found["counts"]
    assert count["labels"] == [
        {"written": "fear", "label": "negative", "clips": 1},
        {"written": "joy", "label": "positive", "clips": 2},
        {"written": "Amusement", "label": "positive", "clips": 1},
        {"written": "bored", "label": None, "clips": 1},
    ]
    assert count["found"] == {"negative": 1, "positive": 3, "surprise": 0}
    printed = " ".join(capsys.readouterr().out.split())
    assert "positive │ joy 2, Amusement 1" in printed
    assert "not used │ bored 1" in printed
    _, found = check(folder, tmp_path, "table")
    assert found["classes"] == ["Amusement", "bored", "fear", "joy"]
    assert [(one["written"], one["label"]) for one in found["counts"][0]["labels"]] == [
        (c, c) for c in found["classes"]
    ]
