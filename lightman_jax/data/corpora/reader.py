"""Clips from annotated movements and their folders of images; every disagreement between the two becomes a problem."""

import contextlib
import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, parse_action_units
from lightman_jax.data.corpora.base import Corpus, normal_emotion, parse_pool
from lightman_jax.data.corpora.coding_tables import read_all, table_files, with_pools
from lightman_jax.data.corpora.corrections import FRAME_FIELDS, Correction, corrected, is_of
from lightman_jax.data.corpora.spans import KEEP_INCOMPLETE, completed, shifted, span, without_zeros
from lightman_jax.data.folders.trees import below, find_files, folders, list_frames, name_key
from lightman_jax.data.records import DataError, LostClipError, Movement, Pool, Problem, RawClip, Reading
from lightman_jax.data.tables.table import Row, Table, read_table

_OBJECTIVE = {str(number): name for number, name in enumerate(OBJECTIVE_CLASSES, start=1)}

K = TypeVar("K", bound=Hashable)


class Collector:
    """Collects the clips and problems of one corpus while a tree of it is read.

    Args:
      data_dir: the given folder.
      tree: the tree of the corpus, found in or below it.
      corpus: the corpus; its name is the layout, unless the reader sets another.
      corrections: corrections of its tables.
      keep_incomplete: whether rows without an onset or an offset are used.
    """

    def __init__(
        self,
        data_dir: Path,
        tree: Path,
        corpus: Corpus,
        corrections: Sequence[Correction] = (),
        *,
        keep_incomplete: bool = False,
    ) -> None:
        self.data_dir, self.tree, self.corpus, self.layout = data_dir, tree, corpus, corpus.name
        self.frames = functools.cache(list_frames)
        self._corrections, self.keep_incomplete = corrections, keep_incomplete
        # Each clip with the place where it was found.
        self._clips: dict[tuple[str, str], tuple[RawClip, str]] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._corrected: list[str] = []
        self._uncorrected = [one for one in corrections if one.clip.split("/")[0] == corpus.name]
        # Folders of rows, and clips of rows that were reported before their folder was known.
        self._used, self._left_out = set[Path](), set[str]()
        self._counted = Counter[str]()
        self._table_folder = tree.parent
        # Example names by folder, for each rule that ordered images.
        self._orders: dict[str, dict[str, str]] = {}
        # Rows of macro-expressions without images are no loss.
        self.micro_only = "macro" not in corpus.pools
        self._apex_column = False
        self._unknown_subjects: set[str] = set()

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn a `LostClipError` raised in this context into a problem."""
        try:
            yield
        except LostClipError as lost:
            self._problems.append(Problem(*lost.args))

    def problem(self, where: str, expected: str, found: str, remedy: str, *, lost: bool = True) -> None:
        """Add a problem; arguments as `Problem`."""
        self._problems.append(Problem(where, expected, found, remedy, lost))

    def note(self, text: str) -> None:
        """Add a remark that concerns the results."""
        if text and text not in self._notes:
            self._notes.append(text)

    def count(self, what: str) -> None:
        """Count a row or clip; `reading` adds a note of the number and `what`."""
        self._counted[what] += 1

    def table_files(self, pattern: str) -> list[Path]:
        """Tables whose names match a pattern, in the given folder or near the images; a `DataError` if there are none."""
        files = table_files(self.data_dir, self.tree, pattern)
        if not files:
            raise DataError(
                f"{self.data_dir} has no annotation table of {self.corpus.title}, nor have the folders above it; looked for "
                f"{self.corpus.looked_for}. Put the table of the release next to its images"
            )
        if not files[0].is_relative_to(self.data_dir):
            self.note(f"the table {files[0].name} was found in {files[0].parent}")
        self._table_folder = files[0].parent
        return files

    def has_table(self, pattern: str) -> bool:
        """Whether there is a table whose name matches a pattern, in the given folder or next to a table found before."""
        return bool(find_files(self.data_dir, pattern) or find_files(self._table_folder, pattern, depth=0))

    def coding_table(
        self,
        pattern: str,
        needed: Sequence[str],
        wanted: Sequence[str] = (),
        optional: Sequence[str] = (),
        **aliases: tuple[str, ...],
    ) -> Table:
        """The rows of the annotation tables whose file names match a pattern; missing columns become problems.

        The column `type`, micro or macro, is always read. Of several tables with the same clips one is read, with a note.

        Raises:
          DataError: no such file, or none of them has the needed columns.
        """

        def read(file: Path) -> Table:
            return read_table(file, needed, wanted, ("type", *optional), **aliases)

        def key(row: Row) -> tuple[str, str, str] | None:
            clip = name_key(row.text("clip"))
            is_note = "onset" in row.cells and not any(row.text(field) for field in FRAME_FIELDS)
            subject = self.corpus.normal_subject(row.text("subject"))
            return None if is_note or not clip else (subject, clip, row.text("onset"))

        tables, choice = read_all(self.table_files(pattern), read, key)
        self.note(choice)
        for table in tables:
            self.report_table(table)
        rows = [row for table in tables for row in table.rows]
        return with_pools(dataclasses.replace(tables[0], rows=tuple(rows)), "type", self.note)

    def first_table(self, pattern: str, *, last: bool = False) -> Path:
        """The first file that `table_files` finds, or the last by name, with a note if there are others."""
        files = self.table_files(pattern)
        chosen = max(files, key=lambda file: file.name) if last else files[0]
        if len(files) > 1:
            others = ", ".join(file.name for file in files if file != chosen)
            self.note(f"read the table {chosen.name}; not used: {others}")
        return chosen

    def report_table(self, table: Table) -> None:
        """Add the notes and problems of a table, and a problem for each wanted column that it lacks."""
        for note in table.notes:
            self.note(note)
        self._problems.extend(table.problems)
        self._left_out.update(map(name_key, table.left_out))
        for field in table.absent:
            expected, found = f"a column for {field.replace('_', ' ')}", f"the columns {', '.join(table.header)}"
            remedy = "name it as in the release; until then it counts as missing in every row"
            self.problem(table.path.name, expected, found, remedy, lost=False)

    def numbers(self, row: Row, *more: str) -> dict[str, int | None]:
        """Onset, apex, offset and `more` frame numbers of a row; a `LostClipError` if a cell is not a whole number."""
        try:
            return {field: row.number(field) for field in ("onset", "apex", "offset", *more)}
        except ValueError as error:
            remedy = "correct the cell; the clip is left out"
            raise LostClipError(row.where, "frame numbers", str(error), remedy) from error

    def pool(self, row: Row, default: Pool | None = None) -> Pool:
        """Pool of a row by its field `type`; `default` if it is empty, a `LostClipError` if it is neither."""
        text = row.text("type")
        pool = parse_pool(text) or (None if text else default)
        if pool is None:
            raise LostClipError(row.where, "type micro or macro", repr(text), "correct the cell; the row is left out")
        if not text and "type" in row.cells:
            self.problem(row.where, "type micro or macro", "none", f"fill the cell; it counts as {pool}", lost=False)
        return pool

    def add_row(self, row: Row, folder: Path | None, **fields: Any) -> None:
        """Add the movement of a table row; `fields` are those of `Movement` that differ from the cells."""
        subject = fields.get("subject", row.text("subject"))
        if self.corpus.subject_format and not (re.search(r"\d", subject) and row.text("clip")):
            return self.pass_over(row)
        if folder is not None:
            self._used.add(folder)
        with self.reporting():
            numbers = {} if "onset" in fields else self.numbers(row, "first")
            texts = {field: row.text(field) for field in ("subject", "emotion", "action_units", "objective")}
            read: dict[str, Any] = {"where": row.where, "name": row.text("clip"), "folder": folder, **texts, **numbers}
            read |= {"labelled": "emotion" in row.cells or "emotion" in fields}
            read |= {"has_apex": "apex" in row.cells, "has_span": bool({"onset", "offset"} & set(row.cells)), **fields}
            if "pool" not in fields:
                read["pool"] = self.pool(row, "micro")
            self.add_movement(Movement(**read))

    def pass_over(self, row: Row) -> None:
        """Report a row without a subject and a clip name of the corpus, unless it is a note: a row without an onset."""
        self._left_out.add(name_key(row.text("clip")))
        with contextlib.suppress(ValueError):
            if row.number("onset") is not None:
                expected = f"a subject and the name of a clip of {self.corpus.title}"
                found = f"{row.text('subject')!r} and {row.text('clip')!r}"
                self.problem(row.where, expected, found, "correct the cell; the row is left out")

    def clip_key(self, subject: str, clip: str) -> tuple[str, str]:
        """Subject id and `name_key` of the clip, equal for all spellings of a clip in folders and tables."""
        return self.corpus.normal_subject(subject), name_key(clip)

    def clip_folders(self) -> dict[tuple[str, str], Path]:
        """Folders `{subject}/{clip}` of the tree by `clip_key`."""
        return self.by_key((self.clip_key(s.name, clip.name), clip) for s in folders(self.tree) for clip in folders(s))

    def by_key(self, pairs: Iterable[tuple[K, Path]]) -> dict[K, Path]:
        """Folders by key; of several with the same key the first is used and the others are reported."""
        found: dict[K, Path] = {}
        for key, folder in pairs:
            if key not in found:
                found[key] = folder
                continue
            expected = f"one copy per clip; {below(found[key], self.data_dir)} is the same clip"
            remedy = "remove one of the two; the other is used"
            self.problem(below(folder, self.data_dir), expected, "a second copy", remedy, lost=False)
        return found

    def by_key_in(self, trees: Iterable[Path], pairs: Callable[[Path], Iterable[tuple[K, Path]]]) -> dict[K, Path]:
        """Folders by key in several trees; those that an earlier tree has are counted in a note."""
        found: dict[K, Path] = {}
        for tree in trees:
            own = self.by_key(pairs(tree))
            if again := own.keys() & found.keys():
                self.note(f"{len(again)} folders of {below(tree, self.data_dir)} are not used: another copy is read")
            found = own | found
        return found

    def add(self, clip: RawClip, where: str) -> None:
        """Add a clip; a second clip of the same id becomes a problem, or a note if another table lists it alike."""
        first, place = self._clips.setdefault((clip.pool, clip.clip), (clip, where))
        if first is clip:
            return
        same = (first.paths, first.apex, first.emotion) == (clip.paths, clip.apex, clip.emotion)
        if same and clip.kind == "frames" and _table(place) != _table(where):
            self.count(f"clips of {_table(where)} are those of {_table(place)}, read once")
        else:
            expected = f"one entry per clip; {clip.clip} is {place} already"
            self.problem(where, expected, f"clip {clip.clip} a second time", "remove one of the two; the first is used")

    def add_folder(self, folder: Path, subject: str, **fields: Any) -> None:
        """Add the movement of a folder of a corpus without a table; `fields` are those of `Movement`."""
        read = {"where": below(folder, self.data_dir), "subject": subject, "name": folder.name, "folder": folder}
        self.add_movement(Movement(**{**read, **fields}))

    def add_movement(self, movement: Movement) -> None:
        """Add an annotated movement; a movement that cannot be used becomes a problem."""
        subject = self.corpus.normal_subject(movement.subject)
        clip = f"{self.corpus.name}/{subject}/{movement.name}"
        changes = self.correct(clip, dataclasses.asdict(movement))
        where = f"{movement.where} ({clip})" if "line" in movement.where else movement.where
        movement = dataclasses.replace(movement, **changes, where=where)
        if subject not in self._unknown_subjects and not self.corpus.check_subject(movement, subject, self.problem):
            self._unknown_subjects.add(subject)
        with self.reporting():
            self.corpus.check_clip_name(movement, subject)
            self._add_movement(movement, clip, f"{self.corpus.subject_pool}/{subject}")

    def correct(self, clip: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Corrected values of a clip, from its values by field; each correction is listed."""
        changes, sentences = corrected(self._corrections, clip, values)
        self._corrected.extend(sentences)
        self._uncorrected = [one for one in self._uncorrected if not is_of(one, clip)]
        return changes

    def _add_movement(self, movement: Movement, clip: str, subject: str) -> None:
        if movement.folder is None and movement.pool == "macro" and self.micro_only:
            return self.count("macro rows of the table have no images in this release")
        if movement.folder is None:
            expected, remedy = f"a folder {movement.expected_folder or clip}", "rename the folder or unpack it again"
            raise LostClipError(movement.where, expected, "none of that name", f"{remedy}; the clip is left out")
        place, frames = below(movement.folder, self.data_dir), self.frames(movement.folder)
        self.corpus.check_emotion(movement)
        if not frames.paths:
            empty = ("images", "an empty folder", "unpack it again; the clip is left out")
            raise LostClipError(place, *(frames.refusal or empty))
        for choice in frames.choices:
            self._orders.setdefault(choice.rule, {})[place] = choice.example
        movement = without_zeros(movement, frames, self.corpus, self.problem)
        movement = shifted(movement, self.corpus.shift(self, movement, frames))
        movement = completed(movement, frames, keep=self.keep_incomplete, report=self.problem)
        onset, apex, offset = span(movement, frames, place, self.problem)
        numbers = frames.numbers[onset : offset + 1]
        self._apex_column |= movement.has_apex
        if movement.has_apex and movement.apex is None:
            remedy = "give one with --corrections, or choose --apex=spot; until then the middle frame is used"
            self.problem(movement.where, "an apex frame", "none", remedy, lost=False)
        self.corpus.check_duration(movement, len(numbers), self.problem)
        record = RawClip(
            clip=clip,
            subject=subject,
            pool=movement.pool,
            kind="frames",
            paths=frames.paths[onset : offset + 1],
            numbers=numbers,
            apex=None if apex is None else apex - onset,
            fps=self.corpus.fps if movement.fps is None else movement.fps,
            emotion=normal_emotion(movement.emotion),
            written=movement.emotion.strip(),
            action_units=parse_action_units(movement.action_units),
            objective=_OBJECTIVE.get(movement.objective, movement.objective),
            cropped=movement.cropped,
            box=movement.box,
            landmarks=movement.landmarks and movement.landmarks._replace(frame=onset + 1),
        )
        self.add(record, movement.where)

    def unused(self, trees: Iterable[Path]) -> None:
        """Report folders of images without a table row."""
        for folder in trees:
            if folder not in self._used and name_key(folder.name) not in self._left_out:
                remedy = "add the row, or rename or remove the folder; it is not used"
                expected = "a row in the table for every folder of images"
                self.problem(below(folder, self.data_dir), expected, "a folder without a row", remedy)

    def reading(self) -> Reading:
        """Everything collected, with the clips in the order of their ids."""
        for one in self._uncorrected:
            remedy = "correct its clip; the correction is not applied"
            self.problem("corrections", f"a clip of {self.corpus.title}", one.clip, remedy, lost=False)
        clips = tuple(sorted((clip for clip, _ in self._clips.values()), key=lambda clip: (clip.clip, clip.pool)))
        without = sum(clip.apex is None and len(clip.paths) > 1 and clip.kind != "flow" for clip in clips)
        if without and not self._apex_column:
            self.note(f"{without} clips of {self.corpus.title} have no apex in the release")
        if incomplete := sum(problem.flag == KEEP_INCOMPLETE for problem in self._problems):
            self.note(
                f"{incomplete} clips of {self.corpus.title} are left out without onset or offset; {KEEP_INCOMPLETE} takes them"
            )
        for rule, examples in self._orders.items():
            place, names = next(iter(examples.items()))
            self.note(f"{rule}: {len(examples)} folders, such as {place} ({names})")
        for what, count in self._counted.items():
            self.note(f"{count} {what}")
        return Reading(
            self.layout, self.data_dir, clips, tuple(self._problems), tuple(self._notes), tuple(self._corrected)
        )


def _table(where: str) -> str:
    """Table of a row from its place."""
    return where.split(" line ")[0].split(",")[0]
