"""Memory of one process over two million outer steps of small training jobs: it must stay constant.

Two million is the number of steps of the default network in two hours; the steps of this small network take a fraction of that
time, and as many training jobs are trained, stored and released.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.evaluation.fold_store import FoldStore
from lightman_jax.networks.dual_branch import NetworkConfig
from lightman_jax.training.config import TaskConfig, TrainConfig
from lightman_jax.training.cross_validation import train_folds
from lightman_jax.training.folds import leave_one_subject_out
from lightman_jax.types import ClipSet

STEPS = 2_000_000
_STEPS_EACH = 2_000
_SAMPLES = 40


def try_long_run(folder: Path, report: Callable[[str], None], steps: int = STEPS) -> dict[str, Any]:
    """Train, and sample the resident memory of the process."""
    clips = _clips()
    folds = leave_one_subject_out(clips.subject)
    config = TrainConfig(
        network=NetworkConfig(width=4, embedding=4),
        task=TaskConfig(shots=1, macro_shots=1, meta_batch_size=1),
        steps=_STEPS_EACH,
    )
    trainings = max(steps // (_STEPS_EACH * len(folds)), 1)
    store = FoldStore(folder / "folds", clips, None, config)
    started, megabytes, ended = time.monotonic(), [], 0
    every = max(trainings * len(folds) // _SAMPLES, 1)
    for job in train_folds(clips, None, folds, range(trainings), config):
        store.save(job)
        store.path(job.fold, job.seed).unlink()
        ended += 1
        if ended % every == 0:
            megabytes.append(_resident_megabytes())
            if len(megabytes) % 10 == 0:
                report(
                    f"long run: {ended * _STEPS_EACH:,} steps, {time.monotonic() - started:.0f} s, {megabytes[-1]:.1f} MB"
                )
    # Compiled programs and first allocations exist after the first tenth.
    later = megabytes[max(len(megabytes) // 10, 1) :]
    growth = float(np.mean(later[-3:]) / np.mean(later[:3]) - 1)
    return {
        "steps": ended * _STEPS_EACH,
        "training jobs": ended,
        "seconds": round(time.monotonic() - started),
        "MB after a tenth": round(later[0], 1),
        "MB at the end": round(later[-1], 1),
        "largest over smallest": round(max(later) / min(later), 3),
        "growth": f"{growth:+.1%}",
        "failures": [] if max(later) / min(later) <= 1.05 else ["memory is not constant within 5%"],
    }


def _clips() -> ClipSet:
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(3, dtype=np.int32), 4)
    subject = tuple(f"random/{row // 3}" for row in range(len(label)))
    clip = tuple(f"{name}/{row}" for row, name in enumerate(subject))
    image = rng.normal(size=(len(label), 4, 4, 3)).astype(np.float32)
    return ClipSet(image, label, subject, clip, ("negative", "positive", "surprise"))


def _resident_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not say how much memory a process holds")
