"""Kill runs at random moments of preparation, training and reporting, and restart the same command.

Three of five signals are SIGKILL, the others SIGTERM or SIGINT; moments are uniform over the duration of an undisturbed run; every
tenth series of restarts begins without compiled programs. A series ends when a process ends by itself. Its tables, scores and
figures must then be identical to those of an undisturbed run, and no stored training job may have been repeated.
"""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fault_injection.small_run import Ended, Processes, SmallRun, results_of

KILLS = 200
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_STATUS: dict[int, int] = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
_PARALLEL = 2
_UNCOMPILED_EVERY = 10


def try_kills(folder: Path, report: Callable[[str], None], kills: int = KILLS) -> dict[str, Any]:
    """Restart runs until this number of kills is reached."""
    processes = Processes(folder)
    reference = SmallRun(folder / "reference")
    reference.write_corpus()
    first = processes.run(reference.flags)
    if first.status:
        raise RuntimeError(f"the undisturbed run ended with status {first.status}: {first.errors}")
    seconds = processes.run(reference.copy(folder / "timed").flags).seconds
    expected = results_of(reference.work)
    found: Counter[str] = Counter()
    failures: list[str] = []
    slowest = [0.0]
    report(f"kills: an undisturbed run takes {seconds:.1f} s")

    def restarts(number: int) -> None:
        if found["kills"] >= kills or (number > 4 * kills):
            return
        rng = random.Random(number)
        run = reference.copy(folder / f"run{number}", compiled=bool(number % _UNCOMPILED_EVERY))
        while True:
            before = _stored_jobs(run)
            process = processes.start(run.flags)
            process.join(rng.uniform(0, seconds))
            sent = rng.choice(_SIGNALS) if process.exitcode is None and found["kills"] < kills else 0
            phase = _phase(run)
            ended = processes.end(process, run.flags, sent)
            failures.extend(f"run {number}: {text}" for text in _failures(run, before, ended, sent))
            if sent and ended.status != 0:
                found["kills"] += 1
                found[phase] += 1
                found[signal.Signals(sent).name] += 1
                slowest[0] = max(slowest[0], ended.seconds if sent != signal.SIGKILL else 0)
            else:
                break
        found["finished"] += 1
        if ended.status == 0 and results_of(run.work) != expected:
            failures.append(f"run {number}: results differ from those of the undisturbed run")
        if found["finished"] % 10 == 0:
            report(f"kills: {found['kills']} of {kills}, {found['finished']} runs finished, {len(failures)} failures")
        shutil.rmtree(run.folder)

    started = time.monotonic()
    with ThreadPoolExecutor(_PARALLEL) as pool:
        list(pool.map(restarts, range(1, 4 * kills)))
    phases = {name: found[name] for name in ("preparation", "training", "reporting")}
    return {
        "kills": found["kills"],
        "by phase": phases,
        "by signal": {name: found[name] for name in ("SIGKILL", "SIGTERM", "SIGINT")},
        "runs finished": found["finished"],
        "failures": failures,
        "slowest response to SIGTERM or SIGINT, s": round(slowest[0], 1),
        "seconds": round(time.monotonic() - started),
    }


def _stored_jobs(run: SmallRun) -> dict[str, int]:
    """Stored training jobs and their times of writing."""
    return {path.name: path.stat().st_mtime_ns for path in (run.work / "folds").glob("*.fold")}


def _phase(run: SmallRun) -> str:
    if not any(run.data_cache.glob("smic*/manifest.json")):
        return "preparation"
    return "reporting" if (run.work / "predictions.csv").exists() else "training"


def _failures(run: SmallRun, before: dict[str, int], ended: Ended, sent: int) -> list[str]:
    after = _stored_jobs(run)
    found = [f"training job {name} was repeated" for name, moment in before.items() if after.get(name) != moment]
    if ended.status not in {0, _STATUS.get(sent, 0)}:
        found.append(f"status {ended.status}: {ended.last_line}")
    if ended.status in {130, 143} and not ended.last_line.startswith("python -m experiments.run --dataset=smic"):
        found.append(f"the last line is {ended.last_line!r}")
    return found
