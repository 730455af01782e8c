"""Folders of a download: case-insensitive names, images in the order of their numbers; stray files and link loops are skipped."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from lightman_jax.data.folders.frame_order import Frames, order_frames

IMAGE_SUFFIXES = frozenset([".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
"""Image files that are read, in corpora and in prediction."""

VIDEO_SUFFIXES = frozenset(
    [".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv", ".y4m"]
)
"""Video files that are read, in corpora and in prediction."""

MAX_IMAGE_PIXELS = 1 << 26
"""Larger images and video frames are refused before they are decoded."""

TABLE_SUFFIXES = frozenset([".csv", ".ods", ".tsv", ".xls", ".xlsm", ".xlsx"])

# Hidden files, locks of spreadsheet programs, and what archives of macOS leave.
_SKIPPED = (".", "~$", "__MACOSX")
_DEPTH = 4


def entries(folder: Path) -> list[Path]:
    """Entries of a folder in order, without hidden files; none if it cannot be read."""
    return [Path(entry.path) for entry in _scan(folder)]


def folders(folder: Path) -> list[Path]:
    """Folders in a folder, in order."""
    # The listing of the directory marks folders: no system call per image.
    return [Path(entry.path) for entry in _scan(folder) if entry.is_dir()]


def child(folder: Path, name: str) -> Path | None:
    """The entry of that name, ignoring case, outer blanks and the form of letters; an exact match is preferred."""
    return min(same_name(folder, name), key=lambda path: path.name != name, default=None)


def same_name(folder: Path, name: str) -> list[Path]:
    """Entries of that name, ignoring case, outer blanks and the form of letters."""
    return [path for path in entries(folder) if plain_name(path.name) == plain_name(name)]


def plain_name(name: str) -> str:
    """A name in lower case, without outer blanks, and in one form of its letters."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def walk(top: Path, depth: int = _DEPTH, enter: Callable[[Path], bool] = lambda _: True) -> Iterator[Path]:
    """A folder and those below it, breadth first; each folder once, whatever links there are, and none below one not entered."""
    seen: set[str] = set()
    level = [top]
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                yield folder
                below.extend(folders(folder) if enter(folder) else ())
        level = below


def find_folders(top: Path, matches: Callable[[Path], bool], depth: int = _DEPTH) -> list[Path]:
    """Matching folders, breadth first, without those inside another matching folder."""
    found: list[Path] = []
    for folder in walk(top, depth, lambda folder: found[-1:] != [folder]):
        if matches(folder):
            found.append(folder)
    return found


def nested_folders(top: Path, outer: str, inner: str = ".*") -> Iterator[Path]:
    """Folders `outer/inner` below a folder, in order; the names match the two patterns, ignoring case."""
    for folder in folders(top):
        if re.fullmatch(outer, folder.name.strip(), re.IGNORECASE):
            yield from (path for path in folders(folder) if re.fullmatch(inner, path.name.strip(), re.IGNORECASE))


def find_files(top: Path, pattern: str, suffixes: Collection[str] = TABLE_SUFFIXES, depth: int = 2) -> list[Path]:
    """Files, by default tables, whose name without suffix matches a pattern, ignoring case, breadth first."""
    return [
        path
        for folder in walk(top, depth)
        for path in entries(folder)
        if path.suffix.lower() in suffixes and re.fullmatch(pattern, path.stem, re.IGNORECASE) and path.is_file()
    ]


def list_frames(folder: Path) -> Frames:
    """Images of a folder, as `order_frames` orders them; without images, the refusal names the files of other types."""
    files = entries(folder)
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    others = Counter() if images else Counter(path.suffix.lower() or "no suffix" for path in files if path.is_file())
    if others:
        found = f"no image, but {', '.join(f'{number} of {suffix}' for suffix, number in others.most_common(3))}"
        way = "name the video itself, or extract its frames" if VIDEO_SUFFIXES & set(others) else "convert them"
        expected, remedy = f"files of {', '.join(sorted(IMAGE_SUFFIXES))}", f"{way}; the clip is left out"
        return Frames((), (), (), (expected, found, remedy))
    return order_frames(images)


def first_image(folder: Path) -> str:
    """Lower-case name of one image of a folder, the first by name; empty if it holds none."""
    names = (entry.name.lower() for entry in _scan(folder))
    return next((name for name in names if Path(name).suffix in IMAGE_SUFFIXES), "")


def below(path: Path, top: Path) -> str:
    """The part of a path below a folder; the whole path if it is elsewhere."""
    return str(path.relative_to(top) if path.is_relative_to(top) else path)


def name_key(name: str) -> str:
    """A name without case, padding of numbers, outer blanks and form of Unicode, equal for all spellings of a folder or clip.

    >>> name_key("spNO.1") == name_key(" spNo.01")
    True
    """
    return re.sub(r"\d+", lambda digits: str(int(digits.group())), plain_name(name))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listing:
            return sorted((e for e in listing if not e.name.startswith(_SKIPPED)), key=lambda e: e.name)
    except (OSError, ValueError):
        return []
