"""How corpora of micro-expressions lay out their downloads: one small class a corpus, quirks included.

These writers and the readers in `layouts` say the same facts twice on purpose: a reader is tested against a tree it did not make.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.synthetic.stand_in_files import (
    InventedPerson,
    TreeMaker,
    grey_frame,
    pool_of,
    units_text,
    write_frames,
    write_xls,
    write_xlsx,
)

_SMIC_CODE = {"negative": "ne", "positive": "po", "surprise": "sur"}
_DFME_ID = {"disgust": 2, "happiness": 4, "surprise": 6}


class _Smic:
    """`SMIC_all_cropped/HS/s{N}/{micro|macro}/{class}/{clip}/reg_image{NNNNNN}.bmp`; stray files as real copies have them."""

    def __init__(self, root: Path, camera: str = "HS") -> None:
        self._root = root / "SMIC_all_cropped" / camera

    def add(self, person: InventedPerson) -> None:
        for clip in person.clips:
            name = f"s{person.number}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            folder = self._root / f"s{person.number}" / clip.pool / clip.label / name
            write_frames(folder, clip.frames, "reg_image{:06d}.bmp", start=1)
        (folder / "Thumbs.db").write_bytes(b"")

    def finish(self) -> None:
        pass


class _SmicLong:
    """`SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s01_ne_01/image{N}.jpg` and an annotation table with text rows at its end."""

    def __init__(self, root: Path, camera: str) -> None:
        self._camera = camera
        nested = ("HS",) if camera == "HS" else ()
        self._root = root.joinpath("SMIC-E_raw image", f"{camera}_long", f"SMIC-{camera}-E", *nested)
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for clip in pool_of(person, "micro"):
            name = f"s{person.number:02d}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            first = 559700 + 50 * clip.number
            still = [clip.frames[0]] * 3
            write_frames(
                self._root / f"s{person.number:02d}" / name, [*still, *clip.frames, *still], "image{:06d}.jpg", first
            )
            onset = first + 3
            self._rows.append([person.number, name, onset, onset + len(clip.frames) - 1, first, clip.label])

    def finish(self) -> None:
        own = self._camera if self._camera == "NIR" else ""
        header = ["Subject", "Filename", f"OnsetF{own}", f"OffsetF{own}", "FirstF", "Emotion"]
        notes = [["Frames are counted by the camera."], ["", "s00 stands for nobody"]]
        folder = next(path for path in self._root.parents if path.name.startswith("SMIC-E_raw")).parent
        write_xlsx(folder / f"SMIC-{self._camera}-E_annotation.xlsx", {"Sheet1": [header, *self._rows, *notes]})


class _Casme:
    """`CASME_raw_selected/sub01/EP01_01/EP01_01-{N}.jpg` and an `.xls`: unnamed columns, durations in ms, `\\` for missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(pool_of(person, "micro"), start=1):
            name = f"EP01_{index}" if index == 2 else f"EP01_{index:02d}"
            start = 70 + 10 * clip.number
            # The second camera pads its numbers.
            pattern = f"{name}-{{:03d}}.jpg" if person.number > 3 else f"{name}-{{}}.jpg"
            write_frames(
                self._root / "CASME_raw_selected" / f"sub{person.number:02d}" / name, clip.frames, pattern, start
            )
            count = len(clip.frames)
            apex = "\\" if index == 1 else start + clip.apex
            row = [person.number, name, "", start, apex, "\\", start + count - 1, "", round(500 * clip.apex / 30)]
            self._rows.append([*row, round(1000 * count / 60), units_text(clip), clip.label])

    def finish(self) -> None:
        header = [
            "Subject",
            "Filename",
            "",
            "OnsetF",
            "ApexF1",
            "ApexF2",
            "OffsetF",
            "",
            "Onset",
            "Total",
            "AU",
            "Emotion",
        ]
        write_xls(self._root / "CASME-coded-20190721.xls", {"Sheet1": [header, *self._rows]})


class _Casme2:
    """`CASME2_RAW_selected/sub01/EP02_01f/img{N}.jpg`, a table with two blank columns, `/` for a missing apex, a stray `.lnk`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(pool_of(person, "micro"), start=1):
            name = "EP01_2" if index == 2 else f"EP02_{index:02d}f"
            start = 46 + index
            folder = self._root / "CASME2_RAW_selected" / f"sub{person.number:02d}" / name
            write_frames(folder, clip.frames, "img{}.jpg", start)
            apex = "/" if index == 3 else start + clip.apex
            subject = f"{person.number:02d}" if index % 2 else person.number
            offset = start + len(clip.frames) - 1
            self._rows.append([subject, name, "", start, apex, offset, "", units_text(clip, side="R"), clip.label])
        (folder / "img.lnk").write_bytes(b"")

    def finish(self) -> None:
        header = [
            "Subject",
            "Filename",
            "",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "",
            "Action Units",
            "Estimated Emotion",
        ]
        write_xlsx(self._root / "CASME2-coding-20140508.xlsx", {"Sheet1": [header, *self._rows]})


class SammTree:
    """`SAMM/006/006_1_2/006_05562.jpg` in grey, subjects as numbers in the table, its header below thirteen notes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        """Write a person's pictures and remember the rows of the table."""
        for index, clip in enumerate(pool_of(person, "micro"), start=1):
            subject = f"{person.number:03d}"
            name, start = f"{subject}_1_{index}", 5000 + 100 * index
            grey = [grey_frame(frame) for frame in clip.frames]
            write_frames(self._root / "SAMM" / subject / name, grey, f"{subject}_{{:05d}}.jpg", start)
            offset = start + len(grey) - 1
            units, emotion = units_text(clip), "Other" if clip.label == "others" else clip.label.capitalize()
            row = [
                person.number,
                name,
                f"{person.number}_1",
                start,
                start + clip.apex,
                offset,
                len(grey),
                "Micro - 1/2",
            ]
            self._rows.append([*row, units, emotion, 7 if clip.label == "others" else index % 3 + 1, ""])

    def finish(self) -> None:
        """Write the table."""
        notes = [["Micro-movements coded by certified coders"], *([f"Note {n}"] for n in range(1, 13))]
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
        write_xlsx(self._root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*notes, header, *self._rows]})


class _Casme3C:
    """`part_C/1/1/color/{N}.jpg`, a table of onset, offset and action units, one with a Chinese comma."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        frames: list[NDArray[np.uint8]] = []
        for clip in pool_of(person, "micro"):
            start = len(frames) + 1
            frames += clip.frames
            comma = "\N{FULLWIDTH COMMA}" if clip.number == 2 else ","
            self._rows.append([person.number, 1, start, len(frames), comma.join(map(str, clip.units))])
        write_frames(self._root / "part_C" / str(person.number) / "1" / "color", frames, "{}.jpg", 1)

    def finish(self) -> None:
        rows = [["sub", "count", "onset", "offset", "au"], *self._rows]
        write_xlsx(self._root / "CAS(ME)3_part_C_ME.xlsx", {"Sheet1": rows})


class _FourDme:
    """`gray_micro/{subject}/{clip}/*`, a table with flags a class, a compound emotion and `(k)` marks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(pool_of(person, "micro"), start=1):
            name = f"{person.number}_{index}"
            grey = [grey_frame(frame) for frame in clip.frames]
            write_frames(self._root / "gray_micro" / str(person.number) / name, grey, "{}.jpg", 10)
            emotion = "Surprise+Positive" if (index, person.number) == (1, 1) else clip.label.capitalize()
            units = units_text(clip) + ("(k)" if index == 2 else "")
            self._rows.append([person.number, name, emotion, 10, 10 + clip.apex, 10 + len(grey) - 1, units])

    def finish(self) -> None:
        header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
        write_xlsx(self._root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": [header, *self._rows]})


class _Dfme:
    """`training/sub0003_01/{NNNNN}.png` counted from 0, and a table with a rate for every row."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(pool_of(person, "micro"), start=1):
            name = f"sub{person.number:04d}_{index:02d}"
            write_frames(self._root / "training" / name, clip.frames, "{:05d}.png", 0)
            span = [0, clip.apex, len(clip.frames) - 1]
            subject, number = f"sub{person.number:04d}", _DFME_ID[clip.label]
            rate = (200, 300, 500)[index % 3]
            self._rows.append([subject, name, *span, clip.label, number, rate, units_text(clip)])

    def finish(self) -> None:
        header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
        write_xlsx(self._root / "training_full_with_AU.xlsx", {"Sheet1": [header, *self._rows]})


MICRO_TREES: dict[str, TreeMaker] = {
    "smic": _Smic,
    "smic_vis": lambda root: _Smic(root, "VIS"),
    "smic_nir": lambda root: _Smic(root, "NIR"),
    "smic_e": lambda root: _SmicLong(root, "HS"),
    "smic_e_vis": lambda root: _SmicLong(root, "VIS"),
    "smic_e_nir": lambda root: _SmicLong(root, "NIR"),
    "casme": _Casme,
    "casme2": _Casme2,
    "samm": SammTree,
    "casme3_c": _Casme3C,
    "4dme": _FourDme,
    "dfme": _Dfme,
}
"""Writer of each corpus by its name in the catalogue."""
