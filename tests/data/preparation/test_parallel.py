"""Work on clips in several processes: all cores are used, errors are returned, and no worker outlives its parent."""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightman_jax import files
from lightman_jax.data.preparation import parallel
from lightman_jax.data.preparation.parallel import cpu_cores, each_clip
from lightman_jax.data.records import RawClip


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_cores_are_those_that_the_process_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "_CGROUP", tmp_path)
    allowed = os.sched_getaffinity(0)
    assert cpu_cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cpu_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000"}, math.inf),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "50000 100000"}, 0.5),
        ({"cpu.max": ""}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "0"}, math.inf),
        ({}, math.inf),
    ],
    ids=str,
)
def test_the_quota_of_a_container_limits_the_cores(files, quota, monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "_CGROUP", tmp_path)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: range(8), raising=False)
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert cpu_cores() == min(8, math.ceil(min(quota, 8)))


def test_no_other_module_counts_cores():
    root = Path(__file__).parents[3]
    counting = {
        path.relative_to(root).as_posix()
        for package in ("lightman_jax", "experiments")
        for path in (root / package).rglob("*.py")
        if any(name in path.read_text() for name in ("cpu_count(", "sched_getaffinity"))
    }
    # The benchmark of several hosts needs the numbers of the cores, to divide them.
    assert counting <= {"lightman_jax/data/preparation/parallel.py", "experiments/benchmark/hosts.py"}


def name_length(clip, factor):
    if clip.clip.endswith("7"):
        raise ValueError("seven")
    return len(clip.clip) * factor, multiprocessing.current_process().name


@pytest.mark.slow
def test_processes_share_the_clips_and_an_error_does_not_end_the_others():
    clips = [RawClip(f"c/s/{n}", "c/s", "micro", "frames", (Path("x"),)) for n in range(30)]
    results = dict(each_clip(name_length, clips, 2, workers=2))
    assert sorted(results) == list(range(30))
    failed = [index for index, result in results.items() if isinstance(result, Exception)]
    assert failed == [7, 17, 27]
    assert results[3][0] == 10
    assert {result[1] for index, result in results.items() if index not in failed} != {"MainProcess"}


def many_clips():
    return [RawClip(f"c/s/{n}", "c/s", "micro", "frames", (Path("x"),)) for n in range(30)]


def end_at_some(clip, once):
    """The process is killed at clip 7 each time, and at clip 20 the first time."""
    if clip.clip == "c/s/7" or (clip.clip == "c/s/20" and once.exists()):
        if clip.clip == "c/s/20":
            once.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return clip.clip


@pytest.mark.slow
def test_a_killed_process_costs_at_most_its_clip_and_a_warning_names_it(tmp_path):
    (tmp_path / "once").touch()
    with pytest.warns(UserWarning, match=r"memory is short.*c/s/\d.*others by 1 process\..*--workers=1"):
        results = dict(each_clip(end_at_some, many_clips(), tmp_path / "once", workers=2))
    failed = {index: str(result) for index, result in results.items() if isinstance(result, Exception)}
    assert sorted(results) == list(range(30))
    assert list(failed) == [7]
    assert "killed twice" in failed[7]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no /dev/shm"), OSError(38, "no semaphores"), ImportError("sem_open")]
)
def test_without_processes_the_clips_are_computed_here(error, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", refuse)
    with pytest.warns(UserWarning, match="no worker process can be started.*in this process"):
        results = dict(each_clip(name_length, many_clips(), 1, workers=2))
    assert results[3] == (5, "MainProcess")
    assert sorted(results) == list(range(30))


NO_GUARD = """
from pathlib import Path
from lightman_jax.data.records import RawClip
from lightman_jax.data.preparation.parallel import each_clip
from tests.data.preparation.test_parallel import name_length

print("once")
clips = [RawClip(f"c/s/{n}", "c/s", "micro", "frames", (Path("x"),)) for n in range(30)]
print(len({result[1] for _, result in each_clip(name_length, clips, 1, workers=2) if isinstance(result, tuple)}))
"""


@pytest.mark.slow
def test_a_script_needs_no_guard_of_its_main_module(tmp_path):
    (tmp_path / "script.py").write_text(NO_GUARD)
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": root},
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() in (["once", "1"], ["once", "2"])


ABANDONED = """
import os, signal, sys, time
from pathlib import Path
from lightman_jax.data.records import RawClip
from lightman_jax.data.preparation.parallel import each_clip


def note(clip, folder):
    (folder / str(os.getpid())).touch()
    time.sleep(0.2)


if __name__ == "__main__":
    clips = [RawClip(f"c/s/{n}", "c/s", "micro", "frames", (Path("x"),)) for n in range(30)]
    for _ in each_clip(note, clips, Path(sys.argv[1]), workers=2):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def is_alive(process):
    try:
        # An orphan that no process waits for stays in the table as a zombie.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return Path("/proc").is_dir() is False and files.is_running(process)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "abandoned.py").write_text(ABANDONED)
    (tmp_path / "workers").mkdir()
    command = [sys.executable, str(tmp_path / "abandoned.py"), str(tmp_path / "workers")]
    killed = subprocess.run(command, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    workers = [int(path.name) for path in (tmp_path / "workers").iterdir()]
    assert workers
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
