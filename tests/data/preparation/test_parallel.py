"""Work on clips in several processes: all cores are used, errors are returned, and no worker outlives its parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightman_jax import files
from lightman_jax.data.corpora.records import RawClip
from lightman_jax.data.preparation.parallel import cpu_cores, each_clip


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_cores_are_those_that_the_process_may_use():
    allowed = os.sched_getaffinity(0)
    assert cpu_cores() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cpu_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


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
    seen = []
    results = dict(each_clip(name_length, clips, 2, workers=2, on_progress=lambda done, total: seen.append(done)))
    assert sorted(results) == list(range(30))
    assert seen == list(range(1, 31))
    failed = [index for index, result in results.items() if isinstance(result, Exception)]
    assert failed == [7, 17, 27]
    assert results[3][0] == 10
    assert {result[1] for index, result in results.items() if index not in failed} != {"MainProcess"}


ABANDONED = """
import os, signal, sys, time
from pathlib import Path
from lightman_jax.data.corpora.records import RawClip
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
