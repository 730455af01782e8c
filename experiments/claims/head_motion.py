"""The flow of an expression on a head that also moves: error without alignment, with it, and with removal of the rest.

Rendered heads of random proportions, size and colours show the public-domain portrait at rest, then with an expression and another
pose; both frames have sensor noise. The flow from the first to the second face is compared with the expression's exact field.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import map_coordinates

from experiments.claims.sweep import Study, finish_figure
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.synthetic.action_unit_fields import action_unit_field
from lightman_jax.data.synthetic.moving_head import HeadPose, portrait_head
from lightman_jax.data.vision.face_landmarks import Region, find_landmarks
from lightman_jax.data.vision.head_motion import RestFace
from lightman_jax.data.vision.images import grey_image
from lightman_jax.data.vision.optical_flow import optical_flow
from lightman_jax.networks.dual_branch import NetworkConfig

POSES = {
    "none": HeadPose(),
    "turn 12°": HeadPose(turn=12),
    "nod 12°": HeadPose(nod=12),
    "tilt 12°": HeadPose(tilt=12),
    "10% nearer": HeadPose(nearer=1.1),
    "all": HeadPose(turn=7, nod=6, tilt=7, right=8, down=6, nearer=1.06),
}
UNITS = (
    (1,),
    (2,),
    (4,),
    (6,),
    (7,),
    (9,),
    (10,),
    (12,),
    (14,),
    (15,),
    (17,),
    (1, 2),
    (4, 7),
    (6, 12),
    (4, 9),
    (15, 17),
)
"""Expressions: single action units, and common combinations."""

PIXELS = (0.3, 1.0, 3.0)
METHODS = ("fixed box", "aligned", "aligned, head removed")
SIDE, SIZE, SIDES, NOISE = 128, (480, 640), (140, 220), 1.5


class Case(NamedTuple):
    """A pair of frames: its name, the pose of the head, the action units, the peak of their field, and the seed."""

    clip: str
    pose: HeadPose
    units: tuple[int, ...]
    pixels: float
    seed: int


class Row(NamedTuple):
    """Mean error of the flow over the face and all expressions of one peak, for one pose and method.

    Attributes:
      pose: motion of the head.
      pixels: peak of the expression, in pixels of a face 128 wide.
      method: one of `METHODS`.
      error: mean distance of the flow from the expression's field, in pixels of a face 128 wide.
      ratio: the error over that of the same method without head motion.
    """

    pose: str
    pixels: float
    method: str
    error: float
    ratio: float


def run(data_dir: Path | None, network: NetworkConfig) -> Iterator[Row]:
    """Yield the rows; every expression has one head, which is the same in all poses."""
    del data_dir, network
    for pixels in PIXELS:
        still: dict[str, float] = {}
        for name, pose in POSES.items():
            cases = [Case(f"{name} {units}", pose, units, pixels, seed) for seed, units in enumerate(UNITS)]
            for method, error in mean_errors(cases).items():
                yield Row(name, pixels, method, error, error / still.setdefault(method, error))


def mean_errors(cases: Sequence[Case]) -> dict[str, float]:
    """Mean error of each method over the cases, on all cores.

    Raises:
      ValueError: a face is not found.
    """
    found = []
    for _, result in each_clip(case_errors, cases):
        if isinstance(result, Exception):
            raise result
        found.append(result)
    return dict(zip(METHODS, np.mean(found, axis=0).tolist(), strict=True))


def case_errors(case: Case) -> list[float]:
    """Mean error of each of `METHODS` over the face."""
    rng = np.random.default_rng(case.seed)
    side = int(rng.integers(*SIDES))
    head = portrait_head(side, SIZE, rng)
    tilt = rng.normal(0, 0.2)
    expression = action_unit_field(dict.fromkeys(case.units, (1 + tilt, 1 - tilt)), side)
    expression *= case.pixels * side / 128 / np.hypot(*np.moveaxis(expression, 2, 0)).max()
    signs = rng.choice([-1, 1], 3)
    pose = case.pose._replace(
        turn=signs[0] * case.pose.turn, nod=signs[1] * case.pose.nod, tilt=signs[2] * case.pose.tilt
    )
    onset, apex = head.frame(HeadPose(), noise=NOISE, rng=rng), head.frame(pose, expression, noise=NOISE, rng=rng)
    found = [find_landmarks(frame) for frame in (onset, apex)]
    if not all(found):
        raise ValueError(f"{case.clip}: no face is found")
    rest = RestFace(onset, found[0][0], SIDE)
    fixed, aligned = RestFace(apex, found[0][0], SIDE, rest.square).face, rest.align(apex, found[1][0])
    flows = [optical_flow(grey_image(rest.face), grey_image(face)) for face in (fixed, aligned.face)]
    truth, face = _in_crop(head.fields(HeadPose(), expression), rest.square), rest.visible
    face = face & (_in_crop(np.dstack([head.mask] * 2), rest.square)[..., 0] > 0)
    flows.append(rest.expression_flow(aligned))
    return [float(np.hypot(*np.moveaxis(flow - truth, 2, 0))[face].mean()) for flow in flows]


def _in_crop(field: NDArray[Any], square: Region) -> NDArray[np.float64]:
    """A field `[H, W, 2]` of a frame at the pixels of a crop of it, along the axes and in pixels of the crop."""
    scale, (cosine, sine) = square.side / SIDE, (np.cos(square.angle), np.sin(square.angle))
    across, down = np.meshgrid(*2 * [(np.arange(SIDE) - (SIDE - 1) / 2) * scale])
    places = [square.y + sine * across + cosine * down, square.x + cosine * across - sine * down]
    u, v = (map_coordinates(part.astype(np.float64), places, order=1) for part in np.moveaxis(field, 2, 0))
    return np.dstack([cosine * u + sine * v, cosine * v - sine * u]) / scale


def show(console: Console, rows: list[Row], title: str) -> None:
    """Print the table."""
    table = Table(
        "peak, pixels", "motion of the head", *METHODS, title=f"{title} Mean error in pixels, and over that without"
    )
    for pixels, pose in dict.fromkeys((row.pixels, row.pose) for row in rows):
        own = {row.method: row for row in rows if (row.pixels, row.pose) == (pixels, pose)}
        table.add_row(f"{pixels:g}", pose, *(f"{own[name].error:.3f} ({own[name].ratio:.2f})" for name in own))
    console.print(table)


def draw(path: Path, rows: list[Row], title: str, data: str) -> None:
    """Draw one panel per peak: the error in each pose, one line per method."""
    peaks, poses = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("pixels", "pose"))
    figure = Figure(figsize=(3.6 * len(peaks), 3.8), layout="constrained")
    grid = figure.subplots(1, len(peaks), squeeze=False)[0]
    for axes, pixels in zip(grid, peaks, strict=True):
        for method in METHODS:
            errors = [row.error for row in rows if (row.pixels, row.method) == (pixels, method)]
            axes.plot(range(len(errors)), errors, marker="o", label=method)
        axes.set_xticks(range(len(poses)), poses, rotation=45, ha="right", fontsize=8)
        axes.set_title(f"peak of {pixels:g} pixels", fontsize=10)
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("mean error, pixels")
    finish_figure(figure, grid[0], path, title, data)


STUDY = Study("How well is an expression measured on a moving head?", run, data="heads", show=show, draw=draw)
