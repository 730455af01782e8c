"""SMIC-HS as downloaded: `HS/s{N}/micro/{negative|positive|surprise}/{clip}/[reg_]image{NNNNNN}.bmp`.

The folder `HS` is looked for below `SMIC_all_cropped` (faces already cropped) before `SMIC_all_raw`. Subject folders and clip
names are padded in some copies and not in others. The release names no apex. A folder `macro` beside `micro`, which SMIC itself
does not have, is read as the subject's macro-expressions.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lightman_jax.data.catalog import EMOTIONS_3, normal_clip, normal_subject
from lightman_jax.data.clips import Problem, RawClip, Reading

NAME = "smic"
LOOKED_FOR = "SMIC's own folders (HS/s1/micro/negative/s1_ne_01/image*.bmp, below SMIC_all_cropped or SMIC_all_raw)"

_PICTURES = {".bmp", ".jpg", ".jpeg", ".png"}
_DEPTH = 3


def find(data_dir: Path) -> Path | None:
    """The folder that holds the subject folders, at most three levels below `data_dir`; a cropped copy comes first."""
    found = [folder for folder in _folders(data_dir, _DEPTH) if any(_subjects(folder))]
    return min(found, key=lambda folder: (not _is_cropped(folder), str(folder)), default=None)


def read_clips(root: Path, corpora: tuple[str, ...]) -> Reading:
    """Read the micro clips of every subject, and macro clips where there are any.

    Args:
      root: from `find`.
      corpora: `("smic",)`; the layout holds no other corpus.
    """
    cropped = _is_cropped(root)
    clips: list[RawClip] = []
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    for subject_folder in _subjects(root):
        subject = f"smic/{normal_subject('smic', subject_folder.name)}"
        for pool in ("micro", "macro"):
            for label, clip_folder in _clip_folders(subject_folder, pool):
                where = str(clip_folder.relative_to(root))
                clip = f"{subject}/{normal_clip('smic', clip_folder.name)}"
                frames = sorted((p for p in clip_folder.iterdir() if p.suffix.lower() in _PICTURES), key=_frame_number)
                if label not in EMOTIONS_3:
                    problems.append(Problem(where, f"class folder {label!r}; {', '.join(EMOTIONS_3)} are allowed"))
                elif len(frames) < 2:
                    problems.append(Problem(where, f"{len(frames)} pictures; a clip needs an onset and an apex frame"))
                elif (pool, clip) in seen:
                    problems.append(Problem(where, f"clip {clip} is there twice"))
                else:
                    seen.add((pool, clip))
                    last = len(frames) - 1
                    paths = tuple(frames)
                    clips.append(RawClip(clip, subject, label, pool, "frames", paths, offset=last, cropped=cropped))
    return Reading(NAME, root, tuple(clips), tuple(problems))


def _is_cropped(root: Path) -> bool:
    return any("cropped" in folder.name.lower() for folder in (root, root.parent))


def _folders(top: Path, depth: int) -> Iterator[Path]:
    yield top
    if depth:
        for path in sorted(top.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _folders(path, depth - 1)


def _subjects(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir() and re.fullmatch(r"s\d+", path.name, flags=re.IGNORECASE) and _named(path, "micro"):
            yield path


def _clip_folders(subject: Path, pool: str) -> Iterator[tuple[str, Path]]:
    pool_folder = _named(subject, pool)
    for label in sorted(pool_folder.iterdir()) if pool_folder else ():
        for clip in sorted(label.iterdir()) if label.is_dir() else ():
            if clip.is_dir():
                yield label.name.lower(), clip


def _named(folder: Path, name: str) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() == name), None)


def _frame_number(path: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", path.stem)
    return (int(numbers[-1]) if numbers else -1, path.name)
