"""A small run of a few seconds, the processes that run it, and the results that two runs must have in common."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import NamedTuple

from experiments import run
from lightman_jax.data.synthetic.faces import SimulatorConfig
from lightman_jax.data.synthetic.stand_in import write_stand_in

SMALL = SimulatorConfig(subjects=4, micro_clips=1, macro_clips=1, frames=5, side=64)
_SETTINGS = (
    "--seeds=2",
    "--ensemble_size=1",
    "--steps=4",
    "--width=8",
    "--embedding=4",
    "--shots=1",
    "--macro_shots=1",
    "--meta_batch_size=1",
)
_IMPORTED_FIRST = [
    "experiments.train",
    "experiments.evaluation.classical_baselines",
    "skimage.feature",
    "array_record.python.array_record_data_source",
]


class Ended(NamedTuple):
    """End of a process: exit status (negative: killed by that signal), last line and text of standard error, and seconds."""

    status: int
    last_line: str
    errors: str
    seconds: float


class SmallRun:
    """A small corpus, and the folders of its prepared data and of its run.

    Args:
      folder: contains all three.
      settings: further flags.
    """

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self.data, self.data_cache, self.work = folder / "data", folder / "data_cache", folder / "work"
        self.folder = folder
        self._settings = [*_SETTINGS, "--method=joint", "--baselines=majority,linear_svm", *settings]

    def write_corpus(self) -> None:
        """Write the synthetic corpus."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.data.exists():
            write_stand_in(self.data, "smic", SMALL)

    @property
    def flags(self) -> list[str]:
        """Flags of `experiments.run`."""
        places = [f"--data_dir={self.data}", f"--data_cache={self.data_cache}", f"--workdir={self.work}"]
        return ["--dataset=smic", *places, *self._settings]

    def copy(self, folder: Path, *, compiled: bool = True) -> "SmallRun":
        """A run in another folder with the same corpus, with or without the compiled programs of this one."""
        other = SmallRun(folder)
        other.data, other._settings = self.data, self._settings
        folder.mkdir(parents=True)
        if compiled and (self.data_cache / "xla").exists():
            shutil.copytree(self.data_cache / "xla", other.data_cache / "xla")
        return other


class Processes:
    """Processes that start with everything imported, so that a random moment falls into the work."""

    def __init__(self, folder: Path) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_IMPORTED_FIRST)
        self._folder = folder

    def start(self, flags: Sequence[str], *, unchecked: bool = False) -> ForkServerProcess:
        """Start `experiments.run`; `unchecked` removes its check of the free space."""
        process = self._context.Process(target=_run, args=(list(flags), str(self._log(flags)), unchecked))
        process.start()
        return process

    def end(self, process: ForkServerProcess, flags: Sequence[str], sent: int = 0, timeout: float = 300) -> Ended:
        """Send a signal unless it is 0, and wait for the end."""
        started = time.monotonic()
        if sent and process.pid is not None:
            os.kill(process.pid, sent)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            return Ended(-signal.SIGKILL, "timeout", "timeout", time.monotonic() - started)
        errors = self._log(flags).read_text(errors="replace") if self._log(flags).exists() else ""
        lines = errors.strip().splitlines()
        return Ended(process.exitcode, lines[-1] if lines else "", errors, time.monotonic() - started)

    def run(self, flags: Sequence[str], *, unchecked: bool = False) -> Ended:
        """Start and wait for the end."""
        return self.end(self.start(flags, unchecked=unchecked), flags)

    def _log(self, flags: Sequence[str]) -> Path:
        place = next(flag for flag in flags if flag.startswith("--workdir="))
        return self._folder / f"{Path(place.partition('=')[2]).parent.name}.err"


def _run(flags: list[str], log: str, unchecked: bool) -> None:
    if unchecked:
        for module in list(sys.modules.values()):
            if hasattr(module, "require_space"):
                setattr(module, "require_space", lambda path, needed: None)  # noqa: B010
    with open(log, "w", buffering=1) as errors, open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(errors.fileno(), 2)
        sys.stdout, sys.stderr = nothing, errors
        status = run.main(flags)
    os._exit(status)


def results_of(work: Path) -> dict[str, object]:
    """Results that must be identical in two runs: tables, scores without their seconds, figures."""
    found: dict[str, object] = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work).as_posix()
        if path.suffix == ".csv":
            found[name] = list(csv.reader(path.read_text().splitlines()))
        elif path.suffix == ".png":
            found[name] = path.read_bytes()
    metrics = json.loads((work / "metrics.json").read_text())
    found["metrics.json"] = {name: value for name, value in metrics.items() if "seconds" not in name}
    return found


def partial_files(folder: Path) -> list[str]:
    """Names of files and folders that were only partially written when their process ended."""
    return sorted(path.name for path in folder.rglob(".*.part"))
