"""From an annotated movement and its folder of pictures to a clip, with every way in which the two may disagree named."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, parse_action_units
from lightman_jax.data.corpora.catalog import CORPORA, normal_emotion, normal_subject
from lightman_jax.data.corpora.corrections import Correction, corrected
from lightman_jax.data.corpora.records import Pool, Problem, RawClip, Reading
from lightman_jax.data.corpora.tables import Row, Table
from lightman_jax.data.corpora.trees import Frames, list_frames

_RATE_TOLERANCE = 0.25
_OBJECTIVE = {str(number): name for number, name in enumerate(OBJECTIVE_CLASSES, start=1)}


@dataclasses.dataclass(frozen=True)
class Movement:
    """What a table row, or a folder's name where there is no table, says of one movement.

    Attributes:
      where: the row or folder, for messages.
      subject: as written.
      name: last part of the clip's id.
      folder: of its pictures; None if none is there.
      pool: `micro` or `macro`.
      onset: frame number, as `apex` and `offset`; None where it is missing.
      apex: frame number.
      offset: frame number.
      emotion: as written.
      action_units: as written.
      objective: as written.
      rate: pictures a second; None takes the catalogue's.
      seconds: how long the movement lasts as the table says.
      cropped: the pictures show the face alone.
      labelled: an emotion is expected.
      has_apex: an apex is expected.
      expected_folder: what the folder should be called, for messages.
      box: given face.
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
    rate: float | None = None
    seconds: float | None = None
    cropped: bool = False
    labelled: bool = True
    has_apex: bool = False
    expected_folder: str = ""
    box: tuple[int, int, int] | None = None


class Source(NamedTuple):
    """What a layout reads: the folder given, the tree found below it, the corpus and the corrections that are switched on."""

    data_dir: Path
    tree: Path
    corpus: str
    corrections: tuple[Correction, ...] = ()


class Collector:
    """Gathers the clips of one corpus while its tree is read, and everything that is wrong with it."""

    def __init__(self, layout: str, source: Source) -> None:
        self._layout, self._corpus, self._root, self._corrections = (
            layout,
            source.corpus,
            source.data_dir,
            source.corrections,
        )
        self._clips: dict[tuple[str, str], RawClip] = {}
        self._first: dict[tuple[str, str], str] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._corrected: list[str] = []
        self._frames: dict[Path, Frames] = {}
        self._used: set[Path] = set()
        self._apex_column = False
        self._strangers: set[str] = set()

    def problem(self, where: str, expected: str, found: str, remedy: str, *, lost: bool = True) -> None:
        """Write down something that is not as it should be."""
        self._problems.append(Problem(where, expected, found, remedy, lost))

    def note(self, text: str) -> None:
        """Write down something that a reader of the results should know."""
        if text not in self._notes:
            self._notes.append(text)

    def missing_columns(self, table: Table) -> None:
        """Say which wanted columns a table lacks; what they hold is then taken as missing."""
        for field in table.absent:
            self.problem(
                table.path.name,
                f"a column for {field.replace('_', ' ')}",
                f"the columns {', '.join(table.header)}",
                "name it as the release does; until then it counts as missing in every row",
                lost=False,
            )

    def numbers(self, row: Row, *fields: str) -> list[int | None] | None:
        """Whole numbers of a row; None, and a problem, if a cell is something else."""
        try:
            return [row.number(field) for field in fields]
        except ValueError as error:
            self.problem(row.where, "frame numbers", str(error), "correct the cell; the clip is left out")
            return None

    def add_row(self, row: Row, folder: Path | None, **more: Any) -> None:
        """Take up the movement of a table row; `more` are fields of `Movement` that the row does not hold as they are."""
        fields = ("onset", "apex", "offset")
        numbers = self.numbers(row, *fields)
        if numbers is not None:
            texts = {field: row.text(field) for field in ("subject", "emotion", "action_units", "objective")}
            read: dict[str, Any] = {"where": row.where, "name": row.text("clip"), "folder": folder, **texts}
            read["has_apex"] = "apex" in row.cells
            self.add_movement(Movement(**{**read, **dict(zip(fields, numbers, strict=True)), **more}))

    def frames(self, folder: Path) -> Frames:
        """Pictures of a folder, listed once."""
        if folder not in self._frames:
            self._frames[folder] = list_frames(folder)
        return self._frames[folder]

    def add(self, clip: RawClip, where: str) -> None:
        """Take a clip up, unless one of its name is there already."""
        key = (clip.pool, clip.clip)
        if key in self._clips:
            self.problem(
                where,
                f"one entry a clip; {clip.clip} is {self._first[key]} already",
                f"clip {clip.clip} a second time",
                "remove one of the two; the first is used",
            )
        else:
            self._clips[key], self._first[key] = clip, where

    def add_movement(self, movement: Movement) -> None:
        """Take up an annotated movement, or write down why that cannot be."""
        movement = self._correct(movement)
        subject = normal_subject(CORPORA[self._corpus].people, movement.subject)
        clip = f"{self._corpus}/{subject}/{movement.name}"
        if "line" in movement.where:
            movement = dataclasses.replace(movement, where=f"{movement.where} ({clip})")
        emotion = normal_emotion(movement.emotion)
        known = dict(CORPORA[self._corpus].emotions)
        self._check_person(movement, subject)
        if movement.folder is None:
            return self.problem(
                movement.where,
                f"a folder {movement.expected_folder or clip}",
                "none of that name",
                "rename the folder or unpack it again; the clip is left out",
            )
        self._used.add(movement.folder)
        frames = self.frames(movement.folder)
        place = self._short(movement.folder)
        strange = movement.labelled and known and not set(emotion.split("+")) <= set(known)
        if strange:
            expected = f"an emotion of {', '.join(sorted(known))}"
            self.problem(movement.where, expected, repr(movement.emotion), "correct the label; the clip is left out")
        if not frames.paths:
            self.problem(place, "pictures", "an empty folder", "unpack it again; the clip is left out")
        if strange or not frames.paths:
            return None
        span = self._span(movement, frames, place)
        if span is None:
            return None
        onset, apex, offset = span
        numbers = frames.numbers[onset : offset + 1]
        full = numbers[-1] - numbers[0] + 1
        if len(numbers) < full:
            self.problem(
                place,
                f"{full} pictures numbered {numbers[0]} to {numbers[-1]}",
                f"{len(numbers)}",
                "unpack the folder again if the release has them; the picture before stands in for a dropped one",
                lost=False,
            )
        self._apex_column |= movement.has_apex
        if movement.has_apex and apex is None:
            self.problem(
                movement.where,
                "an apex frame",
                "none",
                "give one by --corrections, or choose --apex=spot; until then the middle frame is used",
                lost=False,
            )
        self._check_rate(movement, len(numbers))
        self.add(
            RawClip(
                clip=clip,
                subject=f"{CORPORA[self._corpus].people}/{subject}",
                pool=movement.pool,
                kind="frames",
                paths=frames.paths[onset : offset + 1],
                numbers=numbers,
                apex=None if apex is None else apex - onset,
                rate=CORPORA[self._corpus].rate if movement.rate is None else movement.rate,
                emotion=emotion,
                action_units=parse_action_units(movement.action_units),
                objective=_OBJECTIVE.get(movement.objective, movement.objective),
                cropped=movement.cropped,
                box=movement.box,
            ),
            movement.where,
        )
        return None

    def unused(self, folders: list[Path]) -> None:
        """Write down folders of pictures that no row of the table names."""
        for folder in folders:
            if folder not in self._used:
                self.problem(
                    self._short(folder),
                    "a row in the table for every folder of pictures",
                    "a folder that no row names",
                    "add the row, or rename or remove the folder; it is not used",
                )

    def reading(self) -> Reading:
        """All that was gathered."""
        clips = tuple(sorted(self._clips.values(), key=lambda clip: (clip.clip, clip.pool)))
        notes = list(self._notes)
        without = sum(clip.apex is None and len(clip.paths) > 1 for clip in clips)
        if without and not self._apex_column:
            notes.append(f"{without} clips of {CORPORA[self._corpus].title} have no apex in the release")
        return Reading(self._layout, self._root, clips, tuple(self._problems), tuple(notes), tuple(self._corrected))

    def _correct(self, movement: Movement) -> Movement:
        key = f"{self._corpus}/{normal_subject(CORPORA[self._corpus].people, movement.subject)}/{movement.name}"
        changes, said = corrected(self._corrections, key, dataclasses.asdict(movement))
        self._corrected.extend(said)
        return dataclasses.replace(movement, **changes) if changes else movement

    def _span(self, movement: Movement, frames: Frames, place: str) -> tuple[int, int | None, int] | None:
        """Positions of onset, apex and offset among the pictures, or None and a problem."""
        first, last = frames.numbers[0], frames.numbers[-1]
        onset = first if movement.onset is None else movement.onset
        apex = movement.apex
        offset = movement.offset if movement.offset is not None else apex if apex is not None else last
        named = f"onset {onset}, apex {'-' if apex is None else apex}, offset {offset}"
        if onset >= offset:
            self.problem(
                movement.where, "an onset before the offset", named, "swap or correct the two; the clip is left out"
            )
            return None
        if apex is not None and not onset <= apex <= offset:
            self.problem(
                movement.where, "an apex from onset to offset", named, "correct the apex; the clip is left out"
            )
            return None
        furthest = offset if apex is None else apex
        if onset < first or onset > last or furthest > last:
            self.problem(
                place,
                f"pictures {onset} to {offset} ({movement.where})",
                f"{len(frames.paths)} pictures numbered {first} to {last}",
                "unpack the folder again or correct the row; the clip is left out",
            )
            return None
        if offset > last:
            self.problem(
                place,
                f"pictures to the offset {offset} ({movement.where})",
                f"{len(frames.paths)} pictures, the last one {last}",
                "unpack the folder again; the clip ends at its last picture",
                lost=False,
            )
        start, end = frames.at(onset), frames.at(min(offset, last))
        if start == end:
            self.problem(place, "two pictures or more", f"one ({named})", "unpack the folder again")
            return None
        return start, None if apex is None else frames.at(apex), end

    def _check_person(self, movement: Movement, subject: str) -> None:
        numbers = CORPORA[self._corpus].subject_numbers
        if (
            numbers
            and subject not in self._strangers
            and int("".join(filter(str.isdecimal, subject)) or -1) not in numbers
        ):
            self._strangers.add(subject)
            self.problem(
                movement.where,
                f"one of {CORPORA[self._corpus].title}'s {len(numbers)} people, numbers {numbers[0]} to {numbers[-1]}",
                f"subject {subject}, who is not known in it",
                "rename the folder, or take the subject out if it is not of this corpus; it is used",
                lost=False,
            )

    def _check_rate(self, movement: Movement, count: int) -> None:
        rate = CORPORA[self._corpus].rate if movement.rate is None else movement.rate
        if movement.rate is not None and not 1 <= movement.rate <= 2000:
            self.problem(
                movement.where,
                "a rate of 1 to 2000 pictures a second",
                f"{movement.rate:g}",
                "correct the cell; nothing but interpolation in time depends on it",
                lost=False,
            )
        elif movement.seconds and rate and abs(count / rate / movement.seconds - 1) > _RATE_TOLERANCE:
            self.problem(
                movement.where,
                f"{movement.seconds * 1000:.0f} ms as the table says",
                f"{count} pictures, {1000 * count / rate:.0f} ms at {rate:g} a second",
                "correct the duration or the frame numbers; the clip is used as its frames say",
                lost=False,
            )

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self._root)) if path.is_relative_to(self._root) else str(path)
