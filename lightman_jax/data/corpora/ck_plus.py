"""CK+: `cohn-kanade-images/S005/001/S005_001_00000001.png`, with `Emotion`, `FACS` and `Landmarks` trees of the same shape.

A sequence runs from a neutral face to the apex, its last image. Many emotion folders are empty: those sequences have only
action units. The landmarks of the first image give the face.
"""

import re
from pathlib import Path

import numpy as np

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus
from lightman_jax.data.corpora.reader import Collector
from lightman_jax.data.folders.trees import below, child, entries, find_folders, first_image, folders, nested_folders


def _find(data_dir: Path) -> list[Path]:
    """Folders that hold subject folders `S005` of sequences `001`."""
    return find_folders(data_dir, lambda folder: any(map(first_image, nested_folders(folder, r"S\d{3}", r"\d{3}"))))


def _read(collector: Collector) -> None:
    emotions, units, landmarks = (_label_trees(collector, kind) for kind in ("emotion", "facs", "landmarks"))
    if not emotions:
        collector.note("no emotions: the folder Emotion of the release was not found")
    for subject in folders(collector.tree):
        for sequence in folders(subject):
            frames = collector.frames(sequence)
            label = _file(emotions, sequence)
            points = _file(landmarks, sequence, first=True)
            number = re.match(r"\s*(\d+)", label.read_text(errors="replace")) if label else None
            if label is not None and (number is None or not 1 <= int(number[1]) <= len(BASIC_EMOTIONS)):
                collector.problem(
                    below(label, collector.data_dir),
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
                action_units=_units(_file(units, sequence)),
                labelled=number is not None,
                box=_box(points) if points else None,
            )


def _label_trees(collector: Collector, kind: str) -> list[Path]:
    """Folders of labels such as `Emotion` or `Emotion_labels/Emotion`, which hold subject folders."""

    def matches(folder: Path) -> bool:
        named = folder.name.lower().startswith(kind)
        return named and any(re.fullmatch(r"S\d{3}", subject.name, re.IGNORECASE) for subject in folders(folder))

    return find_folders(collector.data_dir, matches) or find_folders(collector.tree.parent, matches, 1)


def _file(trees: list[Path], sequence: Path, *, first: bool = False) -> Path | None:
    for top in trees:
        subject = child(top, sequence.parent.name)
        folder = child(subject, sequence.name) if subject else None
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
