"""`python -m experiments.demo [--out=demo]`: write videos with known movements, to try `experiments.predict` on.

The videos show NASA's public-domain portrait of Eileen Collins, which scikit-image contains, warped by action-unit fields; she did
not make these movements. There is one video per class of the 3-class protocols and a long one with all three. `truth.csv` lists
the movements.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser
from experiments.cli.terminal import make_console
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.optical_flow import warp_image
from lightman_jax.files import remove_leftovers, temporary_path, write_csv

FOLDER = "demo"
"""Folder of the videos, unless another is given."""

FPS = 100
"""Frames per second of the short videos; the long one has half of it."""

_HEIGHT, _WIDTH = 480, 640
# The visible part of the portrait (top, bottom, left, right), and the square in which eyes and mouth lie as in a drawn face: eyes
# in row 101, columns 203 and 247, centre of the mouth in row 145, column 224.
_SHOWN = (0, 300, 25, 425)
_FACE_TOP, _FACE_LEFT, _FACE_SIDE = 58, 160, 129
_UNITS = {"negative": (4, 7), "positive": (6, 12), "surprise": (1, 2)}
_PEAK = 0.012
_NOISE, _SWAY, _QUALITY = 1.5, 0.8, 95


class Movement(NamedTuple):
    """One movement of a video: class, and frame numbers from 1."""

    label: str
    onset: int
    apex: int
    offset: int


class DemoVideo(NamedTuple):
    """A video to write."""

    name: str
    fps: int
    frames: int
    movements: tuple[Movement, ...]


_LONG = (Movement("surprise", 131, 141, 153), Movement("negative", 301, 312, 321), Movement("positive", 471, 480, 492))
VIDEOS = (
    DemoVideo("negative.avi", FPS, 100, (Movement("negative", 24, 46, 76),)),
    DemoVideo("positive.avi", FPS, 100, (Movement("positive", 31, 55, 79),)),
    DemoVideo("surprise.avi", FPS, 100, (Movement("surprise", 15, 35, 61),)),
    DemoVideo("long.avi", FPS // 2, 600, _LONG),
)


def video_frames(video: DemoVideo, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Frames `[480, 640, 3]` of a video: the portrait with its movements, head sway and sensor noise.

    A movement rises and falls as half a cosine on each side of its apex, to a peak of 1.2% of the face's side.
    """
    from skimage.data import astronaut

    top, bottom, left, right = _SHOWN
    portrait = resize_image(astronaut()[top:bottom, left:right], _HEIGHT, _WIDTH)
    zoom = _HEIGHT / (bottom - top)
    side = round(zoom * _FACE_SIDE)
    row, column = round(zoom * (_FACE_TOP - top)), round(zoom * (_FACE_LEFT - left))
    fields = {}
    for label in {movement.label for movement in video.movements}:
        fields[label] = np.zeros((_HEIGHT, _WIDTH, 2))
        weights = dict.fromkeys(_UNITS[label], (_PEAK * side, _PEAK * side))
        fields[label][row : row + side, column : column + side] = action_unit_field(weights, side)
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, _NOISE, (2 * _HEIGHT, 2 * _WIDTH, 3)).round().astype(np.int16)
    for number in range(1, video.frames + 1):
        phase = 2 * np.pi * (number - 1) / video.fps / 7
        field = np.broadcast_to(_SWAY * np.array([np.sin(phase), 1 - np.cos(phase)]), (_HEIGHT, _WIDTH, 2)).copy()
        for movement in video.movements:
            rise = np.interp(number, (movement.onset, movement.apex, movement.offset), (0.0, 1.0, 0.0))
            field += np.sin(np.pi * rise / 2) ** 2 * fields[movement.label]
        # A random crop of one large noise image: drawing new noise for every frame would take longer than all the rest.
        up, along = rng.integers(0, _HEIGHT), rng.integers(0, _WIDTH)
        noisy = warp_image(portrait, field) + noise[up : up + _HEIGHT, along : along + _WIDTH]
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def write_video(path: Path, video: DemoVideo) -> None:
    """Write a video as motion JPEG, the only codec that every build of OpenCV can write; OSError if it cannot."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), video.fps, (_WIDTH, _HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written as a video by this build of OpenCV")
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _QUALITY)
    try:
        for frame in video_frames(video):
            writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    finally:
        writer.release()


def write_demo(folder: Path) -> None:
    """Write all videos, `truth.csv` with their movements, and `support.csv` for `--support` of `experiments.predict`."""
    folder.mkdir(parents=True, exist_ok=True)
    truth: list[tuple[object, ...]] = [("video", *Movement._fields)]
    support: list[tuple[object, ...]] = [("path", "label")]
    for video in VIDEOS:
        write_video(folder / video.name, video)
        truth += [(video.name, *movement) for movement in video.movements]
        support += [(video.name, movement.label) for movement in video.movements if len(video.movements) == 1]
    write_csv(folder / "truth.csv", truth)
    write_csv(folder / "support.csv", support)


def write_missing_demo(inputs: Sequence[str], console: Console) -> None:
    """Write the videos to the folder `demo` if it is among the inputs of a command and does not exist."""
    folder = Path(FOLDER)
    if FOLDER not in inputs or folder.exists():
        return
    console.print(f"there is no {FOLDER}: writing the demo videos to it, as python -m experiments.demo does")
    remove_leftovers(folder.parent, FOLDER)
    # Under its name the folder is complete.
    scratch = temporary_path(folder)
    try:
        write_demo(scratch)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    return run_command("experiments.demo", argv, _run)


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("demo", __doc__)
    parser.add_argument("--out", type=Path, default=Path(FOLDER), help=f"folder of the videos [{FOLDER}]")
    out = parser.parse_args(words).out
    write_demo(out)
    console = make_console()
    console.print(f"wrote {', '.join(video.name for video in VIDEOS)} and their movements (truth.csv) to {out}")
    console.print(f"python -m experiments.predict {shlex.quote(str(out))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
