"""Runs are ended at random moments of preparation, training and reporting, and the same command goes on.

Signals are SIGKILL three times of five, else SIGTERM or SIGINT; moments are uniform over what an undisturbed run takes; every tenth
life begins without compiled programs. A life ends when a process reaches its end; its tables, scores and pictures must then be
those of a run that nobody disturbed, bit by bit. A training that was on disk before may never be done again.
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

from tests.endurance.small_run import Ended, Processes, Victim, results_of

KILLS = 200
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_STATUS: dict[int, int] = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
_AT_ONCE = 2
_LIVES_COMPILED = 10


def try_kills(folder: Path, say: Callable[[str], None], kills: int = KILLS) -> dict[str, Any]:
    """Kill until the number is reached, a few lives at a time."""
    processes = Processes(folder)
    reference = Victim(folder / "reference")
    reference.invent()
    first = processes.run(reference.flags)
    if first.status:
        raise RuntimeError(f"the undisturbed run ended with status {first.status}: {first.errors}")
    again = reference.copy(folder / "timed")
    seconds = processes.run(again.flags).seconds
    expected = results_of(reference.work)
    found: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = [0.0]
    say(f"kills: an undisturbed run takes {seconds:.1f} s")

    def life(number: int) -> None:
        if found["kills"] >= kills or (number > 4 * kills):
            return
        rng = random.Random(number)
        victim = reference.copy(folder / f"life{number}", compiled=bool(number % _LIVES_COMPILED))
        while True:
            before = _trained(victim)
            process = processes.start(victim.flags)
            process.join(rng.uniform(0, seconds))
            number_sent = rng.choice(_SIGNALS) if process.exitcode is None and found["kills"] < kills else 0
            phase = _phase(victim)
            ended = processes.end(process, victim.flags, number_sent)
            wrong.extend(f"life {number}: {text}" for text in _wrong(victim, before, ended, number_sent))
            if number_sent and ended.status != 0:
                found["kills"] += 1
                found[phase] += 1
                found[signal.Signals(number_sent).name] += 1
                slowest[0] = max(slowest[0], ended.seconds if number_sent != signal.SIGKILL else 0)
            else:
                break
        found["lives"] += 1
        if ended.status == 0 and results_of(victim.work) != expected:
            wrong.append(f"life {number}: other results than the undisturbed run")
        if found["lives"] % 10 == 0:
            say(f"kills: {found['kills']} of {kills}, {found['lives']} runs ended, {len(wrong)} wrong")
        shutil.rmtree(victim.folder)

    started = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(life, range(1, 4 * kills)))
    phases = {name: found[name] for name in ("preparation", "training", "reporting")}
    return {
        "kills": found["kills"],
        "by phase": phases,
        "by signal": {name: found[name] for name in ("SIGKILL", "SIGTERM", "SIGINT")},
        "runs ended, all as the undisturbed one": found["lives"],
        "wrong": wrong,
        "slowest answer to SIGTERM or SIGINT, s": round(slowest[0], 1),
        "seconds": round(time.monotonic() - started),
    }


def _trained(victim: Victim) -> dict[str, int]:
    """Trainings on disk, and the moment each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (victim.work / "folds").glob("*.fold")}


def _phase(victim: Victim) -> str:
    if not any(victim.data_cache.glob("smic*/manifest.json")):
        return "preparation"
    return "reporting" if (victim.work / "predictions.csv").exists() else "training"


def _wrong(victim: Victim, before: dict[str, int], ended: Ended, number: int) -> list[str]:
    after = _trained(victim)
    found = [f"training {name} was done again" for name, moment in before.items() if after.get(name) != moment]
    if ended.status not in {0, _STATUS.get(number, 0)}:
        found.append(f"status {ended.status}: {ended.last_line}")
    if ended.status in {130, 143} and not ended.last_line.startswith("python -m experiments.run --dataset=smic"):
        found.append(f"the last line is {ended.last_line!r}")
    return found
