"""CK+: `cohn-kanade-images/S005/001/S005_001_00000001.png`, with `Emotion`, `SIMULATED_AU` and `Landmarks` trees of the same shape.

A sequence runs from a neutral face to the apex, its last picture. Many emotion folders are empty: those sequences
have action units alone. The landmarks of the first picture give the face.
"""

import re
from pathlib import Path

import numpy as np

from lightman_jax.data.corpora.reader import Collector, Movement, Source
from lightman_jax.data.corpora.records import Reading
from lightman_jax.data.corpora.trees import child, entries, find_folders, first_picture, folders

NAME = "ck_plus"
LOOKED_FOR = "CK+'s own folders (cohn-kanade-images/S005/001/*.png and Emotion/S005/001/*_emotion.txt)"

_EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")


def find(data_dir: Path, corpus: str) -> list[Path]:
    """Folders that hold subject folders `S005` of sequences `001`."""

    def is_it(folder: Path) -> bool:
        return any(
            re.fullmatch(r"S\d{3}", subject.name, re.IGNORECASE)
            and any(re.fullmatch(r"\d{3}", sequence.name) and first_picture(sequence) for sequence in folders(subject))
            for subject in folders(folder)
        )

    return find_folders(data_dir, is_it)


def read_clips(source: Source) -> Reading:
    """Read every sequence; those without an emotion file keep their action units."""
    collector = Collector(NAME, source)
    for subject in folders(source.tree):
        for sequence in folders(subject):
            frames = collector.frames(sequence)
            label = _file(source, "emotion", sequence)
            landmarks = _file(source, "landmarks", sequence, first=True)
            number = re.match(r"\s*(\d+)", label.read_text(errors="replace")) if label else None
            if label is not None and (number is None or not 1 <= int(number[1]) < len(_EMOTIONS)):
                collector.problem(
                    str(label.relative_to(source.data_dir)),
                    "an emotion number from 1 to 7",
                    repr(label.read_text(errors="replace")[:20]),
                    "take the file from the release again; the sequence is left out",
                )
                continue
            collector.add_movement(
                Movement(
                    where=str(sequence.relative_to(source.data_dir)),
                    subject=subject.name,
                    name=f"{subject.name}_{sequence.name}",
                    folder=sequence,
                    pool="macro",
                    apex=frames.numbers[-1] if frames.numbers else None,
                    emotion=_EMOTIONS[int(number[1])] if number else "",
                    action_units=_units(_file(source, "simulated_au", sequence)),
                    labelled=number is not None,
                    box=_box(landmarks) if landmarks else None,
                )
            )
    return collector.reading()


def _file(source: Source, tree: str, sequence: Path, *, first: bool = False) -> Path | None:
    for top in (source.tree.parent, source.data_dir):
        folder = child(top, tree)
        for part in sequence.relative_to(source.tree).parts:
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
