"""Layouts of the micro-expression corpora, irregularities of the real downloads included."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightman_jax.data.synthetic.stand_in_layouts.files import (
    SyntheticSubject,
    Writer,
    grey_frames,
    joined,
    span,
    units_text,
    write_frames,
    write_xls,
    write_xlsx,
)

_SMIC_CODE = {"negative": "ne", "positive": "po", "surprise": "sur"}
_DFME_ID = {"disgust": 2, "happiness": 4, "surprise": 6}


def _smic(root: Path, subjects: Iterable[SyntheticSubject], camera: str = "HS") -> None:
    """`SMIC_all_cropped/HS/s{N}/{micro|macro}/{class}/{clip}/reg_image{NNNNNN}.bmp`, with stray `Thumbs.db` files."""
    for subject in subjects:
        for clip in subject.clips:
            name = f"s{subject.number}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            folder = root / "SMIC_all_cropped" / camera / f"s{subject.number}" / clip.pool / clip.label / name
            write_frames(folder, clip.frames, "reg_image{:06d}.bmp", start=1)
        (folder / "Thumbs.db").write_bytes(b"")


def _smic_e(root: Path, subjects: Iterable[SyntheticSubject], camera: str) -> None:
    """`SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s01_ne_01/image{N}.jpg` and a table with text rows at its end."""
    nested = ("HS",) if camera == "HS" else ()
    folder = root.joinpath("SMIC-E_raw image", f"{camera}_long", f"SMIC-{camera}-E", *nested)
    suffix = camera if camera == "NIR" else ""
    rows: list[list[Any]] = [["Subject", "Filename", f"OnsetF{suffix}", f"OffsetF{suffix}", "FirstF", "Emotion"]]
    for subject in subjects:
        for clip in subject.of_pool("micro"):
            name = f"s{subject.number:02d}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            first = 559700 + 50 * clip.number
            still = [clip.frames[0]] * 3
            frames = [*still, *clip.frames, *still]
            write_frames(folder / f"s{subject.number:02d}" / name, frames, "image{:06d}.jpg", first)
            onset, _, offset = span(clip, first + 3)
            rows.append([subject.number, name, onset, offset, first, clip.label])
    rows += [["Frames are counted by the camera."], ["", "s00 is not a subject"]]
    write_xlsx(root / f"SMIC-{camera}-E_annotation.xlsx", {"Sheet1": rows})


def _casme(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`CASME_raw_selected/sub01/EP01_01/EP01_01-{N}.jpg` and an `.xls`: unnamed columns, durations in ms, `\\` for missing."""
    header = ["Subject", "Filename", "", "OnsetF", "ApexF1", "ApexF2", "OffsetF", "", "Onset", "Total", "AU", "Emotion"]
    rows: list[list[Any]] = [header]
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("micro"), start=1):
            name = f"EP01_{index}" if index == 2 else f"EP01_{index:02d}"
            start = 70 + 10 * clip.number
            # The second camera pads its numbers.
            pattern = f"{name}-{{:03d}}.jpg" if subject.number > 3 else f"{name}-{{}}.jpg"
            folder = root / "CASME_raw_selected" / f"sub{subject.number:02d}" / name
            write_frames(folder, clip.frames, pattern, start)
            onset, apex, offset = span(clip, start)
            row = [subject.number, name, "", onset, "\\" if index == 1 else apex, "\\", offset, ""]
            times = [round(500 * clip.apex / 30), round(1000 * len(clip.frames) / 60)]
            rows.append([*row, *times, units_text(clip), clip.label])
    write_xls(root / "CASME-coded-20190721.xls", {"Sheet1": rows})


def _casme2(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`CASME2_RAW_selected/sub01/EP02_01f/img{N}.jpg`, a table with two blank columns, `/` for a missing apex, a stray `.lnk`."""
    header = "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion"
    rows: list[list[Any]] = [header.split(",")]
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("micro"), start=1):
            name = "EP01_2" if index == 2 else f"EP02_{index:02d}f"
            folder = root / "CASME2_RAW_selected" / f"sub{subject.number:02d}" / name
            write_frames(folder, clip.frames, "img{}.jpg", 46 + index)
            onset, apex, offset = span(clip, 46 + index)
            number = f"{subject.number:02d}" if index % 2 else subject.number
            apex_text = "/" if index == 3 else apex
            rows.append([number, name, "", onset, apex_text, offset, "", units_text(clip, side="R"), clip.label])
        (folder / "img.lnk").write_bytes(b"")
    write_xlsx(root / "CASME2-coding-20140508.xlsx", {"Sheet1": rows})


def write_samm(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`SAMM/006/006_1_2/006_05562.jpg` in grey, subjects as numbers in the table, its header below thirteen notes."""
    rows: list[list[Any]] = [["Micro-movements coded by certified coders"], *([f"Note {n}"] for n in range(1, 13))]
    header = "Subject,Filename,Inducement Code,Onset Frame,Apex Frame,Offset Frame,Duration,Micro,"
    rows.append((header + "Action Units,Estimated Emotion,Objective Classes,Notes").split(","))
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("micro"), start=1):
            code = f"{subject.number:03d}"
            name, start = f"{code}_1_{index}", 5000 + 100 * index
            write_frames(root / "SAMM" / code / name, grey_frames(clip.frames), f"{code}_{{:05d}}.jpg", start)
            emotion = "Other" if clip.label == "others" else clip.label.capitalize()
            objective = 7 if clip.label == "others" else index % 3 + 1
            labels = ["Micro - 1/2", units_text(clip), emotion, objective, ""]
            numbers = [*span(clip, start), len(clip.frames)]
            rows.append([subject.number, name, f"{subject.number}_1", *numbers, *labels])
    write_xlsx(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": rows})


def _casme3_c(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`part_C/RGB_Depth/part_C/part_C/01/a/color/{N}.jpg`, a table of onset, offset and units, one with a fullwidth comma."""
    rows: list[list[Any]] = [["sub", "count", "onset", "offset", "au"]]
    for subject in subjects:
        frames, placed = joined(subject.of_pool("micro"))
        for clip, (onset, _, offset) in placed:
            comma = "\N{FULLWIDTH COMMA}" if clip.number == 2 else ","
            rows.append([subject.number, 1, onset, offset, comma.join(map(str, clip.units))])
        write_frames(
            root / "part_C" / "RGB_Depth" / "part_C" / "part_C" / f"{subject.number:02d}" / "a" / "color",
            frames,
            "{}.jpg",
            1,
        )
    write_xlsx(root / "CAS(ME)3_part_C_ME.xlsx", {"Sheet1": rows})


def _fourdme(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`gray_micro/{subject}/{clip}/*` and a table with a compound emotion and action units marked `(k)`."""
    rows: list[list[Any]] = [["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]]
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("micro"), start=1):
            name = f"{subject.number}_{index}"
            folder = root / "gray_micro" / str(subject.number) / name
            write_frames(folder, grey_frames(clip.frames), "{}.jpg", 10)
            emotion = "Surprise+Positive" if (index, subject.number) == (1, 1) else clip.label.capitalize()
            units = units_text(clip) + ("(k)" if index == 2 else "")
            rows.append([subject.number, name, emotion, *span(clip, 10), units])
    write_xlsx(root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": rows})


def _dfme(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`training/sub0003_01/{NNNNN}.png` counted from 0, and a table with the fps of every row."""
    rows: list[list[Any]] = [
        ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
    ]
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("micro"), start=1):
            code = f"sub{subject.number:04d}"
            name = f"{code}_{index:02d}"
            write_frames(root / "training" / name, clip.frames, "{:05d}.png", 0)
            fps = (200, 300, 500)[index % 3]
            rows.append([code, name, *span(clip, 0), clip.label, _DFME_ID[clip.label], fps, units_text(clip)])
    write_xlsx(root / "training_full_with_AU.xlsx", {"Sheet1": rows})


MICRO_WRITERS: dict[str, Writer] = {
    "smic": _smic,
    "smic_vis": functools.partial(_smic, camera="VIS"),
    "smic_nir": functools.partial(_smic, camera="NIR"),
    "smic_e": functools.partial(_smic_e, camera="HS"),
    "smic_e_vis": functools.partial(_smic_e, camera="VIS"),
    "smic_e_nir": functools.partial(_smic_e, camera="NIR"),
    "casme": _casme,
    "casme2": _casme2,
    "samm": write_samm,
    "casme3_c": _casme3_c,
    "4dme": _fourdme,
    "dfme": _dfme,
}
"""Writer of each corpus by its name in the catalog."""
