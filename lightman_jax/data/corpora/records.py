"""What a layout hands on: one record per clip, everything that failed with its reason, and where it came from."""

import dataclasses
from pathlib import Path
from typing import Literal

Pool = Literal["micro", "macro"]
Kind = Literal["frames", "video", "pixels", "flow", "simulated"]


class DataError(ValueError):
    """The data cannot be used as asked; the message says what was found and what to do next."""


@dataclasses.dataclass(frozen=True)
class RawClip:
    """One annotated movement of a real download, from onset to offset, not yet decoded.

    Attributes:
      clip: `corpus/subject/clip`, unique within a pool.
      subject: `people/subject`: one person, one name, in every corpus that filmed them.
      pool: `micro` or `macro`.
      kind: `frames` (pictures), `video` (one film), `pixels` (one still in a table's cell), `flow` (one picture of
        u, v, strain) or `simulated` (no files; `numbers` seed it).
      paths: files of the clip: its pictures from onset to offset in time order, or the one film, table or flow picture.
      numbers: frame number of each picture (of a film: of each frame from onset to offset; of a cell: its table row).
      apex: position in `numbers` of the strongest frame; None where the corpus names none.
      rate: pictures a second; 0 is unknown.
      emotion: as the corpus says, in the spelling of `normal_emotion`; empty where it names none.
      action_units: numbers of the facial action coding system.
      objective: objective class as the corpus says; empty where it names none.
      label: class name in the label space asked for; empty until `assign_labels`.
      cropped: the pictures show the face alone.
      box: the face in the onset frame as the corpus gives it, `(top, left, side)` pixels; None where it gives none.
    """

    clip: str
    subject: str
    pool: Pool
    kind: Kind
    paths: tuple[Path, ...]
    numbers: tuple[int, ...] = (0,)
    apex: int | None = None
    rate: float = 0.0
    emotion: str = ""
    action_units: tuple[int, ...] = ()
    objective: str = ""
    label: str = ""
    cropped: bool = False
    box: tuple[int, int, int] | None = None

    @property
    def corpus(self) -> str:
        """Name of the corpus in the catalogue."""
        return self.clip.split("/", 1)[0]


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something in a download that is not as it should be.

    Attributes:
      where: the file, table row or clip.
      expected: what should be there.
      found: what is there.
      remedy: what to do about it.
      lost: the clip cannot be used; False where it is used all the same, as `remedy` says.
    """

    where: str
    expected: str
    found: str
    remedy: str
    lost: bool = True

    @property
    def reason(self) -> str:
        """All but the place, as one sentence."""
        return f"found {self.found}; expected {self.expected}; {self.remedy}"


@dataclasses.dataclass(frozen=True)
class Reading:
    """All that a layout found below a folder.

    Attributes:
      layout: name of the layout.
      root: the folder it was found in.
      clips: usable clips of both pools.
      problems: rows and clips that failed, or are used with a change.
      notes: what a reader of the result should know, for example listed clips that are not there.
      corrections: corrections of the table that were applied.
      stand_in: the tree is marked as invented.
    """

    layout: str
    root: Path
    clips: tuple[RawClip, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    stand_in: bool = False
