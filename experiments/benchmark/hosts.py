"""One run by one process, and the same run by two that share the machine: seconds of training, compilation left out.

The second process compiles at every start, since JAX keeps the compiled programs of the first alone.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmark.measure import ROOT

_WORDS = ("--dataset=smic", "--backbone=conv4", "--steps=25", "--seeds=2")


def measure_hosts(devices: int) -> dict[str, float]:
    """Seconds of the same invented training on `devices` host devices, in one process and in two with half of them each."""
    with tempfile.TemporaryDirectory() as folder:
        return {str(count): _train(Path(folder), processes=count, devices=devices) for count in (1, 2)}


def _train(folder: Path, *, processes: int, devices: int) -> float:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(max(1, devices // processes))}
    words = [sys.executable, "-m", "experiments.run", *_WORDS, f"--data_cache={folder / 'shards'}"]
    workdir = folder / str(processes)
    words += [f"--workdir={workdir}"]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            words += [f"--coordinator=localhost:{probe.getsockname()[1]}", f"--processes={processes}"]
    running = [
        subprocess.Popen(
            [*words, *([f"--process_id={number}"] if processes > 1 else [])],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]
    # As two machines would, each process has cores of its own.
    cores = sorted(os.sched_getaffinity(0))
    for number, process in enumerate(running):
        os.sched_setaffinity(process.pid, cores[number::processes])
    said = [process.communicate()[0] for process in running]
    for process, text in zip(running, said, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"training in {processes} processes ended with {process.returncode}: {text[-2000:]}")
    lines = [json.loads(line)["seconds"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    # From the end of the first lanes, before which all compile, to the end of the last.
    return float(lines[-1] - lines[0])
