"""Time contenders in interleaved rounds, and whole processes one at a time."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[2]


class Timing(NamedTuple):
    """Seconds of each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over rounds."""
        return statistics.median(self.seconds)

    def speed_up(self, other: "Timing") -> float:
        """How many times faster than `other`: the median of the ratios within rounds."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def interleaved(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Call every contender once a round, after one call that is not counted.

    A round's neighbours share the machine's mood, so that ratios within rounds vary less than times do.
    """
    for call in contenders.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def difference(first: Any, second: Any) -> float:
    """`|first - second| / |second|` over two trees of arrays, Euclidean norms of all entries."""
    import jax

    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    far = sum(float(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).sum()) for a, b in pairs)
    return float(np.sqrt(far / sum(float(np.square(np.asarray(b, np.float64)).sum()) for _, b in pairs)))


def fresh_process(module: str, *words: str, devices: int | None = None) -> dict[str, Any]:
    """Run `python -m module words` and read the JSON of its last line.

    Args:
      module: its last printed line is a JSON object.
      *words: command-line words.
      devices: host devices that JAX is to have; None leaves it to the module.

    Raises:
      RuntimeError: the process failed; the message ends with what it said.
    """
    environment = dict(os.environ)
    if devices is not None:
        environment["JAX_NUM_CPU_DEVICES"] = str(devices)
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(words)} ended with status {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def peak_megabytes() -> float:
    """Largest resident size of this process so far, in 1e6 bytes; on Linux without that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
