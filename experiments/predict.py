"""`python -m experiments.predict INPUT ... --model=WORKDIR|FILE`: find movements of a face, and say what they look like.

An INPUT is a film, a folder of films or pictures, or pictures of one movement. In a recording of up to 3 seconds
the one movement is found, its onset, apex and offset; longer ones are searched, with a timeline. All networks of
the run, of every fold and seed, predict each movement; how far they differ is shown. Where there is nothing that
can be said (no face, two faces, too dark, too few frames a second, no movement) that is what it says.
--support=TABLE (columns path, label and, if you like, onset, apex, offset) names labelled clips of this person,
to which the networks are adapted first.
"""

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
from lightman_jax.data.vision.video import Video, find_videos
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from experiments.cli.commands import require_device, run_command
from experiments.cli.config import DataConfig
from experiments.cli.flags import CommandParser, ConfigError
from experiments.prediction.figures import save_prediction_sheet, save_timeline
from experiments.prediction.models import open_model
from experiments.prediction.movements import (
    SPAN,
    Labelled,
    Settings,
    Span,
    find_movements,
    motion_for,
    named_span,
    read_labelled,
    why_nothing,
)
from experiments.prediction.table import Row, print_table, trained_on, write_table
from experiments.reporting.console import make_console
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.spotting import Search, SpotConfig, Spotted
from lightman_jax.data.vision.visibility import WHOLE, Visibility, Whole
from lightman_jax.model.saved_model import Model

TABLE, _SHEETS, _TIMELINES = "predictions.csv", "sheets", "timelines"

_LONGEST_MICRO = 0.5
_TELL_EVERY = 100


def predict_videos(
    model: Model,
    words: Sequence[str],
    settings: Settings,
    out: Path,
    console: Console,
    *,
    support: Path | None = None,
    span: Span | None = None,
) -> list[Row]:
    """Predict every movement of every recording; writes `predictions.csv` anew after each, `sheets/` and `timelines/`.

    Args:
      model: what predicts.
      words: films, folders, pictures.
      settings: how they are read.
      out: folder of the results.
      console: where to talk.
      support: table of labelled clips of this person; None adapts to nobody.
      span: onset, apex and offset of the one recording, where they are known.

    Returns:
      At least one row a recording.

    Raises:
      ConfigError: the labelled clips cannot be used, or a span is given for several recordings.
      OSError: the results cannot be written.
    """
    videos = find_videos(words)
    if span is not None and len(videos) != 1:
        raise ConfigError(f"--onset and --apex belong to one recording, found {len(videos)}; name one")
    known = None if support is None else read_labelled(support, model, settings)
    for line in known.lines if known else ():
        console.print(f"labelled: {line}", markup=False)
    (out / _SHEETS).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for count, video in enumerate(videos, start=1):
        text = f"{count}/{len(videos)}: {video.name}"
        if isinstance(video, Video):
            label = f"{count:03d}_{_safe(video.name)}"
            with _telling(console, text) as tell:
                rows += _predict_one(model, video, settings, out, label, known, span, tell)
        else:
            rows.append(Row(video.name, video.reason))
        write_table(out / TABLE, rows, model, len(known.label) if known else 0)
    return rows


def _predict_one(
    model: Model,
    video: Video,
    settings: Settings,
    out: Path,
    label: str,
    known: Labelled | None,
    span: Span | None,
    on_frame: Callable[[int], None],
) -> list[Row]:
    rate = settings.rate or video.rate
    row = Row(video.name, rate=rate)
    rows: list[Row] = []
    given = len(known.label) if known else 0

    def tell(spotted: Spotted) -> None:
        image = motion_for(model, spotted)[None]
        probabilities = model.predict(image) if known is None else model.adapt(known.images, known.label, image)
        one = row._replace(
            span=(spotted.onset, spotted.apex, spotted.offset),
            pixels=spotted.pixels,
            face=_face(spotted),
            probabilities=probabilities[:, 0],
            sheet=f"{_SHEETS}/{label}_{len(rows) + 1}.png",
        )
        save_prediction_sheet(out / one.sheet, one, spotted, model.look(image)[0], model, given)
        rows.append(one)

    try:
        search = find_movements(video, settings, span, on_frame, tell)
    except ValueError as error:
        # What was found before a damaged frame stays.
        return [*rows, row._replace(reason=str(error))]
    row = row._replace(frames=search.frames)
    rows = [
        one._replace(frames=search.frames, notes=_notes(model, search, spotted, rate) if span is None else ())
        for one, spotted in zip(rows, search.movements, strict=True)
    ]
    rows = rows or [row._replace(reason=why_nothing(search, settings.spot))]
    if not search.whole:
        (out / _TIMELINES).mkdir(exist_ok=True)
        save_timeline(out / _TIMELINES / f"{label}.png", search, rows, rate, model, settings.spot)
    return rows


@contextlib.contextmanager
def _telling(console: Console, text: str) -> Iterator[Callable[[int], None]]:
    """Say on a terminal which frame is being looked at."""
    if not console.is_terminal:
        yield lambda number: None
        return
    with console.status(escape(text)) as status:

        def tell(number: int) -> None:
            if number % _TELL_EVERY == 0:
                status.update(escape(f"{text}, frame {number}"))

        yield tell


def _face(spotted: Spotted) -> str:
    box = spotted.box
    place = "whole frame" if box is None else f"{box.finder} at {box.top},{box.left},{box.side}"
    return place + (f", frame turned by {90 * spotted.turned} degrees" if spotted.turned else "")


def _notes(model: Model, search: Search, spotted: Spotted, rate: float) -> tuple[str, ...]:
    """What is doubtful about a movement that was found."""
    notes = []
    if not rate and search.frames > 2:
        notes.append("frames a second are unknown, and so is how long the movement lasts (--rate=FPS)")
    seconds = (spotted.offset - spotted.onset + 1) / rate if rate else 0.0
    if seconds > _LONGEST_MICRO:
        notes.append(f"lasts {seconds:.2f} s, longer than a micro-expression (1/2 s)")
    if search.whole and spotted.onset == 1 and search.frames > 2:
        notes.append("moves from the first frame on: the onset may lie before it")
    if len(search.movements) > 1 and search.whole:
        notes.append("the face moved away or was lost within the recording")
    if str(model.about["flow"]).startswith("8-bit"):
        notes.append(
            "the networks learned from released flow pictures, whose faces were cut out in a way that is not published"
        )
    return tuple(notes)


def _face_flag(text: str) -> FaceBox | Whole:
    if text == WHOLE:
        return WHOLE
    if not re.fullmatch(r"\d{1,6},\d{1,6},\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither TOP,LEFT,SIDE in pixels nor {WHOLE}")
    top, left, side = map(int, text.split(","))
    return FaceBox(top, left, side, "given")


def _rate_flag(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames a second, such as 200")
    return float(text)


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", Path(name).name, flags=re.ASCII)[:60].strip(".") or "recording"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if something is predicted of every input, 1 if not of all, 2 if it cannot be run."""
    words = sys.argv[1:] if argv is None else list(argv)
    remedy = "Give a folder that can be written by --out, and inputs that can be read"
    return run_command("experiments.predict", words, lambda: _run(words), remedy=remedy)


def _run(words: Sequence[str]) -> int:
    options = _parser().parse_args(words)
    jax.config.update("jax_compilation_cache_dir", str(Path(DataConfig().data_cache).expanduser() / "xla"))
    require_device()
    console = make_console()
    model = open_model(options.model, options.adapt_steps)
    spot = SpotConfig(least_pixels=options.least_pixels, face=Visibility(model.about["motion"]["face_side"]))
    settings = Settings(spot, options.face, options.rate)
    span = named_span(options.onset, options.apex, options.offset)
    if model.about["data"]["stand_in"]:
        text = "The networks were trained on invented stand-in clips: no prediction below says anything about people."
        console.print(Panel(text, title="TRAINED ON STAND-IN DATA", width=min(console.width, 110), style="yellow"))
    out = options.out
    rows = predict_videos(model, options.inputs, settings, out, console, support=options.support, span=span)
    print_table(console, rows, model)
    known = "" if model.about["data"]["stand_in"] else "; of people who are in it this is no test"
    console.print(f"{model.about['networks']} networks; trained on {trained_on(model)}{known}", markup=False)
    console.print(model.about["notice"], style="dim", markup=False)
    made = [out / name for name in (TABLE, _SHEETS, _TIMELINES) if (out / name).exists()]
    console.print(f"results: {', '.join(map(str, made))}", markup=False)
    return 1 if any(row.reason for row in rows) else 0


def _parser() -> CommandParser:
    parser = CommandParser("predict", __doc__)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="films, folders, pictures of one movement")
    parser.add_argument("--model", type=Path, required=True, help="workdir of a run, or a file of experiments.export")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder of the results [predictions]")
    parser.add_argument(
        "--support", type=Path, metavar="TABLE", help="labelled clips of this person, to adapt to first"
    )
    parser.add_argument("--adapt_steps", type=int, metavar="STEPS", help="inner steps on them [those of the run, 5]")
    parser.add_argument(
        "--rate", type=_rate_flag, default=0.0, metavar="FPS", help="frames a second [as the film says]"
    )
    parser.add_argument(
        "--face", type=_face_flag, metavar="PLACE", help="TOP,LEFT,SIDE in pixels, or whole [searched for]"
    )
    for name in SPAN:
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"number of the {name} frame, from 1 [found]")
    least = SpotConfig.least_pixels
    text = f"least movement that counts, in pixels of a face 128 wide [{least}]"
    parser.add_argument("--least_pixels", type=float, default=least, metavar="PIXELS", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
