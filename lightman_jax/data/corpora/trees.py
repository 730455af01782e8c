"""Folders of a download: case-insensitive names, images in the order of their numbers; stray files and link loops are skipped."""

import bisect
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = frozenset([".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
"""Image files that are read, in corpora and in prediction."""

VIDEO_SUFFIXES = frozenset(
    [".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"]
)
"""Video files that are read, in corpora and in prediction."""

MAX_IMAGE_PIXELS = 1 << 26
"""Larger images and video frames are refused before they are decoded."""

TABLE_SUFFIXES = frozenset([".csv", ".xls", ".xlsx"])

_DEPTH = 4


class Frames(NamedTuple):
    """Images of a folder in time order, and the number in the name of each."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]

    def at(self, number: int) -> int:
        """Position of a frame number, or of the last image before it if that frame was dropped."""
        return max(0, bisect.bisect_right(self.numbers, number) - 1)


def entries(folder: Path) -> list[Path]:
    """Entries of a folder in order, without hidden files; none if it cannot be read."""
    return [Path(entry.path) for entry in _scan(folder)]


def folders(folder: Path) -> list[Path]:
    """Folders in a folder, in order."""
    # The listing of the directory marks folders: no system call per image.
    return [Path(entry.path) for entry in _scan(folder) if entry.is_dir()]


def child(folder: Path, name: str) -> Path | None:
    """The entry of that name, ignoring case; an exact match is preferred."""
    same = (path for path in entries(folder) if path.name.lower() == name.lower())
    return min(same, key=lambda path: path.name != name, default=None)


def walk(top: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """A folder and those below it, breadth first; each folder once, whatever links there are."""
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


def find_folders(top: Path, matches: Callable[[Path], bool], depth: int = _DEPTH) -> list[Path]:
    """Matching folders, breadth first, without those inside another matching folder."""
    found: list[Path] = []
    for folder in walk(top, depth):
        if not any(folder.is_relative_to(other) for other in found) and matches(folder):
            found.append(folder)
    return found


def nested_folders(top: Path, outer: str, inner: str = ".*") -> Iterator[Path]:
    """Folders `outer/inner` below a folder, in order; the names match the two patterns, ignoring case."""
    for folder in folders(top):
        if re.fullmatch(outer, folder.name, re.IGNORECASE):
            yield from (path for path in folders(folder) if re.fullmatch(inner, path.name, re.IGNORECASE))


def find_files(top: Path, pattern: str, suffixes: Collection[str] = TABLE_SUFFIXES, depth: int = 2) -> list[Path]:
    """Files, by default tables, whose name without suffix matches a pattern, ignoring case, breadth first."""
    return [
        path
        for folder in walk(top, depth)
        for path in entries(folder)
        if path.suffix.lower() in suffixes and re.fullmatch(pattern, path.stem, re.IGNORECASE) and path.is_file()
    ]


def list_frames(folder: Path) -> Frames:
    """Images of a folder, ordered by the last number in their names; of equal numbers the first name counts."""
    numbered: dict[int, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            digits = re.findall(r"\d+", path.stem)
            numbered.setdefault(int(digits[-1]) if digits else -1, path)
    order = sorted(numbered)
    return Frames(tuple(numbered[number] for number in order), tuple(order))


def first_image(folder: Path) -> str:
    """Lower-case name of the first image of a folder; empty if it holds none."""
    names = (entry.name.lower() for entry in _scan(folder))
    return next((name for name in names if Path(name).suffix in IMAGE_SUFFIXES), "")


def below(path: Path, top: Path) -> str:
    """The part of a path below a folder; the whole path if it is elsewhere."""
    return str(path.relative_to(top) if path.is_relative_to(top) else path)


def name_key(name: str) -> str:
    """A name without case, padding of numbers and outer blanks, equal for all spellings of a folder or clip.

    >>> name_key("spNO.1") == name_key(" spNo.01")
    True
    """
    return re.sub(r"\d+", lambda digits: str(int(digits.group())), name.strip().lower())


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return sorted((e for e in listing if not e.name.startswith((".", "~$"))), key=lambda e: e.name)
    except (OSError, ValueError):
        return []
