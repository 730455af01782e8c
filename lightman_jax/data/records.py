"""Records of the readers of all corpora: annotated movements, clips, problems, and the reading of a folder."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

Pool = Literal["micro", "macro"]
POOLS: tuple[Pool, ...] = ("micro", "macro")
Kind = Literal["frames", "video", "pixels", "flow", "landmarks", "simulated"]

MARKER = "STAND_IN.txt"
"""A file of this name at the root of a tree marks its clips as synthetic."""


class DataError(ValueError):
    """The data cannot be used as requested; the message states what was found and what to do next."""


class LostClipError(Exception):
    """A clip that cannot be used; arguments as `Problem`."""


UNKNOWN_SPAN = (0, 0, 0)
"""`RawClip.numbers` of landmarks without an annotated span."""


class GivenLandmarks(NamedTuple):
    """A file of landmarks, and the number of the onset frame in it, from 1."""

    path: Path
    frame: int = 1


@dataclasses.dataclass(frozen=True)
class Movement:
    """Annotation of one movement, from a table row or, without a table, from the name of its folder; texts as written.

    Attributes:
      where: the row or folder, for messages.
      name: last part of the clip id.
      folder: folder of its images; None if there is none of the name `expected_folder`.
      onset, apex, offset: frame numbers; None if missing.
      fps: frames per second; None for that of the corpus.
      seconds: duration in the table.
      labelled, has_apex, has_span: whether an emotion, an apex, and an onset with an offset are expected.
      first: number of the first image by the table.
      long_video: whether the folder may hold other movements as well.
    """

    where: str
    subject: str
    name: str
    folder: Path | None
    pool: Pool = "micro"
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    emotion: str = ""
    action_units: str = ""
    objective: str = ""
    fps: float | None = None
    seconds: float | None = None
    cropped: bool = False
    labelled: bool = True
    has_apex: bool = False
    has_span: bool = False
    first: int | None = None
    long_video: bool = False
    expected_folder: str = ""
    box: tuple[int, int, int] | None = None
    landmarks: GivenLandmarks | None = None


@dataclasses.dataclass(frozen=True)
class RawClip:
    """One annotated movement of a download, from onset to offset, not yet decoded.

    Attributes:
      clip: `corpus/subject/clip`, unique within a pool.
      subject: `subject_pool/subject`; a subject has the same id in every corpus of its subject pool.
      pool: `micro` or `macro`.
      kind: `frames` (image files), `video` (one video file), `pixels` (one still image in a table cell), `flow` (one
        image of u, v, strain), `landmarks` (a csv file of OpenFace) or `simulated` (no files; `numbers` seed the simulation).
      paths: the images from onset to offset in time order, or the one video, table or flow image.
      numbers: frame number of each image; of a video or landmarks, of each frame from onset to offset; of a table cell, its row.
        Before the check, onset, apex and offset of landmarks with 0 for those that their points shall give.
      apex: position of the apex frame in `numbers`; None if the corpus gives none.
      fps: frames per second; 0 if unknown.
      emotion: label of the corpus in the spelling of `normal_emotion`; empty if it gives none.
      face: face found in the onset frame by the check of the files, the fields of a `FaceBox`; None before that.
      written: label of the corpus letter by letter, without outer blanks; empty if it gives none.
      action_units: numbers of the Facial Action Coding System.
      views: name of the view that each of `paths` shows, for flow images of several views; empty otherwise.
      objective: objective class given by the corpus; empty if it gives none.
      label: class name in the label space; empty until `assign_labels`.
      cropped: whether the images show the face only.
      box: face in the onset frame as given by the corpus, `(top, left, side)` in pixels; None if it gives none.
      landmarks: landmarks given with the clip; None if there are none.
    """

    clip: str
    subject: str
    pool: Pool
    kind: Kind
    paths: tuple[Path, ...]
    numbers: tuple[int, ...] = (0,)
    apex: int | None = None
    fps: float = 0.0
    emotion: str = ""
    action_units: tuple[int, ...] = ()
    objective: str = ""
    label: str = ""
    cropped: bool = False
    box: tuple[int, int, int] | None = None
    written: str = ""
    views: tuple[str, ...] = ()
    face: tuple[int, int, int, str, int, float] | None = None
    landmarks: GivenLandmarks | None = None

    @property
    def corpus(self) -> str:
        """Name of the corpus."""
        return self.clip.split("/", 1)[0]

    @property
    def raw_label(self) -> str:
        """The label letter by letter; `emotion` where the corpus writes none."""
        return self.written or self.emotion


@dataclasses.dataclass(frozen=True)
class Problem:
    """A fault of a download.

    Attributes:
      where: the file, table row or clip.
      expected: what should be there.
      found: what is there.
      remedy: what to do about it.
      lost: whether the clip is left out; otherwise it is used as `remedy` states.
      flag: for a clip that is left out by default, the flag that takes it in, such as `--incomplete=keep`. Such a clip is
        listed, but does not stop a run.
    """

    where: str
    expected: str
    found: str
    remedy: str
    lost: bool = True
    flag: str = ""

    @property
    def reason(self) -> str:
        """All fields but `where` in one sentence."""
        return f"found {self.found}; expected {self.expected}; {self.remedy}"


def faults(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems for which a clip is left out, without those of clips that default settings leave out."""
    return tuple(problem for problem in problems if problem.lost and not problem.flag)


@dataclasses.dataclass(frozen=True)
class Reading:
    """The content of a folder as read by one or more corpora.

    Attributes:
      layout: name of the corpus, or `flow_release`; several are joined by `+`.
      root: the folder; of several folders, that of the first flow release.
      clips: usable clips of both pools.
      problems: rows and clips that cannot be used, or are used with a change.
      notes: remarks that concern the results, for example listed clips without files.
      unlabelled: clips without a class in the label space; set by `assign_labels`.
      folders: the folders, if several were given.
      corrections: one sentence per correction of the annotation table.
      stand_in: whether the clips are marked as synthetic.
    """

    layout: str
    root: Path
    clips: tuple[RawClip, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    stand_in: bool = False
    unlabelled: tuple[RawClip, ...] = ()
    folders: tuple[Path, ...] = ()

    @property
    def place(self) -> str:
        """The given folder, or the comma-separated list of them."""
        return ",".join(map(str, self.folders or (self.root,)))

    @property
    def resolved_place(self) -> str:
        """`place` with absolute paths without links."""
        return ",".join(str(folder.resolve()) for folder in self.folders or (self.root,))
