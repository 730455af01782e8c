"""Growth of time and memory with the work: one quantity at a time, from a small base, with fitted exponents.

An image of side s has s^2 pixels, so an exponent of 2 in `side` is linear in the number of pixels.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

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
AXES = {"tasks": (2, 4, 8, 16, 32, 64), "inner_steps": (0, 1, 2, 5, 10), "side": (14, 28, 56, 112)}
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
    mesh = task_mesh()
    points = []
    for axis, size in [(axis, size) for axis, sizes in AXES.items() for size in sizes]:
        change: dict[str, Any] = {axis: size}
        setting = dataclasses.replace(BASE, **change)
        compiled = compile_call(make_gradient(setting, network_of(setting), mesh), setting)
        points.append(Point(axis, size, time_call(compiled.call, _REPEATS).median, compiled.temporary_bytes))
    return points + _folds()


def exponent(points: Sequence[Point]) -> float:
    """Slope of log seconds over log size between the two largest sizes.

    >>> exponent([Point("side", 1, 9.0, 0), Point("side", 10, 10.0, 0), Point("side", 20, 40.0, 0)])
    2.0
    """
    (small, large) = sorted(points, key=lambda p: p.size)[-2:]
    return float(np.log(large.seconds / small.seconds) / np.log(large.size / small.size))


def _folds() -> list[Point]:
    """Leave-one-subject-out over a growing number of folds of one data set; the first call, which compiles, is not counted."""
    rng = np.random.default_rng(0)
    subjects, each = max(FOLDS), 3
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
    for count in FOLDS:
        started = time.perf_counter()
        list(train_folds(clips, None, folds[:count], [0], config))
        points.append(Point("folds", count, time.perf_counter() - started, 0))
    return points
