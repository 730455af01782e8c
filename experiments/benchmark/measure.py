"""Timing: interleaved rounds of several contenders, compiled JAX calls, and whole processes."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark.work import Setting, draw_work

# JAX is imported by the functions that need it: a process that measures PyTorch must not contain it.
ROOT = Path(__file__).parents[2]


class Timing(NamedTuple):
    """Seconds of each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over rounds."""
        return statistics.median(self.seconds)

    def speed_up(self, other: "Timing") -> float:
        """Ratio of the time of `other` to this one: the median of the ratios within rounds."""
        return statistics.median(b / a for a, b in zip(self.seconds, other.seconds, strict=True))


def interleaved(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Call every contender once per round, after one call that is not counted.

    The load of the computer varies less within a round than between rounds, so ratios within rounds vary less than times do.
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


def time_call(call: Callable[[], Any], repeats: int) -> Timing:
    """Time `repeats` calls, after one call that is not counted."""
    return interleaved({"": call}, repeats)[""]


class CompiledCall(NamedTuple):
    """A compiled call that waits for its result, seconds of tracing and compiling, and temporary memory per device (0: unknown)."""

    call: Callable[[], Any]
    compile_seconds: float
    temporary_bytes: int


def compile_call(function: Callable[..., Any], setting: Setting) -> CompiledCall:
    """Compile `function(params, tasks)` for the work of a setting."""
    import jax

    inputs = jax.device_put(draw_work(setting))
    started = time.perf_counter()
    compiled = jax.jit(function).lower(*inputs).compile()
    seconds = time.perf_counter() - started
    memory: Any = compiled.memory_analysis()
    temporary = 0 if memory is None else int(memory.temp_size_in_bytes)
    return CompiledCall(lambda: jax.block_until_ready(compiled(*inputs)), seconds, temporary)


def difference(first: Any, second: Any) -> float:
    """`|first - second| / |second|` of two trees of arrays, Euclidean norms over all entries."""
    import jax

    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    far = sum(float(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).sum()) for a, b in pairs)
    return float(np.sqrt(far / sum(float(np.square(np.asarray(b, np.float64)).sum()) for _, b in pairs)))


def fresh_process(module: str, *words: str, devices: int | None = None) -> dict[str, Any]:
    """Run `python -m module words` with `devices` JAX host devices, and parse the last line of its output as JSON.

    Raises:
      RuntimeError: the process failed; the message ends with its standard error.
    """
    environment = os.environ | ({} if devices is None else {"JAX_NUM_CPU_DEVICES": str(devices)})
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(words)} ended with status {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
