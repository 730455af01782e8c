"""CK+: `cohn-kanade-images/S005/001/S005_001_00000001.png`, with `Emotion`, `FACS` and `Landmarks` trees of the same shape.

A sequence runs from a neutral face to the apex, its last image. Many emotion folders are empty: those sequences have only
action units. The landmarks of the first image give the face.
"""

import re
from pathlib import Path

import numpy as np

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.corpora.trees import child, entries, find_folders, first_image, folders, nested_folders


def _find(data_dir: Path) -> list[Path]:
    """Folders that hold subject folders `S005` of sequences `001`."""
    return find_folders(data_dir, lambda folder: any(map(first_image, nested_folders(folder, r"S\d{3}", r"\d{3}"))))


def _read(collector: Collector) -> None:
    for subject in folders(collector.tree):
        for sequence in folders(subject):
            frames = collector.frames(sequence)
            label = _file(collector, "emotion", sequence)
            landmarks = _file(collector, "landmarks", sequence, first=True)
            number = re.match(r"\s*(\d+)", label.read_text(errors="replace")) if label else None
            if label is not None and (number is None or not 1 <= int(number[1]) <= len(BASIC_EMOTIONS)):
                collector.problem(
                    str(label.relative_to(collector.data_dir)),
                    "an emotion number from 1 to 7",
                    repr(label.read_text(errors="replace")[:20]),
                    "take the file from the release again; the sequence is left out",
                )
                continue
            collector.add_folder(
                sequence,
                subject.name,
                name=f"{subject.name}_{sequence.name}",
                pool="macro",
                apex=frames.numbers[-1] if frames.numbers else None,
                emotion=BASIC_EMOTIONS[int(number[1]) - 1] if number else "",
                action_units=_units(_file(collector, "facs", sequence)),
                labelled=number is not None,
                box=_box(landmarks) if landmarks else None,
            )


def _file(collector: Collector, tree: str, sequence: Path, *, first: bool = False) -> Path | None:
    for top in (collector.tree.parent, collector.data_dir):
        folder = child(top, tree)
        for part in sequence.relative_to(collector.tree).parts:
            folder = child(folder, part) if folder else None
        texts = [path for path in entries(folder) if path.suffix.lower() == ".txt"] if folder else []
        if texts:
            return texts[0 if first else -1]
    return None


def _units(file: Path | None) -> str:
    lines = file.read_text(errors="replace").split("\n") if file else []
    numbers = [line.split()[0] for line in lines if line.split()]
    return "+".join(str(int(float(text))) for text in numbers if re.fullmatch(r"[\d.]+(e\+?\d+)?", text, re.IGNORECASE))


def _box(file: Path) -> tuple[int, int, int] | None:
    """The square around 68 landmarks, a quarter wider and with room for the forehead above the brows."""
    numbers = re.findall(r"[-+.\deE]+", file.read_text(errors="replace"))
    if len(numbers) != 136:
        return None
    points = np.array(numbers, float).reshape(68, 2)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    side = 1.25 * max(right - left, bottom - top)
    return round(bottom + 0.02 * side - side), round((left + right - side) / 2), round(side)


CK_PLUS = Corpus(
    name="ck_plus",
    title="CK+",
    obtain="ask its makers (jeffcohn.net) for it; a signed form is needed",
    looked_for="CK+'s own folders (cohn-kanade-images/S005/001/*.png and Emotion/S005/001/*_emotion.txt)",
    find=_find,
    read=_read,
    subject_format="S{:03d}",
    pools=("macro",),
    fps=30,
    emotions=dict(zip(BASIC_EMOTIONS, (45, 18, 59, 25, 69, 28, 83), strict=True)),
    subjects=118,
    unverified=True,
    classes={"7": BASIC_EMOTIONS},
)
