"""Several processes train one run together: only the first writes, and the predictions are those of a single process."""

import csv
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from experiments.cli import runtime
from experiments.cli.config import parse_config
from experiments.cli.flags import ConfigError
from tests.inputs import write_flow_release

TINY = (
    "--width=8",
    "--embedding=4",
    "--shots=1",
    "--macro_shots=1",
    "--meta_batch_size=2",
    "--steps=2",
    "--ensemble_size=1",
    "--baselines=majority",
    "--seeds=1",
    "--method=joint",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start(folder, data, *flags):
    words = [sys.executable, "-m", "experiments.run", "--dataset=smic", f"--data_dir={data}", *TINY, *flags]
    places = [f"--data_cache={folder / 'shards'}", f"--workdir={folder / 'work'}"]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        [*words, *places], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def probabilities(folder):
    rows = csv.DictReader((folder / "work" / "predictions.csv").read_text().splitlines())
    return {row["clip"]: [float(row[name]) for name in row if name.startswith("p_")] for row in rows}


@pytest.mark.slow
def test_two_processes_give_the_predictions_of_one(tmp_path):
    data = write_flow_release(tmp_path / "data")
    port = free_port()
    several = [f"--coordinator=localhost:{port}", "--processes=2"]
    together = [start(tmp_path / "two", data, *several, f"--process_id={number}") for number in range(2)]
    try:
        printed = [process.communicate(timeout=200)[0] for process in together]
    finally:
        for process in together:
            process.kill()
    assert [process.returncode for process in together] == [0, 0], printed
    alone = start(tmp_path / "one", data)
    assert alone.communicate(timeout=300)[0]
    assert alone.returncode == 0
    assert "2 devices" in printed[0]
    assert "training" not in printed[1], "only the first process prints"
    one, two = probabilities(tmp_path / "one"), probabilities(tmp_path / "two")
    assert one.keys() == two.keys()
    for clip, values in one.items():
        np.testing.assert_allclose(two[clip], values, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--processes=2", "--process_id=2", "--coordinator=localhost:1"], "not one of 0 to processes - 1 = 1"),
        (["--processes=2"], "need --coordinator=HOST:PORT"),
        (["--coordinator=localhost:1"], "without --processes=COUNT"),
        (["--processes=-1"], "not one of 0 to"),
    ],
)
def test_inconsistent_process_flags_are_refused(flags, text):
    with pytest.raises(ConfigError, match=text):
        parse_config(flags)


def test_the_first_process_of_one_needs_no_other():
    assert runtime.is_first()
    assert runtime.from_first(np.array([True])).tolist() == [True]
