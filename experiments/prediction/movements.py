"""Movements that a model predicts: found in a video, or cut out at known frame numbers; labelled clips that adapt the model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError, refuse_unknown
from lightman_jax.data.corpora.labels import LabelSpace, class_of_label
from lightman_jax.data.corpora.subjects import subject_key
from lightman_jax.data.corpora.table_paths import located
from lightman_jax.data.corpora.user_table import read_rows, row_box, row_fps, row_path
from lightman_jax.data.folders.trees import list_frames
from lightman_jax.data.preparation.representation import MotionConfig, is_movement, motion_of_faces
from lightman_jax.data.records import DataError, LostClipError, Problem
from lightman_jax.data.tables.table import Row
from lightman_jax.data.vision.apex import middle_apex, spot_apex
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.movement_kinds import WITH_CLASS
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted, cut_movement, search_movements
from lightman_jax.data.vision.video import CONVERT, Unreadable, Video, find_videos, read_frames
from lightman_jax.data.vision.visible_faces import GivenFace
from lightman_jax.model.saved_model import Model

Span = tuple[int, int, int]
"""Numbers of the onset, apex and offset frame, from 1."""
SPAN = ("onset", "apex", "offset")
_PAIR = 2


class Settings(NamedTuple):
    """How videos are read.

    Attributes:
      spot: thresholds of a movement.
      box: box of the face, or its landmarks in each frame; None searches for it.
      fps: frames per second; 0 takes the number that the file states.
      span: numbers of a known movement; None searches for movements.
    """

    spot: SpotConfig
    box: GivenFace | None = None
    fps: float = 0.0
    span: Span | None = None


class Support(NamedTuple):
    """Labelled clips of a subject: images, class indices, and one printable line per clip."""

    images: NDArray[np.float32]
    label: NDArray[np.int32]
    lines: tuple[str, ...]


def find_movements(
    video: Video,
    settings: Settings,
    on_frame: Callable[[int], None] | None = None,
    on_movement: Callable[[Spotted], None] | None = None,
) -> Search:
    """Search a video, or cut out a known movement; callbacks and errors as in `search_movements` and `cut_movement`.

    Two images are an onset and an apex frame. An apex frame that equals its onset is a `ValueError`.
    """
    frames = read_frames(video, settings.fps)
    spot, box = settings.spot, settings.box
    is_pair = not video.is_file and len(video.paths) == _PAIR
    span = settings.span or ((1, 2, 2) if is_pair else None)
    if span is None:
        fps = settings.fps or video.fps
        search = search_movements(frames, fps, spot, box=box, on_frame=on_frame, on_movement=on_movement)
        return search._replace(notes=frames.notes)
    movement = cut_movement(frames, *span, config=spot, box=box)
    if not is_movement([grey_image(movement.faces[0]), grey_image(movement.faces[movement.apex_place])]):
        raise ValueError(f"no movement: frames {movement.onset} and {movement.apex} are equal")
    if on_movement is not None:
        on_movement(movement)
    return Search((movement,), (), (), movement.offset, whole=True, notes=frames.notes)


def model_image(model: Model, movement: Spotted) -> NDArray[np.float32]:
    """Represent a movement as an input image of a model; with views, those that the movement lacks are NaN.

    Raises:
      ValueError: the movement has none of the views.
    """
    return movement_image(movement, MotionConfig(**model.about["motion"]))


def movement_image(movement: Spotted, config: MotionConfig) -> NDArray[np.float32]:
    """Represent a movement without head motion; errors as of `model_image`."""
    return motion_of_faces(movement.faces, movement.apex_place, config, movement.without_head)


def missing_views(model: Model, image: NDArray[np.float32]) -> tuple[str, ...]:
    """Names of the views that an input image lacks."""
    return tuple(name for name, view in zip(model.views, image, strict=False) if np.isnan(view).all())


def missing_text(movement: Spotted, missing: Sequence[str]) -> str:
    """Why a movement lacks views, in words; empty if it lacks none."""
    why = "no frame after the apex" if movement.offset == movement.apex else "no movement on the way there or back"
    return f"{why}, so without {', '.join(missing)}" if missing else ""


def no_movement_reason(search: Search, config: SpotConfig) -> str:
    """Explain why a search found no movement."""
    if search.frames == 0:
        return f"no frame can be decoded; {CONVERT}"
    if search.frames == 1:
        return "a single image has no movement; give onset and apex, or a video"
    if search.frames == _PAIR:
        return "two frames of a video show no rise and fall; if they are onset and apex, give --onset=1 --apex=2"
    if search.gaps and not search.curve:
        longest = max(search.gaps, key=lambda gap: gap.last - gap.first)
        return f"{longest.reason} (frames {longest.first} to {longest.last} of {search.frames})"
    peak = max((point.pixels for point in search.curve), default=0.0)
    if peak >= config.min_pixels:
        return (
            "the face moves or the frames are noisy, but no movement clearly rises and falls within the video; record from rest to "
            "rest, or give its frames by --onset=N --apex=N"
        )
    return (
        f"no movement exceeds the noise: the strongest has {peak:.2f} pixels on a face 128 wide, at least "
        f"{config.min_pixels:g} are needed; if you see one, give its frames by --onset=N --apex=N"
    )


def check_span(onset: int | None, apex: int | None, offset: int | None) -> Span | None:
    """Frame numbers given as flags; a missing offset is the apex.

    Raises:
      ConfigError: the onset is given without the apex, or an offset without them.
    """
    if onset is None and apex is None and offset is None:
        return None
    if onset is None or apex is None:
        raise ConfigError("give both --onset=N and --apex=N, frames counted from 1")
    return onset, apex, apex if offset is None else offset


def read_support(table: Path, model: Model, settings: Settings) -> Support:
    """Read labelled clips of a subject from a table in the format of `clips.csv`.

    Columns `path` (relative to the table) and `label` (see `class_of_label`); `onset`, `apex`, `offset`, `fps` and `box` where
    known. Without frame numbers the strongest movement of the video is taken.

    Raises:
      ConfigError: the method does not adapt, or the table or one of its rows cannot be used.
    """
    if not model.adapts:
        raise ConfigError(f"networks of method {model.about['method']} do not adapt; leave out --support")
    try:
        read = read_rows(table, required=("path", "label")).complete()
    except DataError as error:
        raise ConfigError(f"--support needs a table with the columns path and label: {error}") from error
    rows = read.rows
    if not rows:
        raise ConfigError(f"{table} has no rows; --support needs the columns path and label, and one row per clip")
    lines = [*read.notes, *_subject_lines(rows)]
    space = LabelSpace(str(model.about.get("labels", "")), tuple(model.classes))
    images, labels = [], []
    for row in rows:
        path, written = row_path(row), row.text("label")
        label = class_of_label(written, space) or written
        refuse_unknown(f"{row.where}: label", label, model.classes)
        try:
            if not path:
                raise ValueError("the path is missing")
            place = located(table.parent, path, row.where)
            movement = _row_movement(row, place, settings, MotionConfig(**model.about["motion"]))
            image = model_image(model, movement)
        except ValueError as error:
            raise ConfigError(f"{row.where}: {path}: {error}. Correct or remove that row") from error
        except LostClipError as lost:
            raise ConfigError(f"{row.where}: {path}: {Problem(*lost.args).reason}") from lost
        images.append(image)
        labels.append(model.classes.index(label))
        given = "" if label == written else f" (written {written!r})"
        line = f"{path} as {label}{given}, frames {movement.onset}-{movement.apex}-{movement.offset}"
        missing = missing_text(movement, missing_views(model, image))
        lines.append(f"{line}; {missing}" if missing else line)
    return Support(np.stack(images), np.array(labels, np.int32), tuple(lines))


def _subject_lines(rows: Sequence[Row]) -> list[str]:
    """A line if the one subject of a table is written in several ways; a `ConfigError` if there are several subjects."""
    written = list(dict.fromkeys(row.text("subject") for row in rows))
    keys = {subject_key(name) for name in written if name}
    if len(keys) > 1:
        raise ConfigError(
            f"--support lists clips of {len(keys)} subjects ({', '.join(written)}); keep the rows of the subject of the inputs"
        )
    return [f"one subject in several spellings: {', '.join(written)}"] if len(set(written) - {""}) > 1 else []


def _row_movement(row: Row, path: Path, settings: Settings, motion: MotionConfig) -> Spotted:
    video = find_videos([str(path)])[0]
    if isinstance(video, Unreadable):
        raise ValueError(video.reason)
    box = row_box(row)
    own_box = settings.box if box is None else FaceBox(*box, "given")
    settings = settings._replace(fps=row_fps(row) or settings.fps, box=own_box)
    onset, apex, offset = (row.number(name) for name in SPAN)
    if onset is apex is offset is None:
        search = find_movements(video, settings._replace(span=None))
        found = [movement for movement in search.movements if movement.kind in WITH_CLASS]
        if not search.movements:
            raise ValueError(no_movement_reason(search, settings.spot))
        if not found:
            kinds = ", ".join(dict.fromkeys(movement.kind for movement in search.movements))
            raise ValueError(f"only {kinds}, which has no class; give onset and apex")
        return max(found, key=lambda movement: -1.0 if np.isnan(movement.pixels) else movement.pixels)
    last = apex if offset is None else offset
    if onset is None or last is None:
        raise ValueError("give the onset and the apex or offset, or leave all three cells empty")
    span = (onset, last if apex is None else apex, last)
    if path.is_dir():
        # As in a corpus, the frame numbers are those in the names of the images.
        frames = list_frames(path)
        if not frames.paths:
            raise ValueError("no images in an order; name a folder of images")
        first, final = frames.numbers[0], frames.numbers[-1]
        if not first <= min(span) <= max(span) <= final:
            raise ValueError(f"the images are numbered {first} to {final}, so frames {span} do not exist")
        video = video._replace(paths=frames.paths)
        span = (frames.at(span[0]) + 1, frames.at(span[1]) + 1, frames.at(span[2]) + 1)
    movement = find_movements(video, settings._replace(span=span)).movements[0]
    if apex is None:
        grey = [grey_image(face) for face in movement.faces]
        index = spot_apex(grey) if motion.apex_policy == "spot" else middle_apex(len(grey))
        movement = movement._replace(apex=movement.onset + index)
    return movement
