"""The same training by one process and by two processes on one computer: seconds of training without compilation.

The second process compiles at every start, since JAX stores the compiled programs of the first process only.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.benchmark.measure import ROOT

_WORDS = ("--dataset=smic", "--backbone=conv4", "--steps=25", "--seeds=2")


def measure_hosts(devices: int) -> dict[str, float]:
    """Seconds of the same training on stand-in data with `devices` host devices: in one process, and split over two."""
    with tempfile.TemporaryDirectory() as folder:
        return {str(count): _train(Path(folder), processes=count, devices=devices) for count in (1, 2)}


def _train(folder: Path, *, processes: int, devices: int) -> float:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(max(1, devices // processes))}
    workdir = folder / str(processes)
    words = [sys.executable, "-m", "experiments.run", *_WORDS, f"--data_cache={folder}/data", f"--workdir={workdir}"]
    own: list[list[str]] = [[]]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            words += [f"--coordinator=localhost:{probe.getsockname()[1]}", f"--processes={processes}"]
        own = [[f"--process_id={number}"] for number in range(processes)]
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen([*words, *flag], cwd=ROOT, env=environment, **settings) for flag in own]
    # As on separate computers, each process has its own cores.
    cores = sorted(os.sched_getaffinity(0))
    for number, process in enumerate(running):
        os.sched_setaffinity(process.pid, cores[number::processes])
    outputs = [process.communicate()[0] for process in running]
    for process, text in zip(running, outputs, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"training in {processes} processes ended with {process.returncode}: {text[-2000:]}")
    lines = [json.loads(line)["seconds"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    # From the end of the first jobs, which includes compilation, to the end of the last.
    return float(lines[-1] - lines[0])
