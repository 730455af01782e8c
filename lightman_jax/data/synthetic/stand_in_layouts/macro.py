"""Layouts of the corpora with macro-expressions, with or without micro ones, and of a user's table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.stand_in_layouts.files import (
    SyntheticSubject,
    Writer,
    grey_frames,
    joined,
    span,
    units_text,
    write_frames,
    write_xlsx,
)
from lightman_jax.data.synthetic.stand_in_layouts.micro import write_samm
from lightman_jax.data.vision.given_landmarks import GIVEN_POINTS
from lightman_jax.data.vision.images import resize_image, write_image
from lightman_jax.data.vision.point_movement import mean_points

_CK_NUMBER = {"disgust": 3, "happiness": 5, "surprise": 7}
_FER_NUMBER = {"disgust": 1, "happiness": 3, "surprise": 5, "neutral": 6}
_MMEW_NUMBER = {"happiness": 1, "surprise": 2, "disgust": 4}
_RAVDESS_NUMBER = {"negative": 5, "positive": 3, "surprise": 8}
# Side of the face and largest displacement of a unit, in pixels.
_RAVDESS_FACE, _RAVDESS_PEAK = 300, 12.0


def _samm_long(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`SAMM_longvideos/006_1/006_1_0001.jpg`, several movements per video; rows below ten notes; SAMM's own tree."""
    subjects = list(subjects)
    rows: list[list[Any]] = [[f"Note {number}"] for number in range(1, 11)]
    for subject in subjects:
        video = f"{subject.number:03d}_1"
        frames, placed = joined(subject.clips)
        for index, (clip, (onset, apex, offset)) in enumerate(placed, start=1):
            numbers = [onset, apex, 0 if index == 2 else offset, len(clip.frames)]
            kind = "Micro - 1/2" if clip.pool == "micro" else "Macro"
            rows.append([subject.number, f"{video}_{index}", 1, *numbers, kind, units_text(clip), ""])
        rows.append([subject.number, f"{video}_90", 1, 0, 3, 5, 5, "Macro", "12", "began before the video"])
        write_frames(root / "SAMM_longvideos" / video, grey_frames(frames), f"{video}_{{:04d}}.jpg", 1)
    write_xlsx(root / "SAMM_LongVideos_V3_Release.xlsx", {"Sheet1": rows})
    write_samm(root, subjects)


def _mmew(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """Micro clips without a folder per subject, files renumbered from 1 against the table; macro stills and sequences."""
    header = "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion,remarks"
    rows: list[list[Any]] = [header.split(",")]
    for subject in subjects:
        code = f"S{subject.number:02d}"
        for clip in subject.clips:
            name = f"{code}-{_MMEW_NUMBER[clip.label]:02d}-{clip.number:03d}"
            if clip.pool == "macro":
                folder = root / "Macro_Expression" / code / clip.label
                if clip.label == "happiness":
                    folder.mkdir(parents=True, exist_ok=True)
                    write_image(folder / f"{name}.jpg", clip.frames[clip.apex])
                else:
                    write_frames(folder / name, clip.frames, "{}.jpg", 1)
                continue
            write_frames(root / "Micro_Expression" / clip.label / name, clip.frames, "{}.jpg", 1)
            rows.append([code, name, *span(clip, 121 if clip.number == 2 else 1), units_text(clip), clip.label, ""])
    write_xlsx(root / "MMEW_Micro_Exp.xlsx", {"Sheet1": rows})


def _casme_squared(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`rawpic/s15/15_0101disgustingteeth/img001.jpg`; three worksheets without headers; an offset of 0 means the apex."""
    rows: list[list[Any]] = []
    names: list[list[Any]] = []
    for subject in subjects:
        number = 14 + subject.number
        frames, placed = joined(subject.clips)
        for index, (clip, (onset, apex, offset)) in enumerate(placed, start=1):
            labels = [units_text(clip), clip.label, f"{clip.pool}-expression", "disgust"]
            rows.append([subject.number, f"disgust1_{index}", onset, apex, 0 if index == 2 else offset, *labels])
        folder = root / "rawpic" / f"s{number}" / f"{number}_0101disgustingteeth"
        write_frames(folder, frames, "img{:03d}.jpg", 1)
        names.append(["", f"s{number}", subject.number])
    sheets = {"CASFEcode_final": rows, "naming1": names, "naming2": [["", "disgust1", "", "0101"]]}
    write_xlsx(root / "CAS(ME)^2code_final.xlsx", sheets)


def _casme3(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`part_A/spNo.1/a/color/{N}.jpg` next to `depth`, numbers as text, `spNO` in the tables, one dropped frame."""
    micro: list[list[Any]] = [["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]]
    macro: list[list[Any]] = [["sub", "seq", "onset", "apex", "offset", "emotion"]]
    for subject in subjects:
        frames, placed = joined(subject.clips)
        for clip, (onset, apex, offset) in placed:
            code, emotion = f"spNO.{subject.number}", "happy" if clip.label == "happiness" else clip.label
            if clip.pool == "micro":
                numbers = [str(onset), apex, offset]
                micro.append([code, "a", *numbers, units_text(clip), clip.number, emotion])
            else:
                macro.append([code, "a", onset, apex, offset, emotion])
        color = root / "part_A" / f"spNo.{subject.number}" / "a" / "color"
        write_frames(color, frames, "{}.jpg", 1)
        write_frames(color.parent / "depth", frames[:1], "{}.png", 1)
        (color / f"{len(frames) - 1}.jpg").unlink()
    write_xlsx(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": micro})
    write_xlsx(root / "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx", {"Sheet1": macro})


def _ck_plus(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`cohn-kanade-images/S005/001/*.png` from neutral to apex, with `Emotion`, `FACS`, `Landmarks`; one has no emotion."""
    for subject in subjects:
        for index, clip in enumerate(subject.of_pool("macro"), start=1):
            code, sequence = f"S{subject.number:03d}", f"{index:03d}"
            stem = f"{code}_{sequence}"
            rising = clip.frames[: clip.apex + 1]
            write_frames(root / "cohn-kanade-images" / code / sequence, rising, f"{stem}_{{:08d}}.png", 1)
            last = f"{stem}_{len(rising):08d}"
            points = [(0.1 + 0.8 * (k % 17) / 16, 0.2 + 0.7 * (k // 17) / 3) for k in range(68)]
            height, width = rising[0].shape[:2]
            landmarks = "".join(f"   {x * width:.7e}   {y * height:.7e}\n" for x, y in points)
            texts = {
                ("Emotion", f"{last}_emotion.txt"): f"   {float(_CK_NUMBER[clip.label]):.7e}\n",
                ("FACS", f"{last}_facs.txt"): "".join(f"   {unit:.7e}   3.0000000e+00\n" for unit in clip.units),
                ("Landmarks", f"{stem}_00000001_landmarks.txt"): landmarks,
            }
            for (kind, name), text in texts.items():
                folder = root / kind / code / sequence
                folder.mkdir(parents=True, exist_ok=True)
                if kind != "Emotion" or (subject.number, index) != (1, 1):
                    (folder / name).write_text(text)
        (root / "cohn-kanade-images" / ".DS_Store").write_bytes(b"")


def _oulu_casia(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`B_OriginalImg/VL/Strong/P001/Anger/000.jpeg`, and the same subjects under weak light."""
    for subject in subjects:
        for light in ("Strong", "Weak"):
            for clip in subject.of_pool("macro"):
                folder = root / "B_OriginalImg" / "VL" / light / f"P{subject.number:03d}" / clip.label.capitalize()
                if not folder.exists():
                    write_frames(folder, clip.frames[: clip.apex + 1], "{:03d}.jpeg", 0)


def _fer2013(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`fer2013.csv`: number of the emotion, 2,304 pixels in one cell, split."""
    rows = ["emotion,pixels,Usage"]
    for subject in subjects:
        for clip in subject.of_pool("macro"):
            small = resize_image(grey_frames(clip.frames)[clip.apex][..., 0], 48, 48)
            pixels = " ".join(map(str, small.ravel().tolist()))
            rows.append(f"{_FER_NUMBER[clip.label]},{pixels},Training")
    root.mkdir(parents=True, exist_ok=True)
    (root / "fer2013.csv").write_text("\n".join(rows) + "\n")


def _ravdess(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """`FacialTracking_Actors_01-24/01-01-03-02-01-01-12.csv` of points alone, without the columns `face_id` and `success`."""
    folder = root / "FacialTracking_Actors_01-24"
    folder.mkdir(parents=True)
    header = ",".join(
        ["frame", "timestamp", "confidence", *(f"{axis}_{n}" for axis in "xy" for n in range(GIVEN_POINTS))]
    )
    points = mean_points()[:, :2]
    columns, rows = ((points.T + 0.5) * _RAVDESS_FACE).astype(int).clip(0, _RAVDESS_FACE - 1)
    course = np.interp(np.arange(60), (10, 25, 35, 50), (0, 1, 1, 0))
    for subject in subjects:
        rng = np.random.default_rng(subject.number)
        for clip in subject.of_pool("macro"):
            peak = action_unit_field(dict.fromkeys(clip.units, (_RAVDESS_PEAK, _RAVDESS_PEAK)), _RAVDESS_FACE)[
                rows, columns
            ]
            lines = [header]
            for frame, share in enumerate(course):
                shown = (640, 330) + _RAVDESS_FACE * points + share * peak + rng.normal(0, 0.3, points.shape)
                cells = ",".join(f"{value:.1f}" for value in shown.T.ravel())
                lines.append(f"{frame + 1},{frame / 30:.3f},0.98,{cells}")
            name = f"01-01-{_RAVDESS_NUMBER[clip.label]:02d}-02-01-{clip.number:02d}-{subject.number:02d}.csv"
            (folder / name).write_text("\n".join(lines) + "\n")


def _table(root: Path, subjects: Iterable[SyntheticSubject]) -> None:
    """A user's table of folders of images, with a blank and a non-ASCII letter in the path."""
    rows = ["clip,subject,label,onset,apex,offset,path,pool,fps,action_units"]
    for subject in subjects:
        for clip in subject.clips:
            name = f"{clip.pool}_{clip.label}_{clip.number}"
            path = f"my clips é/{subject.number}/{name}"
            write_frames(root / path, clip.frames, "{}.png", 1)
            numbers = ",".join(map(str, span(clip, 1)))
            rows.append(f"{name},p{subject.number},{clip.label},{numbers},{path},{clip.pool},60,{units_text(clip)}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


MACRO_WRITERS: dict[str, Writer] = {
    "samm_long": _samm_long,
    "mmew": _mmew,
    "casme_squared": _casme_squared,
    "casme3": _casme3,
    "ck_plus": _ck_plus,
    "oulu_casia": _oulu_casia,
    "fer2013": _fer2013,
    "ravdess": _ravdess,
    "table": _table,
}
"""Writer of each corpus by its name in the catalog."""
