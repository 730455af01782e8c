"""Miniature downloads written by hand: files with the names of images, and tables, without the writers of the package."""

import itertools
from pathlib import Path

import openpyxl
import xlwt

from lightman_jax.data.corpora import read_corpus

_NUMBERS = itertools.count()

CASME2 = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units", "Estimated Emotion"]
CASME3 = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
DFME = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
MMEW = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion", "remarks"]
SAMM = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"]
SAMM += ["Action Units", "Estimated Emotion", "Objective Classes", "Notes"]
SMIC_E = ["Subject", "Filename", "OnsetF", "OffsetF", "FirstF", "Emotion"]


def images(folder, pattern, numbers):
    """Files with names of images, each with a content of its own; no reader of a corpus decodes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / pattern.format(number)).write_bytes(str(next(_NUMBERS)).encode())
    return folder


def table(path, sheets, *, old=None):
    """An Excel table of rows, or of rows by sheet: of the old format if the name ends in xls, or as `old` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheets = sheets if isinstance(sheets, dict) else {"Sheet1": sheets}
    if path.suffix == ".xls" if old is None else old:
        book = xlwt.Workbook()
        for name, rows in sheets.items():
            page = book.add_sheet(name)
            for (line, row), column in ((pair, c) for pair in enumerate(rows) for c in range(len(pair[1]))):
                if row[column] != "":
                    page.write(line, column, row[column])
        book.save(str(path))
    else:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            page = book.create_sheet(name)
            for row in rows:
                page.append([None if cell == "" else cell for cell in row])
        with path.open("wb") as file:
            book.save(file)


def spans(reading):
    """Number of onset, apex and offset of each clip by pool and id."""
    return {
        (clip.pool, clip.clip): (
            clip.numbers[0],
            None if clip.apex is None else clip.numbers[clip.apex],
            clip.numbers[-1],
        )
        for clip in reading.clips
    }


def read(name, folder: Path, **options):
    """A reading without lost clips other than those that a flag takes in."""
    reading = read_corpus(name, folder, **options)
    lost = [problem for problem in reading.problems if problem.lost and not problem.flag]
    assert not lost, lost
    return reading
