"""How corpora with macro-expressions, alone or beside micro ones, lay out their downloads; and a table of one's own."""

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
    write_xlsx,
)
from lightman_jax.data.synthetic.stand_in_micro import SammTree
from lightman_jax.data.vision.images import resize_image, write_image

_CK_NUMBER = {"disgust": 3, "happiness": 5, "surprise": 7}
_FER_NUMBER = {"disgust": 1, "happiness": 3, "surprise": 5, "neutral": 6}


class _SammLong:
    """`SAMM_longvideos/006_1/006_1_0001.jpg`, several movements a video; rows below ten notes; SAMM's table beside."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._samm = SammTree(root)
        self._rows: list[list[Any]] = []

    def add(self, person: InventedPerson) -> None:
        video = f"{person.number:03d}_1"
        frames: list[NDArray[np.uint8]] = []
        for index, clip in enumerate(person.clips, start=1):
            start = len(frames) + 1
            frames += [grey_frame(frame) for frame in clip.frames]
            kind = "Micro - 1/2" if clip.pool == "micro" else "Macro"
            name = f"{video}_{index}"
            offset = 0 if index == 2 else len(frames)
            row = [
                person.number,
                name,
                1,
                start,
                start + clip.apex,
                offset,
                len(clip.frames),
                kind,
                units_text(clip),
                "",
            ]
            self._rows.append(row)
        self._rows.append([person.number, f"{video}_90", 1, 0, 3, 5, 5, "Macro", "12", "began before the video"])
        write_frames(self._root / "SAMM_longvideos" / video, frames, f"{video}_{{:04d}}.jpg", 1)
        self._samm.add(person)

    def finish(self) -> None:
        notes = [[f"Note {number}"] for number in range(1, 11)]
        write_xlsx(self._root / "SAMM_LongVideos_V3_Release.xlsx", {"Sheet1": [*notes, *self._rows]})
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
                    write_frames(folder / name, clip.frames, "{}.jpg", 1)
                continue
            write_frames(self._root / "Micro_Expression" / clip.label / name, clip.frames, "{}.jpg", 1)
            before = 120 if clip.number == 2 else 0
            span = [before + 1, before + 1 + clip.apex, before + len(clip.frames)]
            self._rows.append([f"S{person.number:02d}", name, *span, units_text(clip), clip.label, ""])

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
        write_xlsx(self._root / "MMEW_Micro_Exp.xlsx", {"Sheet1": [header, *self._rows]})


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
            self._rows.append(
                [person.number, f"disgust1_{index}", *span, units_text(clip), clip.label, kind, "disgust"]
            )
        folder = self._root / "rawpic" / f"s{subject}" / f"{subject}_0101disgustingteeth"
        write_frames(folder, frames, "img{:03d}.jpg", 1)
        self._people.append(["", f"s{subject}", person.number])

    def finish(self) -> None:
        sheets = {"CASFEcode_final": self._rows, "naming1": self._people, "naming2": [["", "disgust1", "", "0101"]]}
        write_xlsx(self._root / "CAS(ME)^2code_final.xlsx", sheets)


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
                self._micro.append([subject, "a", *span, units_text(clip), clip.number, emotion])
            else:
                self._macro.append([subject, "a", start, start + clip.apex, offset, emotion])
        color = self._root / "part_A" / f"spNo.{person.number}" / "a" / "color"
        write_frames(color, frames, "{}.jpg", 1)
        (color.parent / "depth").mkdir()
        write_image(color.parent / "depth" / "1.png", frames[0])
        (color / f"{len(frames) - 1}.jpg").unlink()

    def finish(self) -> None:
        header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
        write_xlsx(self._root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [header, *self._micro]})
        header = ["sub", "seq", "onset", "apex", "offset", "emotion"]
        name = "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx"
        write_xlsx(self._root / name, {"Sheet1": [header, *self._macro]})


class _CkPlus:
    """`cohn-kanade-images/S005/001/*.png` from neutral to apex, with `Emotion`, `SIMULATED_AU`, `Landmarks`; one has no emotion."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, person: InventedPerson) -> None:
        for index, clip in enumerate(pool_of(person, "macro"), start=1):
            subject, sequence = f"S{person.number:03d}", f"{index:03d}"
            stem = f"{subject}_{sequence}"
            rising = clip.frames[: clip.apex + 1]
            write_frames(self._root / "cohn-kanade-images" / subject / sequence, rising, f"{stem}_{{:08d}}.png", 1)
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
            for clip in pool_of(person, "macro"):
                folder = self._root / light / f"P{person.number:03d}" / clip.label.capitalize()
                if not folder.exists():
                    write_frames(folder, clip.frames[: clip.apex + 1], "{:03d}.jpeg", 0)

    def finish(self) -> None:
        pass


class _Fer2013:
    """`fer2013.csv`: emotion number, 2,304 pixels in one cell, split."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rows: list[str] = []

    def add(self, person: InventedPerson) -> None:
        for clip in pool_of(person, "macro"):
            small = resize_image(grey_frame(clip.frames[clip.apex])[..., 0], 48, 48)
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
            write_frames(self._root / path, clip.frames, "{}.png", 1)
            span = f"1,{1 + clip.apex},{len(clip.frames)}"
            self._rows.append(f"{name},p{person.number},{clip.label},{span},{path},{clip.pool},60,{units_text(clip)}")

    def finish(self) -> None:
        header = "clip,subject,label,onset,apex,offset,path,pool,fps,action_units"
        (self._root / "clips.csv").write_text("\n".join([header, *self._rows]) + "\n", encoding="utf-8")


MACRO_TREES: dict[str, TreeMaker] = {
    "samm_long": _SammLong,
    "mmew": _Mmew,
    "casme_squared": _CasmeSquared,
    "casme3": _Casme3,
    "ck_plus": _CkPlus,
    "oulu_casia": _OuluCasia,
    "fer2013": _Fer2013,
    "table": _Table,
}
"""Writer of each corpus by its name in the catalogue."""
