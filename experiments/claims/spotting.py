"""Movements found in videos of heads that also move: rendered heads at rest, and known micro-movements on them.

A video of 3 s at 30 frames per second shows the public-domain portrait on a head of random proportions, size and colours, with
sensor noise and slow changes of light. The head rests, sways, comes nearer, turns, or does all of it. Movements last 1/5 to
1/2 s, with a peak of 0.3 to 1 pixel of a face 128 wide.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from experiments.claims.sweep import Study, finish_figure
from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.faces import UNITS_OF_EMOTION
from lightman_jax.data.synthetic.moving_head import HeadPose, Light, portrait_head
from lightman_jax.data.vision.movement_kinds import WITH_CLASS
from lightman_jax.data.vision.spotting import SpotConfig, search_movements
from lightman_jax.data.vision.video import TimedFrame
from lightman_jax.networks.dual_branch import NetworkConfig

FPS, FRAMES, SIZE, SIDES = 30, 90, (360, 480), (100, 220)
VIDEOS, MOVEMENTS = 40, 12
"""Videos of each motion of the head without a movement, and of each motion and peak with one."""

PIXELS = (0.3, 0.5, 1.0)
_NOISE, _FLICKER, _DRIFT = (1.0, 3.0), 0.003, 0.02
_PERIODS = (2.0, 6.0)


class HeadMotion(NamedTuple):
    """Largest amplitudes of sinusoids: degrees, pixels of a face 128 wide, and magnification minus 1."""

    turn: float = 0.0
    nod: float = 0.0
    tilt: float = 0.0
    sway: float = 0.0
    nearer: float = 0.0


HEADS = {
    "rest": HeadMotion(sway=0.2),
    "sway": HeadMotion(sway=4.0, tilt=2.0),
    "zoom": HeadMotion(sway=0.2, nearer=0.05),
    "turn": HeadMotion(turn=12.0, nod=8.0, tilt=4.0, sway=0.2),
    "all": HeadMotion(turn=8.0, nod=5.0, tilt=4.0, sway=4.0, nearer=0.05),
}


class Case(NamedTuple):
    """A video to render: its name, the seed, the motion of its head, and the peak of its movement; 0 is none."""

    clip: str
    seed: int
    head: str
    pixels: float


class Movement(NamedTuple):
    """A known movement: class, field `[side, side, 2]` in pixels, and times of onset, apex and offset in seconds."""

    label: str
    field: NDArray[np.float64]
    onset: float
    apex: float
    offset: float

    def at(self, seconds: float) -> NDArray[np.float64]:
        """The displacement at a time: half a cosine on each side of the apex."""
        rise = np.interp(seconds, (self.onset, self.apex, self.offset), (0.0, 1.0, 0.0))
        return np.asarray(np.sin(np.pi * rise / 2) ** 2 * self.field)


class Verdict(NamedTuple):
    """A movement that the search finds and gives a class: kind, and frame numbers from 1."""

    kind: str
    onset: int
    apex: int
    offset: int


class Outcome(NamedTuple):
    """Result of one video: its case, the true movement if there is one, and what is found."""

    case: Case
    truth: Movement | None
    verdicts: tuple[Verdict, ...]

    @property
    def hit(self) -> Verdict | None:
        """The verdict that overlaps the true movement most; None if no apex lies within it."""
        if self.truth is None:
            return None
        first, last = (1 + FPS * time for time in (self.truth.onset, self.truth.offset))
        inside = [one for one in self.verdicts if first <= one.apex <= last]
        return max(inside, key=lambda one: min(one.offset, last) - max(one.onset, first), default=None)


class Row(NamedTuple):
    """Result of all videos with one motion of the head and one peak.

    Attributes:
      head: motion of the head.
      pixels: peak of the movement, in pixels of a face 128 wide; 0 is none.
      videos: their number.
      false: verdicts that are not the true movement.
      found: share of the movements that are found; None without one.
      micro: share of those found that are called micro-expressions.
      apex_error: median distance of the apex, in frames.
    """

    head: str
    pixels: float
    videos: int
    false: int
    found: float | None = None
    micro: float | None = None
    apex_error: float | None = None


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows."""
    del data_dir, network
    for pixels in (0.0, *PIXELS):
        for head in HEADS:
            yield summary(outcomes(head, pixels, MOVEMENTS if pixels else VIDEOS))


def outcomes(head: str, pixels: float, videos: int) -> list[Outcome]:
    """Search videos with one motion of the head, on all cores.

    Raises:
      ValueError: a search fails.
    """
    cases = [Case(f"{head} {pixels:g} {seed}", seed, head, pixels) for seed in range(videos)]
    found = []
    for _, result in each_clip(search_case, cases):
        if isinstance(result, Exception):
            raise result
        found.append(result)
    return found


def search_case(case: Case) -> Outcome:
    """Render one video and search it."""
    truth, frames = render(case)
    search = search_movements(frames, FPS, SpotConfig())
    found = [one for one in search.movements if one.kind in WITH_CLASS]
    verdicts = tuple(Verdict(one.kind, one.onset, one.apex, one.offset) for one in found)
    return Outcome(case, truth, verdicts)


def render(case: Case) -> tuple[Movement | None, Iterator[TimedFrame]]:
    """The movement of a video and its frames; the same case gives the same video."""
    rng = np.random.default_rng((case.seed, list(HEADS).index(case.head), round(100 * case.pixels)))
    side = int(rng.integers(*SIDES))
    head = portrait_head(side, SIZE, rng)
    pose = head_poses(HEADS[case.head], side / 128, rng)
    truth = draw_movement(case.pixels * side / 128, side, rng) if case.pixels else None
    noise, drift = rng.uniform(*_NOISE), rng.uniform(-_DRIFT, _DRIFT)

    def frames() -> Iterator[TimedFrame]:
        for seconds in np.arange(FRAMES) / FPS:
            light = Light(gain=1 + drift * seconds + rng.normal(0, _FLICKER), lambert=0.4)
            expression = None if truth is None else truth.at(seconds)
            yield TimedFrame(head.frame(pose(seconds), expression, noise=noise, rng=rng, light=light), float(seconds))

    return truth, frames()


def head_poses(motion: HeadMotion, scale: float, rng: np.random.Generator) -> Callable[[float], HeadPose]:
    """A random motion of a head: the pose at each time; `scale` is the face's side over 128."""
    shift = scale * motion.sway
    largest = np.array([motion.turn, motion.nod, motion.tilt, shift, shift, motion.nearer])
    sizes = largest * rng.uniform(0.5, 1, 6)
    periods, phases = rng.uniform(*_PERIODS, 6), rng.uniform(0, 1, 6)

    def pose(seconds: float) -> HeadPose:
        turn, nod, tilt, right, down, growth = (sizes * np.sin(2 * np.pi * (seconds / periods + phases))).tolist()
        return HeadPose(turn, nod, tilt, right, down, 1 + growth)

    return pose


def draw_movement(peak: float, side: int, rng: np.random.Generator) -> Movement:
    """A random class and combination of action units, with one peak in pixels, within the video."""
    label = EMOTIONS_3[rng.integers(len(EMOTIONS_3))]
    choices = UNITS_OF_EMOTION[label]
    tilt = rng.normal(0, 0.2)
    field = action_unit_field(dict.fromkeys(choices[rng.integers(len(choices))], (1 + tilt, 1 - tilt)), side)
    field *= peak / np.hypot(*np.moveaxis(field, 2, 0)).max()
    seconds = rng.uniform(1 / 5, 1 / 2)
    onset = rng.uniform(0.4, FRAMES / FPS - 0.4 - seconds)
    return Movement(label, field, onset, onset + rng.uniform(0.35, 0.65) * seconds, onset + seconds)


def summary(results: list[Outcome]) -> Row:
    """The row of videos of one kind."""
    case, hits = results[0].case, [one.hit for one in results]
    false = sum(len(one.verdicts) for one in results) - sum(hit is not None for hit in hits)
    if not case.pixels:
        return Row(case.head, 0.0, len(results), false)
    found = [
        (hit, one.truth) for hit, one in zip(hits, results, strict=True) if hit is not None and one.truth is not None
    ]
    errors = [abs(hit.apex - 1 - FPS * truth.apex) for hit, truth in found]
    micro = [hit.kind == "micro-expression" for hit, _ in found]
    shares = (float(np.mean(micro)), float(np.median(errors))) if found else (None, None)
    return Row(case.head, case.pixels, len(results), false, len(found) / len(results), *shares)


def show(console: Console, rows: list[Row], title: str) -> None:
    """Print the table."""
    columns = (
        "peak, pixels",
        "motion of the head",
        "videos",
        "false verdicts",
        "found",
        "called micro",
        "apex error, frames",
    )
    table = Table(*columns, title=title)
    for row in rows:
        shares = ("" if share is None else f"{share:.0%}" for share in (row.found, row.micro))
        error = "" if row.apex_error is None else f"{row.apex_error:.1f}"
        table.add_row(
            f"{row.pixels:g}" if row.pixels else "none", row.head, f"{row.videos}", f"{row.false}", *shares, error
        )
    console.print(table)


def draw(path: Path, rows: list[Row], title: str, data: str) -> None:
    """Draw false verdicts per video and the share found, one line per motion of the head."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots(1, 2)
    levels = list(dict.fromkeys(row.pixels for row in rows))
    for head in dict.fromkeys(row.head for row in rows):
        own = [row for row in rows if row.head == head]
        places = [levels.index(row.pixels) for row in own]
        axes[0].plot(places, [row.false / row.videos for row in own], marker="o", label=head)
        axes[1].plot(places, [np.nan if row.found is None else row.found for row in own], marker="o")
    for one, name in zip(axes, ("false verdicts per video", "share of the movements found"), strict=True):
        one.set_xticks(range(len(levels)), [f"{level:g}" if level else "none" for level in levels])
        one.set_xlabel("peak, pixels of a face 128 wide")
        one.set_title(name, fontsize=10)
        one.set_ylim(0, None)
        one.grid(alpha=0.3)
    finish_figure(figure, axes[0], path, title, data)


STUDY = Study("Which movements are found on heads that also move?", run, data="heads", show=show, draw=draw)
