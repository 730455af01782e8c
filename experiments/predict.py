"""`python -m experiments.predict INPUT ... [--model=WORKDIR|FILE]`: find facial movements in videos and predict their classes.

An INPUT is a video, a folder of videos or images, the images of one movement, or a webcam. Every face of a video is followed and
searched for movements with their onset, apex and offset; a timeline of a video of more than 3 seconds is drawn. Each movement has a
kind. All networks of the model predict micro- and macro-expressions, and the spread over the networks is reported; blinks,
speech, head motion and a covered or lost face are listed without a class. An input that cannot be analysed or shows no movement is
reported with the reason. A model of several views gets the same views of each movement; the table lists those it has.

Without --model the default model of the package predicts, which was trained on simulated expressions; the output states what it
scored on real clips. The input `demo`, if there is no such file or folder, is written first as by experiments.demo.

A number, such as 0, is a webcam: a window shows the face, a timeline and the last prediction until q or Esc is pressed. Its video
is saved only by --record=FILE, and the table only by --out=FOLDER.

--support=TABLE adapts the networks to labelled clips of the same subject before they predict. The table has the format of
clips.csv: columns path and label, and optionally onset, apex, offset, fps and box (top left side of the face in pixels).
"""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.panel import Panel

from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser, ConfigError, whole_number
from experiments.cli.progress import print_progress
from experiments.cli.runtime import DEFAULT_DATA_CACHE, set_up_jax
from experiments.cli.terminal import make_console
from experiments.demo import write_missing_demo
from experiments.evaluation.run_record import stored_data_cache
from experiments.prediction import movements
from experiments.prediction.camera import Record
from experiments.prediction.figures import save_movement_figure, save_timeline
from experiments.prediction.models import open_model
from experiments.prediction.movements import SPAN, Settings
from experiments.prediction.origin import caution_of, scores_text
from experiments.prediction.predictor import Predictor
from experiments.prediction.table import Row, print_table, write_table
from experiments.prediction.webcam import predict_webcam, refuse_no_display, webcam_number
from lightman_jax.data.vision.faces import WHOLE, FaceBox, FaceLimits, Whole
from lightman_jax.data.vision.given_landmarks import read_openface
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted
from lightman_jax.data.vision.video import Video, find_videos
from lightman_jax.data.vision.visible_faces import GivenFace
from lightman_jax.model import DEFAULT_MODEL
from lightman_jax.model.saved_model import Model

TABLE, FIGURES, TIMELINES = "predictions.csv", "figures", "timelines"

_PAIR, _MIN_FRAMES = 2, 5


def predict_videos(
    model: Model, inputs: Sequence[str], settings: Settings, out: Path, console: Console, support: Path | None = None
) -> list[Row]:
    """Predict every movement of every video, and write `predictions.csv`, `figures/` and `timelines/` to `out`.

    The table is updated after each video, and has at least one row per video. `support` is a table of labelled clips of the subject
    to adapt to.

    Raises:
      ConfigError: the labelled clips cannot be used, or a span is given for several videos.
      OSError: the results cannot be written.
    """
    videos = find_videos(inputs)
    if settings.span is not None and len(videos) != 1:
        raise ConfigError(f"--onset and --apex need exactly one video, found {len(videos)}; give one input")
    predictor = _read_support(model, settings, support, console)
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    drawn = _Drawn(predictor, settings, out)
    rows: list[Row] = []
    for count, video in enumerate(videos, start=1):
        if isinstance(video, Video):
            with _progress(console, f"{count}/{len(videos)}: {video.name}") as on_frame:
                rows += drawn.predict(video, f"{count:03d}_{_file_name(video.name)}", on_frame)
        else:
            rows.append(Row(video.name, video.reason))
        write_table(out / TABLE, rows, model, predictor.adapted)
    return rows


class _Drawn(NamedTuple):
    """Predictions of videos, whose figures are drawn to the folder `out`; as in `predict_videos`."""

    predictor: Predictor
    settings: Settings
    out: Path

    def predict(self, video: Video, label: str, on_frame: Callable[[int], None]) -> list[Row]:
        """Predict the movements of a video, and draw its figures under the file name `label`."""
        model = self.predictor.model
        row = Row(video.name, fps=self.settings.fps or video.fps, notes=video.notes)
        rows: list[Row] = []

        def on_movement(movement: Spotted) -> None:
            found = self.predictor.row_of(row, movement)
            figure = f"{FIGURES}/{label}_{len(rows) + 1}.png"
            rows.append(found if found.reason else self._draw(found._replace(figure=figure), movement))

        try:
            search = movements.find_movements(video, self.settings, on_frame, on_movement)
        except ValueError as error:
            # Movements before a damaged frame are kept.
            return [*rows, row._replace(reason=str(error))]
        rows.sort(key=lambda one: one.span or ())
        several = len({one.face_name for one in rows}) > 1
        row = row._replace(notes=(*row.notes, *search.notes))
        rows = [
            one._replace(
                frames=search.frames,
                face_name=one.face_name if several else "",
                notes=(*one.notes, *search.notes),
            )
            for one in rows
        ]
        if self.settings.span is None:
            rows = [one._replace(notes=_notes(model, search, one)) for one in rows]
        rows = rows or [
            row._replace(frames=search.frames, reason=movements.no_movement_reason(search, self.settings.spot))
        ]
        if not search.whole:
            (self.out / TIMELINES).mkdir(exist_ok=True)
            save_timeline(self.out / TIMELINES / f"{label}.png", search, rows, model, self.settings.spot)
        return rows

    def _draw(self, row: Row, movement: Spotted) -> Row:
        """Draw the figure of a predicted movement; returns its row."""
        model = self.predictor.model
        saliency = model.saliency(movements.model_image(model, movement)[None])[0]
        save_movement_figure(self.out / row.figure, row, movement, saliency, model, self.predictor.adapted)
        return row


def _read_support(model: Model, settings: Settings, support: Path | None, console: Console) -> Predictor:
    """The model with the labelled clips to adapt to, one line printed for each."""
    adaptation = None if support is None else movements.read_support(support, model, settings)
    for line in adaptation.lines if adaptation else ():
        console.print(f"labelled: {line}")
    return Predictor(model, adaptation)


def _predict_webcam(
    predictor: Predictor, number: int, settings: Settings, options: argparse.Namespace, console: Console
) -> list[Row]:
    """Predict before a webcam, and write the table if --out is given."""
    with contextlib.nullcontext() if options.record is None else contextlib.closing(Record(options.record)) as record:
        rows = predict_webcam(predictor, number, settings, record)
    if record is not None:
        console.print(f"video: {record.path}, {record.frames} frames, {record.fps:.2f} per second")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_table(options.out / TABLE, rows, predictor.model, predictor.adapted)
        console.print(f"results: {options.out / TABLE}")
    return rows


@contextlib.contextmanager
def _progress(console: Console, text: str) -> Iterator[Callable[[int], None]]:
    """Show the current frame on a terminal, and print it at a slow pace elsewhere."""
    if not console.is_terminal:
        yield lambda number: print_progress(console.print, f"{text}, frame {number}")
        return
    with console.status(console.render_str(text)) as status:
        yield lambda number: status.update(console.render_str(f"{text}, frame {number}"))


def _notes(model: Model, search: Search, row: Row) -> tuple[str, ...]:
    """The notes of a movement that was found, and doubts about it."""
    if row.span is None or row.reason:
        return row.notes
    notes = [*row.notes]
    if np.isnan(row.times).any() and search.frames > _PAIR:
        notes.append("frames per second are unknown, and so is the duration of the movement (--fps=FPS)")
    if search.whole and row.span[0] == 1 and search.frames > _PAIR:
        notes.append("moves from the first frame on: the onset may precede the video")
    if _PAIR < search.frames < _MIN_FRAMES:
        notes.append(f"in fewer than {_MIN_FRAMES} frames, noise cannot be distinguished from movement")
    if search.gaps and search.whole:
        notes.append("the face moved away or was lost during the video")
    if str(model.about["flow"]).startswith("8-bit"):
        method = model.about["motion"]["flow_method"]
        computed = f"; {', '.join(model.views)} are computed by {method}" if model.views else ""
        notes.append(f"the networks were trained on released flow images, whose face crop is not published{computed}")
    return tuple(notes)


def _face_flag(text: str) -> FaceBox | Whole:
    if text == WHOLE:
        return WHOLE
    if not re.fullmatch(r"\d{1,6},\d{1,6},\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither TOP,LEFT,SIDE in pixels nor {WHOLE}")
    top, left, side = map(int, text.split(","))
    return FaceBox(top, left, side, "given")


def _given_face(options: argparse.Namespace) -> GivenFace | None:
    """The face by --face or --landmarks."""
    if options.landmarks is None:
        return options.face
    if options.face is not None:
        raise ConfigError("--face and --landmarks both give the face; keep one of them")
    if len(options.inputs) > 1:
        raise ConfigError(f"--landmarks needs exactly one video, found {len(options.inputs)} inputs; give one input")
    try:
        return read_openface(options.landmarks)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--landmarks={options.landmarks} cannot be used: {error}; give a csv file of OpenFace"
        ) from error


def _fps_flag(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames per second, such as 200")
    return float(text)


def _pixels_flag(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels, such as 0.25")
    return float(text)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", Path(name).name, flags=re.ASCII)[:60].strip(".") or "video"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
      1 if an input cannot be analysed or shows no movement of any kind; 0 also for movements of kinds without class; 2, 130 and 143
      as in `run_command`.
    """
    remedy = "Give a writable folder by --out, and inputs that can be read"
    return run_command("experiments.predict", argv, _run, remedy=remedy)


def _run(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    number, span = webcam_number(options.inputs), movements.check_span(options.onset, options.apex, options.offset)
    if number is None and options.record is not None:
        raise ConfigError("--record is for a webcam; give its number as the only input, such as 0")
    if number is not None and span is not None:
        raise ConfigError("--onset and --apex are for videos; leave them out with a webcam")
    if number is not None:
        refuse_no_display()
    set_up_jax(stored_data_cache(options.model) or DEFAULT_DATA_CACHE)
    console = make_console()
    write_missing_demo(options.inputs, console)
    model = open_model(options.model, options.adapt_steps)
    about, out = model.about, options.out or Path("predictions")
    spot = SpotConfig(min_pixels=options.min_pixels, face=FaceLimits(about["motion"]["face_side"]))
    settings = Settings(spot, _given_face(options), options.fps, span)
    if caution := caution_of(model):
        console.print(Panel(caution.text, title=caution.title, width=min(console.width, 110), style="yellow"))
    if number is None:
        rows = predict_videos(model, options.inputs, settings, out, console, options.support)
    else:
        predictor = _read_support(model, settings, options.support, console)
        rows = _predict_webcam(predictor, number, settings, options, console)
    print_table(console, rows, model)
    warning = "" if caution else "; predictions of its subjects are not a test"
    console.print(f"{about['networks']} networks, trained on {about['origin']}{warning}")
    if scores := scores_text(model):
        console.print(f"measured on real clips: {scores}")
    console.print(about["notice"], style="dim")
    if number is not None:
        return 0
    written = [out / name for name in (TABLE, FIGURES, TIMELINES) if (out / name).exists()]
    console.print(f"results: {', '.join(map(str, written))}")
    return 1 if any(row.reason and not row.kind for row in rows) else 0


def _parser() -> CommandParser:
    parser = CommandParser("predict", __doc__)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="videos, folders, the images of one movement, or the number of a webcam",
    )
    text = "workdir of a run, or a file of experiments.export [the default model of the package]"
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help=text)
    parser.add_argument("--out", type=Path, help="folder of the results [predictions; for a webcam none]")
    parser.add_argument("--record", type=Path, metavar="FILE", help="AVI file to save the video of a webcam to [none]")
    parser.add_argument("--support", type=Path, metavar="TABLE", help="labelled clips of the same subject to adapt to")
    parser.add_argument(
        "--adapt_steps", type=whole_number(0), metavar="STEPS", help="inner steps on the labelled clips [as in the run]"
    )
    fps = "frames per second [as the video file states; for a webcam its default]"
    parser.add_argument("--fps", type=_fps_flag, default=0.0, metavar="FPS", help=fps)
    face = "position of the face: TOP,LEFT,SIDE in pixels, or whole [detected]"
    parser.add_argument("--face", type=_face_flag, metavar="FACE", help=face)
    text = "csv file of OpenFace with the face's landmarks in each frame [detected]"
    parser.add_argument("--landmarks", type=Path, metavar="FILE", help=text)
    for name in SPAN:
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"number of the {name} frame, from 1 [detected]")
    least = SpotConfig.min_pixels
    text = f"smallest displacement of a movement, in pixels of a face 128 wide [{least}]"
    parser.add_argument("--min_pixels", type=_pixels_flag, default=least, metavar="PIXELS", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
