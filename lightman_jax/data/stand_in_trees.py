"""How each corpus lays out its download, written from the catalogue's facts: one small class a corpus, quirks included.

These writers and the readers in `layouts` say the same facts twice on purpose: a reader is tested against a tree it
did not make.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.images import grey_image, resize_image, write_image
from lightman_jax.data.simulator import InventedClip


class InventedPerson(NamedTuple):
    """A person's number and all clips of both pools."""

    number: int
    clips: list[InventedClip]


class Tree(Protocol):
    """Writes one corpus: people one after another, then the tables."""

    def add(self, person: InventedPerson) -> None:
        """Write a person's pictures and remember the rows of the table."""

    def finish(self) -> None:
        """Write the tables."""


class _Smic:
    """`SMIC_all_cropped/HS/s{N}/{micro|macro}/{class}/{clip}/reg_image{NNNNNN}.bmp`; stray files as real copies have them."""

    def __init__(self, root: Path, camera: str = "HS") -> None:
        self._root = root / "SMIC_all_cropped" / camera

    def add(self, person: InventedPerson) -> None:
        for clip in person.clips:
            name = f"s{person.number}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            folder = self._root / f"s{person.number}" / clip.pool / clip.label / name
            _write_frames(folder, clip.frames, "reg_image{:06d}.bmp", start=1)
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
        for clip in _pool(person, "micro"):
            name = f"s{person.number:02d}_{_SMIC_CODE[clip.label]}_{clip.number:02d}"
            first = 559700 + 50 * clip.number
            still = [clip.frames[0]] * 3
            _write_frames(
                self._root / f"s{person.number:02d}" / name, [*still, *clip.frames, *still], "image{:06d}.jpg", first
            )
            onset = first + 3
            self._rows.append([person.number, name, onset, onset + len(clip.frames) - 1, first, clip.label])

    def finish(self) -> None:
        own = self._camera if self._camera == "NIR" else ""
        header = ["Subject", "Filename", f"OnsetF{own}", f"OffsetF{own}", "FirstF", "Emotion"]
        notes = [["Frames are counted by the camera."], ["", "s00 stands for nobody"]]
        folder = next(path for path in self._root.parents if path.name.startswith("SMIC-E_raw")).parent
        _write_xlsx(folder / f"SMIC-{self._camera}-E_annotation.xlsx", {"Sheet1": [header, *self._rows, *notes]})


class _Casme:
    """`CASME_raw_selected/sub01/EP01_01/EP01_01-{N}.jpg` and an `.xls`: unnamed columns, durations in ms, `\\` for missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "micro"), start=1):
            name = f"EP01_{index}" if index == 2 else f"EP01_{index:02d}"
            start = 70 + 10 * clip.number
            # The second camera pads its numbers.
            pattern = f"{name}-{{:03d}}.jpg" if person.number > 3 else f"{name}-{{}}.jpg"
            _write_frames(
                self._root / "CASME_raw_selected" / f"sub{person.number:02d}" / name, clip.frames, pattern, start
            )
            count = len(clip.frames)
            apex = "\\" if index == 1 else start + clip.apex
            row = [person.number, name, "", start, apex, "\\", start + count - 1, "", round(500 * clip.apex / 30)]
            self._rows.append([*row, round(1000 * count / 60), _units(clip), clip.label])

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
        _write_xls(self._root / "CASME-coded-20190721.xls", {"Sheet1": [header, *self._rows]})


class _Casme2:
    """`CASME2_RAW_selected/sub01/EP02_01f/img{N}.jpg`, a table with two blank columns, `/` for a missing apex, a stray `.lnk`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "micro"), start=1):
            name = "EP01_2" if index == 2 else f"EP02_{index:02d}f"
            start = 46 + index
            folder = self._root / "CASME2_RAW_selected" / f"sub{person.number:02d}" / name
            _write_frames(folder, clip.frames, "img{}.jpg", start)
            apex = "/" if index == 3 else start + clip.apex
            subject = f"{person.number:02d}" if index % 2 else person.number
            offset = start + len(clip.frames) - 1
            self._rows.append([subject, name, "", start, apex, offset, "", _units(clip, side="R"), clip.label])
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
        _write_xlsx(self._root / "CASME2-coding-20140508.xlsx", {"Sheet1": [header, *self._rows]})


class _Samm:
    """`SAMM/006/006_1_2/006_05562.jpg` in grey, subjects as numbers in the table, its header below thirteen notes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "micro"), start=1):
            subject = f"{person.number:03d}"
            name, start = f"{subject}_1_{index}", 5000 + 100 * index
            grey = [_grey(frame) for frame in clip.frames]
            _write_frames(self._root / "SAMM" / subject / name, grey, f"{subject}_{{:05d}}.jpg", start)
            offset = start + len(grey) - 1
            units, emotion = _units(clip), "Other" if clip.label == "others" else clip.label.capitalize()
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
        _write_xlsx(self._root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*notes, header, *self._rows]})


class _SammLong:
    """`SAMM_longvideos/006_1/006_1_0001.jpg`, several movements a video; rows below ten notes; SAMM's table beside."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._samm = _Samm(root)
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        video = f"{person.number:03d}_1"
        frames: list[NDArray[np.uint8]] = []
        for index, clip in enumerate(person.clips, start=1):
            start = len(frames) + 1
            frames += [_grey(frame) for frame in clip.frames]
            kind = "Micro - 1/2" if clip.pool == "micro" else "Macro"
            name = f"{video}_{index}"
            offset = 0 if index == 2 else len(frames)
            row = [person.number, name, 1, start, start + clip.apex, offset, len(clip.frames), kind, _units(clip), ""]
            self._rows.append(row)
        self._rows.append([person.number, f"{video}_90", 1, 0, 3, 5, 5, "Macro", "12", "began before the video"])
        _write_frames(self._root / "SAMM_longvideos" / video, frames, f"{video}_{{:04d}}.jpg", 1)
        self._samm.add(person)

    def finish(self) -> None:
        notes = [[f"Note {number}"] for number in range(1, 11)]
        _write_xlsx(self._root / "SAMM_LongVideos_V3_Release.xlsx", {"Sheet1": [*notes, *self._rows]})
        self._samm.finish()


class _Mmew:
    """Micro clips without a subject level, numbered from 1 where the table counts on; macro stills and sequences."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        numbers = {"happiness": 1, "surprise": 2, "disgust": 4}
        for clip in person.clips:
            name = f"S{person.number:02d}-{numbers[clip.label]:02d}-{clip.number:03d}"
            if clip.pool == "macro":
                folder = self._root / "Macro_Expression" / f"S{person.number:02d}" / clip.label
                if clip.label == "happiness":
                    folder.mkdir(parents=True, exist_ok=True)
                    write_image(folder / f"{name}.jpg", clip.frames[clip.apex])
                else:
                    _write_frames(folder / name, clip.frames, "{}.jpg", 1)
                continue
            _write_frames(self._root / "Micro_Expression" / clip.label / name, clip.frames, "{}.jpg", 1)
            before = 120 if clip.number == 2 else 0
            span = [before + 1, before + 1 + clip.apex, before + len(clip.frames)]
            self._rows.append([f"S{person.number:02d}", name, *span, _units(clip), clip.label, ""])

    def finish(self) -> None:
        header = [
            "Subject",
            "Filename",
            "OnsetFrame",
            "ApexFrame",
            "OffsetFrame",
            "Action Units",
            "Estimated Emotion",
            "remarks",
        ]
        _write_xlsx(self._root / "MMEW_Micro_Exp.xlsx", {"Sheet1": [header, *self._rows]})


class _CasmeSquared:
    """`rawpic/s15/15_0101disgustingteeth/img001.jpg`; three sheets without headers, an offset of 0 where it is the apex."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []
        self._people: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        subject = 14 + person.number
        frames: list[NDArray[np.uint8]] = []
        for index, clip in enumerate(person.clips, start=1):
            start = len(frames) + 1
            frames += clip.frames
            span = [start, start + clip.apex, 0 if index == 2 else len(frames)]
            kind = f"{clip.pool}-expression"
            self._rows.append([person.number, f"disgust1_{index}", *span, _units(clip), clip.label, kind, "disgust"])
        folder = self._root / "rawpic" / f"s{subject}" / f"{subject}_0101disgustingteeth"
        _write_frames(folder, frames, "img{:03d}.jpg", 1)
        self._people.append(["", f"s{subject}", person.number])

    def finish(self) -> None:
        sheets = {"CASFEcode_final": self._rows, "naming1": self._people, "naming2": [["", "disgust1", "", "0101"]]}
        _write_xlsx(self._root / "CAS(ME)^2code_final.xlsx", sheets)


class _Casme3:
    """`part_A/spNo.1/a/color/{N}.jpg` beside `depth`, numbers as text, `spNO` in the tables, one dropped frame."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._micro: list[list[Any]] = []
        self._macro: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        frames: list[NDArray[np.uint8]] = []
        for clip in person.clips:
            start = len(frames) + 1
            frames += clip.frames
            subject, emotion = f"spNO.{person.number}", "happy" if clip.label == "happiness" else clip.label
            offset = len(frames)
            if clip.pool == "micro":
                span = [str(start), start + clip.apex, 0 if start == 1 else offset]
                self._micro.append([subject, "a", *span, _units(clip), clip.number, emotion])
            else:
                self._macro.append([subject, "a", start, start + clip.apex, offset, emotion])
        color = self._root / "part_A" / f"spNo.{person.number}" / "a" / "color"
        _write_frames(color, frames, "{}.jpg", 1)
        (color.parent / "depth").mkdir()
        write_image(color.parent / "depth" / "1.png", frames[0])
        (color / f"{len(frames) - 1}.jpg").unlink()

    def finish(self) -> None:
        header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
        _write_xlsx(self._root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [header, *self._micro]})
        header = ["sub", "seq", "onset", "apex", "offset", "emotion"]
        name = "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx"
        _write_xlsx(self._root / name, {"Sheet1": [header, *self._macro]})


class _Casme3C:
    """`part_C/1/1/color/{N}.jpg`, a table of onset, offset and action units, one with a Chinese comma."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        frames: list[NDArray[np.uint8]] = []
        for clip in _pool(person, "micro"):
            start = len(frames) + 1
            frames += clip.frames
            comma = "\N{FULLWIDTH COMMA}" if clip.number == 2 else ","
            self._rows.append([person.number, 1, start, len(frames), comma.join(map(str, clip.units))])
        _write_frames(self._root / "part_C" / str(person.number) / "1" / "color", frames, "{}.jpg", 1)

    def finish(self) -> None:
        rows = [["sub", "count", "onset", "offset", "au"], *self._rows]
        _write_xlsx(self._root / "CAS(ME)3_part_C_ME.xlsx", {"Sheet1": rows})


class _FourDme:
    """`gray_micro/{subject}/{clip}/*`, a table with flags a class, a compound emotion and `(k)` marks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "micro"), start=1):
            name = f"{person.number}_{index}"
            grey = [_grey(frame) for frame in clip.frames]
            _write_frames(self._root / "gray_micro" / str(person.number) / name, grey, "{}.jpg", 10)
            emotion = "Surprise+Positive" if (index, person.number) == (1, 1) else clip.label.capitalize()
            units = _units(clip) + ("(k)" if index == 2 else "")
            self._rows.append([person.number, name, emotion, 10, 10 + clip.apex, 10 + len(grey) - 1, units])

    def finish(self) -> None:
        header = ["sub_ID", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"]
        _write_xlsx(self._root / "4DME_Labelling_Micro_release v1.xlsx", {"Sheet1": [header, *self._rows]})


class _Dfme:
    """`training/sub0003_01/{NNNNN}.png` counted from 0, and a table with a rate for every row."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "micro"), start=1):
            name = f"sub{person.number:04d}_{index:02d}"
            _write_frames(self._root / "training" / name, clip.frames, "{:05d}.png", 0)
            span = [0, clip.apex, len(clip.frames) - 1]
            subject, number = f"sub{person.number:04d}", _DFME_ID[clip.label]
            rate = (200, 300, 500)[index % 3]
            self._rows.append([subject, name, *span, clip.label, number, rate, _units(clip)])

    def finish(self) -> None:
        header = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId", "Fps", "AU"]
        _write_xlsx(self._root / "training_full_with_AU.xlsx", {"Sheet1": [header, *self._rows]})


class _CkPlus:
    """`cohn-kanade-images/S005/001/*.png` from neutral to apex, with `Emotion`, `FACS`, `Landmarks`; one has no emotion."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(_pool(person, "macro"), start=1):
            subject, sequence = f"S{person.number:03d}", f"{index:03d}"
            stem = f"{subject}_{sequence}"
            rising = clip.frames[: clip.apex + 1]
            _write_frames(self._root / "cohn-kanade-images" / subject / sequence, rising, f"{stem}_{{:08d}}.png", 1)
            last = f"{stem}_{len(rising):08d}"
            emotion = self._folder("Emotion", subject, sequence)
            if not (person.number == 1 and index == 1):
                (emotion / f"{last}_emotion.txt").write_text(f"   {float(_CK_NUMBER[clip.label]):.7e}\n")
            units = "".join(f"   {unit:.7e}   3.0000000e+00\n" for unit in clip.units)
            (self._folder("FACS", subject, sequence) / f"{last}_facs.txt").write_text(units)
            points = [(0.1 + 0.8 * (k % 17) / 16, 0.2 + 0.7 * (k // 17) / 3) for k in range(68)]
            text = "".join(f"   {x * rising[0].shape[1]:.7e}   {y * rising[0].shape[0]:.7e}\n" for x, y in points)
            (self._folder("Landmarks", subject, sequence) / f"{stem}_00000001_landmarks.txt").write_text(text)
        (self._root / "cohn-kanade-images" / ".DS_Store").write_bytes(b"")

    def finish(self) -> None:
        pass

    def _folder(self, *parts: str) -> Path:
        folder = self._root.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _OuluCasia:
    """`B_OriginalImg/VL/Strong/P001/Anger/000.jpeg`, and the same people under weak light."""

    def __init__(self, root: Path) -> None:
        self._root = root / "B_OriginalImg" / "VL"

    def add(self, person: InventedPerson) -> None:
        for light in ("Strong", "Weak"):
            for clip in _pool(person, "macro"):
                folder = self._root / light / f"P{person.number:03d}" / clip.label.capitalize()
                if not folder.exists():
                    _write_frames(folder, clip.frames[: clip.apex + 1], "{:03d}.jpeg", 0)

    def finish(self) -> None:
        pass


class _Fer2013:
    """`fer2013.csv`: emotion number, 2,304 pixels in one cell, split."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[str] = []

    def add(self, person: InventedPerson) -> None:
        for clip in _pool(person, "macro"):
            small = resize_image(_grey(clip.frames[clip.apex])[..., 0], 48, 48)
            pixels = " ".join(map(str, small.ravel().tolist()))
            self._rows.append(f"{_FER_NUMBER[clip.label]},{pixels},Training")

    def finish(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        (self._root / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *self._rows]) + "\n")


class _Table:
    """A table of one's own with folders of pictures, a blank and a letter beyond ASCII in the path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[str] = []

    def add(self, person: InventedPerson) -> None:
        for clip in person.clips:
            name = f"{clip.pool}_{clip.label}_{clip.number}"
            path = f"my clips é/{person.number}/{name}"
            _write_frames(self._root / path, clip.frames, "{}.png", 1)
            span = f"1,{1 + clip.apex},{len(clip.frames)}"
            self._rows.append(f"{name},p{person.number},{clip.label},{span},{path},{clip.pool},60,{_units(clip)}")

    def finish(self) -> None:
        header = "clip,subject,label,onset,apex,offset,path,pool,fps,action_units"
        (self._root / "clips.csv").write_text("\n".join([header, *self._rows]) + "\n", encoding="utf-8")


TREES: dict[str, Callable[[Path], Tree]] = {
    "smic": _Smic,
    "smic_vis": lambda root: _Smic(root, "VIS"),
    "smic_nir": lambda root: _Smic(root, "NIR"),
    "smic_e": lambda root: _SmicLong(root, "HS"),
    "smic_e_vis": lambda root: _SmicLong(root, "VIS"),
    "smic_e_nir": lambda root: _SmicLong(root, "NIR"),
    "casme": _Casme,
    "casme2": _Casme2,
    "samm": _Samm,
    "samm_long": _SammLong,
    "mmew": _Mmew,
    "casme_squared": _CasmeSquared,
    "casme3": _Casme3,
    "casme3_c": _Casme3C,
    "4dme": _FourDme,
    "dfme": _Dfme,
    "ck_plus": _CkPlus,
    "oulu_casia": _OuluCasia,
    "fer2013": _Fer2013,
    "table": _Table,
}
"""Writer of each corpus by its name in the catalogue."""

_SMIC_CODE = {"negative": "ne", "positive": "po", "surprise": "sur"}
_DFME_ID = {"disgust": 2, "happiness": 4, "surprise": 6}
_CK_NUMBER = {"disgust": 3, "happiness": 5, "surprise": 7}
_FER_NUMBER = {"disgust": 1, "happiness": 3, "surprise": 5, "neutral": 6}


def _pool(person: InventedPerson, pool: str) -> list[InventedClip]:
    return [clip for clip in person.clips if clip.pool == pool]


def _units(clip: InventedClip, side: str = "") -> str:
    return "+".join(f"{side if index == 0 else ''}{unit}" for index, unit in enumerate(clip.units))


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey_image(frame)[..., None], 3, axis=2)


def _write_frames(folder: Path, frames: Sequence[NDArray[np.uint8]], pattern: str, start: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=start):
        write_image(folder / pattern.format(number), frame)


def _write_xlsx(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append([None if cell == "" else cell for cell in row])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def _write_xls(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    import xlwt

    book = xlwt.Workbook()
    for name, rows in sheets.items():
        sheet = book.add_sheet(name)
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                if cell != "":
                    sheet.write(line, column, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(str(path))
