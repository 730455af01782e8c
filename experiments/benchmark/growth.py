"""Growth of time and memory with the work: one quantity at a time, from a small base, with fitted exponents."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from experiments.benchmark.layers import Timed
from experiments.benchmark.measure import compile_call, time_call
from experiments.benchmark.product import make_gradient, network_of, task_mesh
from experiments.benchmark.work import Setting
from lightman_jax.meta.methods import MethodConfig
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.types import ClipSet

BASE = Setting(side=28, width=16, way=3, support=15, query=15, inner_steps=3, tasks=4)
AXES = {"tasks": (2, 4, 8, 16, 32, 64), "inner_steps": (0, 1, 2, 5, 10)}
SIDES = (56, 84, 112, 168, 224)
FEW = Setting(side=56, width=16, way=3, support=3, query=3, inner_steps=2, tasks=2)
FOLDS = (2, 10, 50, 200)
_REPEATS = 5


class Point(NamedTuple):
    """One size of one quantity: seconds per call, and bytes of temporary memory per device (0 if unknown)."""

    axis: str
    size: int
    seconds: float
    temporary_bytes: int


def measure_growth() -> list[Point]:
    """Measure every axis of `AXES`, and the number of folds."""
    points = []
    for axis, size in [(axis, size) for axis, sizes in AXES.items() for size in sizes]:
        change: dict[str, Any] = {axis: size}
        points.append(_point(axis, size, dataclasses.replace(BASE, **change)))
    return points + measure_folds()


def measure_pixels() -> list[Point]:
    """Measure a small update at every side of `SIDES` with every backbone; the axis is the backbone, the size H W."""
    settings = [(dataclasses.replace(FEW, backbone=name, side=side)) for name in get_args(Timed) for side in SIDES]
    return [_point(setting.backbone, setting.side**2, setting) for setting in settings]


def exponent(points: Sequence[Point], last: int = 2, *, memory: bool = False) -> float:
    """Fitted slope of log seconds (or log bytes) over log size, at the `last` largest sizes.

    >>> exponent([Point("tasks", 1, 9.0, 0), Point("tasks", 10, 10.0, 0), Point("tasks", 20, 40.0, 0)])
    2.0
    """
    largest = sorted(points, key=lambda p: p.size)[-last:]
    values = [p.temporary_bytes if memory else p.seconds for p in largest]
    return round(float(np.polyfit(np.log([p.size for p in largest]), np.log(values), 1)[0]), 2)


def _point(axis: str, size: int, setting: Setting) -> Point:
    compiled = compile_call(make_gradient(setting, network_of(setting), task_mesh()), setting)
    return Point(axis, size, time_call(compiled.call, _REPEATS).median, compiled.temporary_bytes)


def measure_folds(counts: Sequence[int] = FOLDS) -> list[Point]:
    """Leave-one-subject-out over a growing number of folds of one data set; the first call, which compiles, is not counted."""
    rng = np.random.default_rng(0)
    subjects, each = max(counts), 3
    image = rng.normal(size=(subjects * each, 14, 14, 3)).astype(np.float32)
    subject = tuple(f"invented/{number}" for number in range(subjects) for _ in range(each))
    clip = tuple(f"{name}/{row}" for row, name in enumerate(subject))
    label = np.tile(np.arange(3, dtype=np.int32), subjects)
    clips = ClipSet(image, label, subject, clip, ("negative", "positive", "surprise"))
    network, task = NetworkConfig(backbone="conv4", width=8), TaskConfig(shots=2, macro_shots=2, meta_batch_size=2)
    config = TrainConfig(MethodConfig(), network, task, steps=5)
    folds = leave_one_subject_out(clips.subject)
    list(train_folds(clips, None, folds[:2], [0], config))
    points = []
    for count in counts:
        started = time.perf_counter()
        list(train_folds(clips, None, folds[:count], [0], config))
        points.append(Point("folds", count, time.perf_counter() - started, 0))
    return points
