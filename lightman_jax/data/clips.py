"""What a layout hands on: one record per clip, everything that failed with its reason, and where it came from."""

import dataclasses
from pathlib import Path
from typing import Literal


class DataError(ValueError):
    """The data cannot be used as asked; the message says what was found and what to do next."""


@dataclasses.dataclass(frozen=True)
class RawClip:
    """One labelled clip of a real download, not yet decoded.

    Attributes:
      clip: `corpus/subject/clip`, unique within a pool.
      subject: `corpus/subject`.
      label: class name.
      pool: `micro` or `macro`.
      kind: `frames` (pictures in time order) or `flow` (one picture of u, v, strain).
      paths: files of the clip.
      onset: position in `paths` of the first frame of the movement.
      apex: position of its strongest frame; None where the corpus names none.
      offset: position of its last frame.
      cropped: the pictures show the face alone.
    """

    clip: str
    subject: str
    label: str
    pool: Literal["micro", "macro"]
    kind: Literal["frames", "flow"]
    paths: tuple[Path, ...]
    onset: int = 0
    apex: int | None = None
    offset: int = 0
    cropped: bool = False


@dataclasses.dataclass(frozen=True)
class Problem:
    """A clip or table row that cannot be used, and why."""

    where: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """All that a layout found below a folder.

    Attributes:
      layout: name of the layout.
      root: the folder it was found in.
      clips: usable clips of both pools.
      problems: rows and clips that failed.
      notes: what a reader of the result should know, for example listed clips that are not there.
      stand_in: the tree is marked as invented.
    """

    layout: str
    root: Path
    clips: tuple[RawClip, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    stand_in: bool = False
