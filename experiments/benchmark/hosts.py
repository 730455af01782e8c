"""One run by one process, and the same run by two that share the machine: seconds of training, compilation left out."""

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
        # Prepared once and compiled once before: neither is what is compared.
        _train(Path(folder), processes=1, devices=devices, name="warm-up")
        return {
            str(processes): _train(Path(folder), processes=processes, devices=devices, name=f"{processes}")
            for processes in (1, 2)
        }


def _train(folder: Path, *, processes: int, devices: int, name: str) -> float:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(max(1, devices // processes))}
    words = [sys.executable, "-m", "experiments.run", *_WORDS, f"--shards={folder / 'shards'}"]
    words += [f"--workdir={folder / name}"]
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
    said = [process.communicate()[0] for process in running]
    for process, text in zip(running, said, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"training in {processes} processes ended with {process.returncode}: {text[-2000:]}")
    metrics = json.loads((folder / name / "metrics.json").read_text())
    return float(metrics["training_seconds"] - metrics["compile_seconds"])
