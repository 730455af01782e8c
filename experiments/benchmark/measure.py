"""Timing: interleaved rounds of several contenders, compiled JAX calls, and whole processes."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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
            seconds[name].append(time_once(call))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def time_once(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


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


def in_float64() -> AbstractContextManager[Any]:
    """Context in which JAX computes in float64 in this thread; before JAX 0.8 it is in `jax.experimental`."""
    import jax
    import jax.experimental

    before: Any = jax.experimental
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else before.enable_x64()


def difference(first: Any, second: Any) -> float:
    """`|first - second| / |second|` of two trees of arrays, Euclidean norms over all entries."""
    import jax

    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    far = sum(float(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).sum()) for a, b in pairs)
    return float(np.sqrt(far / sum(float(np.square(np.asarray(b, np.float64)).sum()) for _, b in pairs)))


def fresh_process(
    module: str,
    *words: str,
    devices: int | None = None,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m module words` with `devices` JAX host devices, and parse the last line of its output as JSON.

    Raises:
      RuntimeError: the process failed, with the end of its standard error, or took longer than `timeout` seconds.
    """
    variables = os.environ | (environment or {}) | ({} if devices is None else {"JAX_NUM_CPU_DEVICES": str(devices)})
    command = [sys.executable, "-m", module, *words]
    settings: dict[str, Any] = {"cwd": ROOT, "env": variables, "capture_output": True, "text": True, "check": False}
    try:
        done = subprocess.run(command, timeout=timeout, **settings)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{module} {' '.join(words)} was stopped after {timeout:.0f} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(words)} ended with status {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
