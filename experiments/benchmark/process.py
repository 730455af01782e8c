"""One contender alone in its process: `python -m experiments.benchmark.process lightman_jax a [CACHE]` prints one line of JSON.

`torch` instead of `lightman_jax` measures the PyTorch loop, which needs no cache. Times exclude imports.
"""

import json
import statistics
import sys
from typing import Any

from experiments.benchmark.measure import compile_call, time_once
from experiments.benchmark.work import SETTINGS, draw_work
from experiments.cli.memory import peak_megabytes

_REPEATS = 3


def main(contender: str, name: str, cache: str | None = None) -> dict[str, Any]:
    """Compile and run a setting.

    Returns:
      Seconds of compilation, of the first call (with compilation) and of later calls, and the peak memory of the process.
    """
    setting = SETTINGS[name]
    compile_seconds = 0.0
    if contender == "torch":
        from experiments.benchmark.torch_peers import autograd_loop, from_numpy, wait

        gradient, inputs = autograd_loop(setting), from_numpy(*draw_work(setting), setting)

        def call() -> Any:
            result = gradient(*inputs)
            wait()
            return result
    else:
        import jax

        if cache:
            jax.config.update("jax_compilation_cache_dir", cache)
        from experiments.benchmark.product import make_gradient, network_of, task_mesh

        compiled = compile_call(make_gradient(setting, network_of(setting), task_mesh()), setting)
        compile_seconds, call = compiled.compile_seconds, compiled.call
    first = compile_seconds + time_once(call)
    seconds = statistics.median(time_once(call) for _ in range(_REPEATS))
    found = {"compile_seconds": compile_seconds, "first_call_seconds": first, "seconds": seconds}
    return found | {"peak_megabytes": peak_megabytes()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
