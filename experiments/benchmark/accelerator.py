"""`python -m experiments.benchmark.accelerator [--data_dir=FLOW]`: correctness and speed on a GPU or TPU, in at most 8 minutes.

Each part runs in its own process with its own time limit; a failure is reported and the other parts go on. On a CPU, or with
`--small`, the work is smaller. Results: `accelerator.json` and `accelerator.txt` in `--workdir`.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmark.accelerator_report import report
from experiments.benchmark.measure import fresh_process
from experiments.cli.commands import run_command
from experiments.cli.flags import CommandParser, whole_number
from lightman_jax.files import write_atomic

Row = dict[str, Any]
_PARTS = "experiments.benchmark.accelerator_parts"
_LEAST_SECONDS = 5.0
_SMALL_LIMIT = 4


class Part(NamedTuple):
    """A part of the measurements.

    Attributes:
      name: in the results.
      limit: seconds after which it is stopped.
      function: of `accelerator_parts`, with its arguments.
      words: arguments of the function.
      cpu: computes on the CPU, at the same time as the other correctness parts, for comparison.
    """

    name: str
    limit: int
    function: str
    words: tuple[str, ...] = ()
    cpu: bool = False


CORRECTNESS = (
    Part("gradients, CPU", 200, "gradients", cpu=True),
    Part("predictions, CPU", 200, "predictions", ("highest",), cpu=True),
    Part("gradients", 150, "gradients"),
    Part("predictions", 100, "predictions", ("highest",)),
    Part("predictions, default precision", 80, "predictions", ("default",)),
)
SPEED = (
    Part("ceilings", 40, "ceilings"),
    Part("a", 110, "contenders", ("a",)),
    Part("b", 110, "contenders", ("b",)),
    Part("folds", 60, "folds"),
    Part("loso", 100, "loso"),
    Part("resnet18_imagenet", 100, "contenders", ("resnet18_imagenet",)),
)
NAMES = tuple(part.name for part in (*CORRECTNESS, *SPEED))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts, print tables, and write the results; 1 if a part failed or the device computes other gradients."""
    return run_command("experiments.benchmark.accelerator", argv, _run, remedy="Give a writable folder by --workdir")


def _run(words: Sequence[str]) -> int:
    parser = CommandParser("benchmark.accelerator", __doc__)
    parser.add_argument("--part", choices=NAMES, action="append", help="only this part; can be repeated")
    parser.add_argument("--data_dir", help="folder of the flow release of MEGC2019; without it the stand-in is used")
    parser.add_argument("--minutes", type=whole_number(1), default=8, help="time for all parts together")
    parser.add_argument("--small", action="store_true", help="small work, as on a CPU")
    parser.add_argument("--workdir", type=Path, default=Path("runs/accelerator"), help="folder of the results")
    options = parser.parse_args(words)
    workdir: Path = options.workdir.absolute()
    workdir.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    # PyTorch needs memory on the same GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    device = fresh_process(_PARTS, "device", timeout=120)
    given = {
        "small": options.small or device["backend"] == "cpu",
        "workdir": str(workdir),
        "data_dir": options.data_dir,
    }
    chosen = options.part or NAMES
    result: Row = {"device": device, "small": given["small"], "parts": {}}
    # The CPU computes for comparison while the device does, and is idle during the timings.
    with ThreadPoolExecutor() as pool:
        running: dict[str, Future[Row]] = {}
        for part in [part for part in CORRECTNESS if part.name in chosen]:
            running[part.name] = pool.submit(attempt, part, given, end)
            if not part.cpu:
                running[part.name].result()
        result["parts"] |= {name: future.result() for name, future in running.items()}
    for part in [part for part in SPEED if part.name in chosen]:
        result["parts"][part.name] = attempt(part, given, end)
    text, good = report(result, workdir)
    write_atomic(workdir / "accelerator.json", json.dumps(result, indent=1) + "\n")
    write_atomic(workdir / "accelerator.txt", text)
    print(text)
    return 0 if good else 1


def attempt(part: Part, given: Row, end: float) -> Row:
    """Result of a part and its seconds, or `error`."""
    started = time.monotonic()
    # A CPU may be busy with other work.
    limit = min(part.limit * (_SMALL_LIMIT if given["small"] else 1), end - started)
    if limit < _LEAST_SECONDS:
        return {"error": "not started: the time for all parts is over", "seconds": 0.0}
    words = (part.function, json.dumps(given | {"seconds": limit, "name": part.name}), *part.words)
    try:
        found = fresh_process(_PARTS, *words, timeout=limit, environment={"JAX_PLATFORMS": "cpu"} if part.cpu else {})
    except (RuntimeError, ValueError, OSError) as error:
        found = {"error": str(error)}
    seconds = time.monotonic() - started
    print(f"{part.name}: {seconds:.0f} s{', failed' if 'error' in found else ''}", flush=True)
    return found | {"seconds": round(seconds, 1)}


if __name__ == "__main__":
    sys.exit(main())
