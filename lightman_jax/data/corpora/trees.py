"""Folders of a download: names in any case, pictures in the order of their numbers, stray files and link loops passed over."""

import bisect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PICTURES = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff"}
TABLES = {".xlsx", ".xls", ".csv"}
DEPTH = 4
"""How many folders below the one given a corpus is looked for."""


class Frames(NamedTuple):
    """Pictures of a folder in time order and the number each of them has in its name."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]

    def at(self, number: int) -> int:
        """Position of a frame number, or of the last picture before it where that one was dropped."""
        return max(0, bisect.bisect_right(self.numbers, number) - 1)


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in order, without hidden files; nothing if it cannot be read."""
    return [Path(entry.path) for entry in _scan(folder)]


def folders(folder: Path) -> list[Path]:
    """Folders in a folder, in order."""
    # The directory's own listing says what is a folder: no call for each of a million pictures.
    return [Path(entry.path) for entry in _scan(folder) if entry.is_dir()]


def child(folder: Path, name: str) -> Path | None:
    """The entry of that name in any case; an exact one comes first."""
    same = [path for path in entries(folder) if path.name.lower() == name.lower()]
    return next((path for path in same if path.name == name), same[0] if same else None)


def walk(top: Path, depth: int = DEPTH) -> Iterator[Path]:
    """A folder and those below it, the upper ones first; no folder twice, whatever links there are."""
    seen: set[str] = set()
    level = [top]
    for _ in range(depth + 1):
        below = []
        for folder in level:
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                yield folder
                below.extend(folders(folder))
        level = below


def find_folders(top: Path, is_it: Callable[[Path], bool], depth: int = DEPTH) -> list[Path]:
    """Folders of which something holds, the upper ones first, without those that lie in another of them."""
    found: list[Path] = []
    for folder in walk(top, depth):
        if not any(folder.is_relative_to(other) for other in found) and is_it(folder):
            found.append(folder)
    return found


def find_files(top: Path, pattern: str, suffixes: set[str], depth: int = 2) -> list[Path]:
    """Files whose name without suffix matches a pattern in any case, the upper ones first."""
    return [
        path
        for folder in walk(top, depth)
        for path in entries(folder)
        if path.suffix.lower() in suffixes and re.fullmatch(pattern, path.stem, re.IGNORECASE) and path.is_file()
    ]


def list_frames(folder: Path) -> Frames:
    """Pictures of a folder, ordered by the last number in their names; of two with the same number the first name counts."""
    numbered: dict[int, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() in PICTURES:
            digits = re.findall(r"\d+", path.stem)
            numbered.setdefault(int(digits[-1]) if digits else -1, path)
    order = sorted(numbered)
    return Frames(tuple(numbered[number] for number in order), tuple(order))


def clip_folders(root: Path, depth: int = 3) -> Iterator[Path]:
    """Folders below a root that hold pictures, or nothing at all."""
    for folder in walk(root, depth):
        inside = entries(folder)
        if folder != root and (not inside or first_picture(folder)):
            yield folder


def first_picture(folder: Path) -> str:
    """Name of a picture in a folder, lower case; empty if it holds none."""
    return next((entry.name.lower() for entry in _scan(folder) if Path(entry.name).suffix.lower() in PICTURES), "")


def name_key(name: str) -> str:
    """What two spellings of a folder's or clip's name have in common: case, padding of numbers and outer blanks are dropped.

    >>> name_key("spNO.1") == name_key(" spNo.01")
    True
    """
    return re.sub(r"\d+", lambda digits: str(int(digits.group())), name.strip().lower())


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return sorted((e for e in listing if not e.name.startswith((".", "~$"))), key=lambda e: e.name)
    except OSError:
        return []
