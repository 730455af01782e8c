"""A disk of 20 MB that has no room for preparation, for training, or for the report; then room, and the same command.

Each phase twice: once as it is, and once without the look at what is free, so that a write fails in the middle. Linux, as root: the
disk is a `tmpfs` of its own.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.endurance.small_run import Ended, Processes, Victim, left_half, results_of

_MEGABYTE = 1 << 20
_DISK, _ENOUGH = 20 * _MEGABYTE, 400 * _MEGABYTE
# Too little for the clips, for half of the trainings, for one picture; without the look ahead the clips fit and the shards do not.
_LEFT = {"preparation": 40_000, "training": 300_000, "report": 20_000}
_LEFT_BLIND = _LEFT | {"preparation": 500_000}
_TOLD = re.compile(r"disk is full: [\d,]+ bytes are needed, [\d,]+ are free")


def try_small_disk(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Every phase, forecast and in the middle.

    Raises:
      OSError: a disk of its own cannot be made here.
    """
    processes = Processes(folder)
    reference = Victim(folder / "reference")
    reference.invent()
    if processes.run(reference.flags).status:
        raise RuntimeError("the undisturbed run failed")
    expected = results_of(reference.work)
    rows: dict[str, str] = {}
    wrong: list[str] = []
    for phase in ("preparation", "training", "report"):
        for blind in (False, True):
            row = _try_phase(folder, processes, reference, phase, blind=blind)
            name = f"{phase}, {'no look ahead' if blind else 'as it is'}"
            wrong += [f"{name}: {text}" for text in row.pop("wrong")]
            if row.pop("results") != expected:
                wrong.append(f"{name}: other results in the end")
            rows[name] = f"status {row['status']}, {row['told']}; with space status {row['then']}"
            say(f"small disk: {name}: {rows[name]}")
    return {"phases": rows, "wrong": wrong}


def _try_phase(folder: Path, processes: Processes, reference: Victim, phase: str, *, blind: bool) -> dict[str, Any]:
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(disk)], check=True)
    try:
        victim = reference.copy(folder / f"{phase}{blind:d}")
        part = "shards" if phase == "preparation" else "work"
        if phase == "preparation":
            victim.data_cache = disk / "shards"
        else:
            victim.work = disk / "work"
        if phase == "report":
            # Everything is trained, and older results are there.
            shutil.copytree(reference.work, victim.work)
            (victim.work / "results.json").unlink()
            (victim.work / "report.html").unlink()
        old = _contents(victim.work)
        _fill(disk, leave=_LEFT_BLIND[phase] if blind else _LEFT[phase])
        ended = processes.run(victim.flags, blind=blind)
        wrong = _wrong(ended, disk, part)
        if phase == "report":
            wrong += [
                f"{name} cannot be read any more"
                for name, text in old.items()
                if not _readable(victim.work / name, text)
            ]
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", f"remount,size={_ENOUGH}", str(disk)], check=True)
        last = processes.run(victim.flags)
        if last.status:
            wrong.append(f"with space the same command ended with status {last.status}: {last.last_line}")
        told = _TOLD.search(ended.errors)
        return {
            "status": ended.status,
            "told": told.group() if told else ended.errors.strip()[-200:],
            "then": last.status,
            "results": results_of(victim.work) if last.status == 0 else None,
            "wrong": wrong,
        }
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def _fill(disk: Path, leave: int) -> None:
    free = shutil.disk_usage(disk).free
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(free - leave, 0)))
        os.fsync(file.fileno())


def _wrong(ended: Ended, disk: Path, part: str) -> list[str]:
    found = [] if ended.status == 2 else [f"status {ended.status}"]
    if not _TOLD.search(ended.errors):
        found.append(f"bytes are not told: {ended.errors.strip()[-300:]}")
    if "Traceback" in ended.errors:
        found.append("a traceback")
    return found + [f"{name} is left half-written" for name in left_half(disk / part)]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _readable(path: Path, before: bytes) -> bool:
    """What is there is the old file or a whole new one: here both have the same content, but for seconds and logs."""
    if path.suffix in {".json", ".jsonl", ".html", ""} or path.name.startswith("."):
        return path.exists() and path.stat().st_size > 0
    return path.exists() and path.read_bytes() == before
