"""One contender alone in its process: `python -m experiments.benchmark.process product a [CACHE]`; prints one line of JSON.

`torch` in place of `product` times the PyTorch loop, which needs no cache. Times exclude imports.
"""

import json
import statistics
import sys
import time
from typing import Any

from experiments.benchmark.measure import peak_megabytes
from experiments.benchmark.work import SETTINGS, draw_work

_REPEATS = 7


def main(who: str, name: str, cache: str | None = None) -> dict[str, Any]:
    """Compile and run a setting; compile seconds, seconds a call, and the peak memory of the process."""
    setting = SETTINGS[name]
    params, tasks = draw_work(setting)
    compile_seconds = 0.0
    if who == "torch":
        from experiments.benchmark.torch_peers import autograd_loop, from_numpy

        gradient, inputs = autograd_loop(setting), from_numpy(params, tasks)
    else:
        import jax

        if cache:
            jax.config.update("jax_compilation_cache_dir", cache)
        from experiments.benchmark.product import make_gradient, network_of, task_mesh

        inputs = jax.device_put((params, tasks))
        started = time.perf_counter()
        compiled = jax.jit(make_gradient(setting, network_of(setting), task_mesh())).lower(*inputs).compile()
        compile_seconds = time.perf_counter() - started

        def gradient(*inputs: Any) -> Any:
            return jax.block_until_ready(compiled(*inputs))

    seconds = []
    for _ in range(1 + _REPEATS):
        started = time.perf_counter()
        gradient(*inputs)
        seconds.append(time.perf_counter() - started)
    return {
        "compile_seconds": compile_seconds,
        "seconds": statistics.median(seconds[1:]),
        "peak_megabytes": peak_megabytes(),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
