"""From what a person points at to movements that networks can be asked about: found, or cut out where their frames are known."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lightman_jax.data.vision.video import Unreadable, Video, find_videos, read_frames
from numpy.typing import NDArray

from experiments.cli.flags import ConfigError, refuse_unknown
from lightman_jax.data.preparation.representation import MotionConfig, motion_of_faces
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted, cut_movement, search_movements
from lightman_jax.data.vision.visibility import Whole
from lightman_jax.model.saved_model import Model

Span = tuple[int, int, int]
"""Numbers of onset, apex and offset frame, from 1."""

SPAN = ("onset", "apex", "offset")

_PAIR = 2


class Settings(NamedTuple):
    """How recordings are read: what counts, the face if it is given, frames a second if they are given (else 0)."""

    spot: SpotConfig
    box: FaceBox | Whole | None
    rate: float


class Labelled(NamedTuple):
    """Clips of a person with their classes: images, class numbers, and a line to read on each."""

    images: NDArray[np.float32]
    label: NDArray[np.int32]
    lines: tuple[str, ...]


def find_movements(
    video: Video,
    settings: Settings,
    span: Span | None,
    on_frame: Callable[[int], None] | None = None,
    on_movement: Callable[[Spotted], None] | None = None,
) -> Search:
    """Search a recording, or cut out the frames that are named; arguments and errors as `search_movements` and `cut_movement`."""
    frames = read_frames(video)
    if span is None and not video.is_video and len(video.paths) == _PAIR:
        # Somebody has chosen an onset and an apex.
        span = (1, 2, 2)
    if span is not None:
        one = cut_movement(frames, *span, config=settings.spot, box=settings.box)
        if on_movement is not None:
            on_movement(one)
        return Search((one,), (), (), one.offset, whole=True)
    rate = settings.rate or video.rate
    return search_movements(frames, rate, settings.spot, box=settings.box, on_frame=on_frame, on_movement=on_movement)


def motion_for(model: Model, spotted: Spotted) -> NDArray[np.float32]:
    """A movement as the image that a model takes."""
    return motion_of_faces(spotted.faces, spotted.apex - spotted.onset, MotionConfig(**model.about["motion"]))


def why_nothing(search: Search, config: SpotConfig) -> str:
    """Why there is no movement in a recording that could be read."""
    if search.frames == 0:
        return "no frame can be decoded; convert it, for example by ffmpeg -i FILE -c:v libx264 -crf 10 NEW.mp4"
    if search.frames == 1:
        return "a single picture has no movement; give onset and apex, or a film"
    if search.frames == _PAIR:
        return "two frames of a film show no rise and fall; name them by --onset=1 --apex=2 if they are onset and apex"
    if search.stretches and not search.curve:
        longest = max(search.stretches, key=lambda stretch: stretch.last - stretch.first)
        return f"{longest.reason} (frames {longest.first} to {longest.last} of {search.frames})"
    most = max((pixels for _, pixels in search.curve), default=0.0)
    if most >= config.least_pixels:
        return (
            "something moves, but nothing that plainly rises and falls within the recording; film from rest to rest, or name its "
            "frames by --onset=N --apex=N"
        )
    return (
        f"no movement that comes and goes stands out (the strongest has {most:.2f} pixels of a face 128 wide, at least "
        f"{config.least_pixels:g} are needed); name its frames by --onset=N --apex=N if you see one"
    )


def named_span(onset: int | None, apex: int | None, offset: int | None) -> Span | None:
    """Frames that somebody named; the offset is the apex where it is not.

    Raises:
      ConfigError: one of onset and apex without the other.
    """
    if onset is None and apex is None and offset is None:
        return None
    if onset is None or apex is None:
        raise ConfigError("give both --onset=N and --apex=N, frames counted from 1")
    return onset, apex, apex if offset is None else offset


def read_labelled(table: Path, model: Model, settings: Settings) -> Labelled:
    """Read labelled clips of a person.

    Args:
      table: CSV with the columns path (from the table's folder), label and, as far as they are known, onset, apex, offset.
      model: names the classes, and says what an image is.
      settings: how recordings are read.

    Raises:
      ConfigError: a method that adapts to nobody, no such table, or a row that cannot be used; names it.
      OSError: it cannot be read.
    """
    if not model.adapts:
        raise ConfigError(f"networks of method {model.about['method']} adapt to nobody; leave out --support")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{table} is no table ({error}); it needs the columns path and label") from error
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise ConfigError(f"{table} needs the columns path and label, and a row a clip; give --support=TABLE.csv")
    images, labels, lines = [], [], []
    for number, row in enumerate(rows, start=2):
        where, word, label = f"{table}, line {number}", (row["path"] or "").strip(), (row["label"] or "").strip()
        refuse_unknown(f"{where}: label", label, model.classes)
        try:
            spotted = _strongest(table.parent / word, row, settings)
        except ValueError as error:
            raise ConfigError(f"{where}: {word}: {error}. Mend or remove that row") from error
        images.append(motion_for(model, spotted))
        labels.append(model.classes.index(label))
        lines.append(f"{word} as {label}, frames {spotted.onset}-{spotted.apex}-{spotted.offset}")
    return Labelled(np.stack(images), np.array(labels, np.int32), tuple(lines))


def _strongest(path: Path, row: dict[str, str], settings: Settings) -> Spotted:
    video = find_videos([str(path)])[0]
    if isinstance(video, Unreadable):
        raise ValueError(video.reason)
    cells = [(row.get(name) or "").strip() for name in SPAN]
    search = find_movements(video, settings, named_span(*(int(cell) if cell else None for cell in cells)))
    if not search.movements:
        raise ValueError(why_nothing(search, settings.spot))
    return max(search.movements, key=lambda one: -1.0 if np.isnan(one.pixels) else one.pixels)
