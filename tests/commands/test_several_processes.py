"""Several processes train one run together: the first alone writes, and the numbers are those of one process."""

import csv
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from experiments import run
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


def test_two_processes_give_the_predictions_of_one(tmp_path):
    data = write_flow_release(tmp_path / "data")
    port = free_port()
    several = [f"--coordinator=localhost:{port}", "--processes=2"]
    together = [start(tmp_path / "two", data, *several, f"--process_id={number}") for number in range(2)]
    try:
        said = [process.communicate(timeout=200)[0] for process in together]
    finally:
        for process in together:
            process.kill()
    assert [process.returncode for process in together] == [0, 0], said
    alone = start(tmp_path / "one", data)
    assert alone.communicate(timeout=300)[0]
    assert alone.returncode == 0
    assert "2 devices" in said[0]
    assert "training" not in said[1], "only the first process speaks"
    one, two = probabilities(tmp_path / "one"), probabilities(tmp_path / "two")
    assert one.keys() == two.keys()
    for clip, values in one.items():
        np.testing.assert_allclose(two[clip], values, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--processes=2", "--process_id=2", "--coordinator=localhost:1"], "not one of 0 to processes - 1 = 1"),
        (["--processes=2"], "need --coordinator=HOST:PORT"),
    ],
)
def test_processes_that_cannot_meet_are_refused(flags, text):
    with pytest.raises(ConfigError, match=text):
        parse_config(flags)


def test_a_process_alone_joins_nobody(monkeypatch):
    from experiments.cli import hosts

    monkeypatch.setattr(hosts.jax.distributed, "initialize", lambda *_: pytest.fail("there is nobody to meet"))
    monkeypatch.setenv("SLURM_NTASKS", "1")
    hosts.join_hosts(parse_config([]))
    assert hosts.is_first()
    assert hosts.from_first(np.array([True])).tolist() == [True]
    met = []
    monkeypatch.setattr(hosts.jax.distributed, "initialize", lambda *words: met.append(words))
    monkeypatch.setenv("SLURM_NTASKS", "4")
    hosts.join_hosts(parse_config([]))
    hosts.join_hosts(parse_config(["--coordinator=a:1", "--processes=3", "--process_id=2"]))
    assert met == [(), ("a:1", 3, 2)]
    assert run.is_first is hosts.is_first
