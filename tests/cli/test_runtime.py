"""One public function sets up devices and the compilation cache, for commands and for notebooks."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from experiments.cli import memory, runtime
from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError

ROOT = Path(__file__).parents[2]
SHOW = "print(json.dumps([jax.device_count(), jax.config.jax_compilation_cache_dir]))"


def run_python(code, tmp_path):
    """Last line of a fresh process, as JSON, and its standard error."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    }
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_a_notebook_sets_up_what_the_command_sets_up(tmp_path):
    code = f"import json, jax; from experiments.cli.runtime import set_up_jax; set_up_jax({str(tmp_path)!r}); {SHOW}"
    found, _ = run_python(code, tmp_path)
    assert found == [min(16, len(os.sched_getaffinity(0))), str(tmp_path / "xla")]


@pytest.mark.slow
def test_setting_up_after_jax_has_started_warns_and_keeps_the_devices(tmp_path):
    code = (
        "import json, jax; jax.config.update('jax_num_cpu_devices', 3); jax.devices();"
        f"from experiments.cli.runtime import set_up_jax; set_up_jax({str(tmp_path)!r}); {SHOW}"
    )
    found, warned = run_python(code, tmp_path)
    assert found == [3, str(tmp_path / "xla")]
    assert "restart the process" in warned


STEP = {
    "SLURM_JOB_ID": "1",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
}
ALONE = [
    {},
    {"SLURM_NTASKS": "1"},
    {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"},
    {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "4"},
    {**STEP, "SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"},
    {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"},
    {"PMI_SIZE": "2", "PMI_RANK": "1"},
    {"WORLD_SIZE": "8", "RANK": "0"},
    {"TPU_WORKER_HOSTNAMES": "localhost"},
]
TOGETHER = [
    (STEP, (None, 4, 2)),
    ({**STEP, "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2"}, (None, 2, 2)),
    (
        {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"},
        (None, 3, 1),
    ),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, (None, None, None)),
]


@pytest.fixture
def connected(monkeypatch):
    """Calls of `jax.distributed.initialize`, in an environment without a launcher."""
    for name in os.environ:
        if name.startswith(("SLURM_", "OMPI_", "PMI_", "TPU_")) or name == "WORLD_SIZE":
            monkeypatch.delenv(name)
    calls = []
    monkeypatch.setattr(runtime.jax.config, "update", lambda *_: None)
    monkeypatch.setattr(runtime.jax.distributed, "initialize", lambda *words, **_: calls.append(words))
    return calls


def set_environment(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", ALONE, ids=str)
def test_one_process_in_an_allocation_of_several_runs_alone_and_prints_it(
    environment, connected, monkeypatch, tmp_path, capsys
):
    set_environment(monkeypatch, environment)
    runtime.set_up_jax(tmp_path, processes=0)
    assert not connected
    several = [value for name, value in environment.items() if name.endswith(("NTASKS", "SIZE")) and value != "1"]
    assert ("runs as one process" in capsys.readouterr().err) == bool(several)


@pytest.mark.parametrize(("environment", "call"), TOGETHER, ids=str)
def test_processes_that_a_launcher_starts_together_wait_for_each_other_and_print_it(
    environment, call, connected, monkeypatch, tmp_path, capsys
):
    set_environment(monkeypatch, environment)
    for processes in (1, 0):
        runtime.set_up_jax(tmp_path, processes=processes)
        assert connected == [call][: 1 - processes]
    assert "waits up to 300 s for the others; --processes=1 runs without them" in capsys.readouterr().err
    runtime.set_up_jax(tmp_path, coordinator="a:1", processes=3, process_id=2)
    assert connected[1] == ("a:1", 3, 2)


def test_processes_that_never_start_are_not_waited_for_without_end(connected, monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "_WAITING_SECONDS", 0.01)
    done = threading.Event()
    monkeypatch.setattr(runtime.jax.distributed, "initialize", lambda *_, **__: done.wait(10))
    with pytest.raises(ConfigError, match=r"others have not started within 0\.01 s.*--processes=1"):
        runtime.set_up_jax(tmp_path, coordinator="a:1", processes=2)
    done.set()


def test_the_memory_of_the_computer_is_that_of_its_container_if_that_is_smaller(monkeypatch, tmp_path):
    whole = memory.memory_bytes()
    assert 1e8 < whole < 1e15
    monkeypatch.setattr(memory, "_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
    for text, expected in (("max\n", whole), ("1000000\n", 1e6), ("9223372036854771712", whole)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.memory_bytes() <= whole if expected == whole else memory.memory_bytes() == expected
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="is no share; choose 0"):
            RunConfig(image_memory=share)
