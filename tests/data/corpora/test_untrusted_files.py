"""Untrusted files: paths stay in the data folder, names cannot be formulas or tags, and sizes are limited."""

import contextlib
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from experiments import prepare
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.stand_in_layouts.files import write_xls
from lightman_jax.data.tables.table import read_sheets
from lightman_jax.data.vision.images import read_image, write_image
from tests.inputs import write_flow_release


def write_table(folder, rows):
    (folder / "clips.csv").write_text("clip,subject,label,path\n" + "".join(",".join(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for place in (inside / "a", outside):
        place.mkdir(parents=True)
        for number in (1, 2, 3):
            write_image(place / f"{number}.png", np.full((20, 20, 3), 60 * number, np.uint8))
    (inside / "link").symlink_to(outside)
    return inside


@pytest.mark.parametrize("path", ["../outside", "link", "/etc", "a/../../outside"])
def test_paths_outside_the_folder_of_the_table_are_rejected(folder, path):
    write_table(folder, [("c1", "p1", "positive", "a"), ("c2", "p2", "negative", path)])
    reading = read_corpus("table", folder)
    assert [clip.clip for clip in reading.clips] == ["table/p1/c1"]
    (problem,) = reading.problems
    assert "below" in problem.expected
    assert "line 3" in problem.where
    assert str(Path(folder, path).resolve()) in problem.found


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize(
    "name", ["=cmd|calc", "+cmd", "-1+2", "@sum", "<script>alert(1)</script>", "..", "a\\b", "tab\tbed"]
)
def test_names_that_are_formulas_tags_or_paths_are_rejected(folder, name, column):
    row = ["c2", "p2", "negative", "a"]
    row[column] = name
    write_table(folder, [("c1", "p1", "positive", "a"), row])
    reading = read_corpus("table", folder)
    assert [clip.clip for clip in reading.clips] == ["table/p1/c1"]
    assert reading.problems[0].expected == "a plain name"


@pytest.mark.parametrize("name", ["+1", "-1", "a/../b", "anger/fear"])
def test_numbers_and_slashes_are_accepted_in_labels_alone(folder, name):
    write_table(folder, [("c1", "p1", name, "a"), ("c2", name, "x", "a"), (name, "p2", "x", "a")])
    (clip,) = read_corpus("table", folder).clips
    assert clip.written == name


def test_names_in_every_script_are_accepted(folder):
    write_table(folder, [("clip (1)", "张伟", "positive", "a"), ("c.2-b", "Zoë 3", "surprise", "a")])
    reading = read_corpus("table", folder)
    assert {clip.subject for clip in reading.clips} == {"table/张伟", "table/Zoë 3"}
    assert not reading.problems


def test_oversized_image_is_rejected_before_decoding(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(ValueError, match=r"huge\.png is not an image .* more than \d+ pixels, or damaged"):
        read_image(path)
    assert int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]) <= 1 << 26


def test_preparation_opens_no_network_connection(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data = write_flow_release(tmp_path / "data")
    assert prepare.main(["--dataset=smic", f"--data_dir={data}", f"--data_cache={tmp_path / 'cache'}"]) == 0
    (manifest,) = (tmp_path / "cache").glob("smic-*/manifest.json")
    assert len(load_clips(manifest.parent).micro) == 18


def test_oversized_workbook_is_rejected_before_unpacking(tmp_path):
    path = tmp_path / "clips.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(1 << 20))
        archive.filelist[0].file_size = 600 << 20  # The stated size; the reader must not unpack to find it.
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match=r"clips\.xlsx unpacks to 600 MiB"):
        read_sheets(path)


def test_damaged_workbook_raises_without_output_on_stderr(tmp_path, capfd):
    whole = tmp_path / "clips.xls"
    write_xls(whole, {"coding": [["a", "b"], [1, 2]]})
    content, refused = whole.read_bytes(), 0
    for cut in range(0, len(content), 301):
        whole.write_bytes(content[:cut])
        with contextlib.suppress(DataError):
            read_sheets(whole)
            continue
        refused += 1
    assert refused > 10
    assert capfd.readouterr().err == ""
