"""`python -m experiments.demo [--out=demo]`: films with a known movement, to try `experiments.predict` on.

NASA's public-domain portrait of Eileen Collins, which scikit-image brings, moved by action-unit fields: she did not make these
movements. One film a class of the 3-class protocols, one of all three in a row, and what is true of them in `truth.csv`.
"""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser
from lightman_jax.data.synthetic.faces import action_unit_field
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.optical_flow import warp_image
from lightman_jax.files import write_whole

RATE = 100
"""Frames a second of the films of one movement; the long one has half of it."""

_HEIGHT, _WIDTH = 480, 640
# Of the portrait: the part that is shown, and the square in which eyes and mouth lie as in a drawn face (eyes at row 101, columns
# 203 and 247, middle of the mouth at row 145, column 224).
_SHOWN = (0, 300, 25, 425)
_FACE_TOP, _FACE_LEFT, _FACE_SIDE = 58, 160, 129
_UNITS = {"negative": (4, 7), "positive": (6, 12), "surprise": (1, 2)}
_PEAK = 0.012
_NOISE, _DRIFT, _QUALITY = 1.5, 0.8, 95


class Moved(NamedTuple):
    """One movement of a film: class, and frame numbers from 1."""

    label: str
    onset: int
    apex: int
    offset: int


class DemoVideo(NamedTuple):
    """A film to be written: name, frames a second, frames, movements."""

    name: str
    rate: int
    frames: int
    moved: tuple[Moved, ...]


VIDEOS = (
    DemoVideo("negative.avi", RATE, 100, (Moved("negative", 24, 46, 76),)),
    DemoVideo("positive.avi", RATE, 100, (Moved("positive", 31, 55, 79),)),
    DemoVideo("surprise.avi", RATE, 100, (Moved("surprise", 15, 35, 61),)),
    DemoVideo(
        "long.avi",
        RATE // 2,
        600,
        (Moved("surprise", 131, 141, 153), Moved("negative", 301, 312, 321), Moved("positive", 471, 480, 492)),
    ),
)


def video_frames(video: DemoVideo, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """The frames `[480, 640, 3]` of a film: the portrait, its movements, a swaying head, and sensor noise.

    A movement rises and falls as half a cosine on each side of its apex, to a peak of 1.2% of the face's side.

    Args:
      film: what happens in it.
      seed: of the noise.
    """
    from skimage.data import astronaut

    top, bottom, left, right = _SHOWN
    portrait = resize_image(astronaut()[top:bottom, left:right], _HEIGHT, _WIDTH)
    zoom = _HEIGHT / (bottom - top)
    side = round(zoom * _FACE_SIDE)
    row, column = round(zoom * (_FACE_TOP - top)), round(zoom * (_FACE_LEFT - left))
    fields = {}
    for moved in video.moved:
        fields[moved.label] = np.zeros((_HEIGHT, _WIDTH, 2))
        weights = dict.fromkeys(_UNITS[moved.label], (_PEAK * side, _PEAK * side))
        fields[moved.label][row : row + side, column : column + side] = action_unit_field(weights, side)
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, _NOISE, (2 * _HEIGHT, 2 * _WIDTH, 3)).round().astype(np.int16)
    for number in range(1, video.frames + 1):
        phase = 2 * np.pi * (number - 1) / video.rate / 7
        field = np.broadcast_to(_DRIFT * np.array([np.sin(phase), 1 - np.cos(phase)]), (_HEIGHT, _WIDTH, 2)).copy()
        for moved in video.moved:
            rise = np.interp(number, (moved.onset, moved.apex, moved.offset), (0.0, 1.0, 0.0))
            field += np.sin(np.pi * rise / 2) ** 2 * fields[moved.label]
        # One large picture of noise, cut anew for every frame: drawing a million numbers each would take longer than all the rest.
        up, along = rng.integers(0, _HEIGHT), rng.integers(0, _WIDTH)
        noisy = warp_image(portrait, field) + noise[up : up + _HEIGHT, along : along + _WIDTH]
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def write_video(path: Path, video: DemoVideo) -> None:
    """Write a film as motion JPEG, the one codec that every build of OpenCV writes.

    Raises:
      OSError: OpenCV cannot write it.
    """
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), video.rate, (_WIDTH, _HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written as a film by this build of OpenCV")
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _QUALITY)
    try:
        for frame in video_frames(video):
            writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    finally:
        writer.release()


def write_demo(folder: Path) -> None:
    """Write all films, `truth.csv` of their movements, and `support.csv`, which `--support` of `experiments.predict` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, support = ["film,label,onset,apex,offset"], io.StringIO(newline="")
    rows = csv.writer(support, lineterminator="\n")
    rows.writerow(["path", "label"])
    for video in VIDEOS:
        write_video(folder / video.name, video)
        truth += [",".join([video.name, *map(str, moved)]) for moved in video.moved]
        if len(video.moved) == 1:
            rows.writerow([video.name, video.moved[0].label])
    write_whole(folder / "truth.csv", "\n".join(truth) + "\n")
    write_whole(folder / "support.csv", support.getvalue())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = CommandParser("demo", __doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the films [demo]")

    def work() -> int:
        out = parser.parse_args(words).out
        write_demo(out)
        print(f"{', '.join(video.name for video in VIDEOS)} and what is true of them (truth.csv) are in {out}")
        print(f"python -m experiments.predict {out}/positive.avi --model=runs/smic_stand_in-lightman")
        return 0

    return run_command("experiments.demo", words, work)


if __name__ == "__main__":
    sys.exit(main())
