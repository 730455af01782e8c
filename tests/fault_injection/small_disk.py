"""A disk of 20 MB without space for preparation, for training, or for the report; then the same command with enough space.

Each phase is tried with and without the check of the free space; without it, a write fails in the middle. Linux, as root: the disk
is a separate `tmpfs`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fault_injection.small_run import Ended, Processes, SmallRun, partial_files, results_of

_MEGABYTE = 1 << 20
_DISK, _ENOUGH = 20 * _MEGABYTE, 400 * _MEGABYTE
# Too little for the clips, for half of the training jobs, for one figure; unchecked, the clips fit and the prepared data do not.
_LEFT = {"preparation": 40_000, "training": 300_000, "report": 20_000}
_LEFT_UNCHECKED = _LEFT | {"preparation": 500_000}
_MESSAGE = re.compile(r"disk is full: [\d,]+ bytes are needed, [\d,]+ are free")


def try_small_disk(folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Try every phase, with and without the check of the free space.

    Raises:
      OSError: a separate disk cannot be made here.
    """
    processes = Processes(folder)
    reference = SmallRun(folder / "reference")
    reference.write_corpus()
    if processes.run(reference.flags).status:
        raise RuntimeError("the undisturbed run failed")
    expected = results_of(reference.work)
    rows: dict[str, str] = {}
    failures: list[str] = []
    for phase in ("preparation", "training", "report"):
        for unchecked in (False, True):
            row = _try_phase(folder, processes, reference, phase, unchecked=unchecked)
            name = f"{phase}, {'unchecked' if unchecked else 'checked'}"
            failures += [f"{name}: {text}" for text in row.pop("failures")]
            if row.pop("results") != expected:
                failures.append(f"{name}: the results differ")
            rows[name] = f"status {row['status']}, {row['message']}; with space status {row['then']}"
            report(f"small disk: {name}: {rows[name]}")
    return {"phases": rows, "failures": failures}


def _try_phase(
    folder: Path, processes: Processes, reference: SmallRun, phase: str, *, unchecked: bool
) -> dict[str, Any]:
    disk = folder / "disk"
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(disk)], check=True)
    try:
        run = reference.copy(folder / f"{phase}{unchecked:d}")
        part = "data_cache" if phase == "preparation" else "work"
        if phase == "preparation":
            run.data_cache = disk / "data_cache"
        else:
            run.work = disk / "work"
        if phase == "report":
            # All jobs are trained, and older results exist.
            shutil.copytree(reference.work, run.work)
            (run.work / "results.json").unlink()
            (run.work / "report.html").unlink()
        old = _contents(run.work)
        _fill(disk, leave=_LEFT_UNCHECKED[phase] if unchecked else _LEFT[phase])
        ended = processes.run(run.flags, unchecked=unchecked)
        failures = _failures(ended, disk, part)
        if phase == "report":
            failures += [
                f"{name} can no longer be read" for name, text in old.items() if not _readable(run.work / name, text)
            ]
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", f"remount,size={_ENOUGH}", str(disk)], check=True)
        last = processes.run(run.flags)
        if last.status:
            failures.append(f"with space the same command ended with status {last.status}: {last.last_line}")
        message = _MESSAGE.search(ended.errors)
        return {
            "status": ended.status,
            "message": message.group() if message else ended.errors.strip()[-200:],
            "then": last.status,
            "results": results_of(run.work) if last.status == 0 else None,
            "failures": failures,
        }
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def _fill(disk: Path, leave: int) -> None:
    free = shutil.disk_usage(disk).free
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(free - leave, 0)))
        os.fsync(file.fileno())


def _failures(ended: Ended, disk: Path, part: str) -> list[str]:
    found = [] if ended.status == 2 else [f"status {ended.status}"]
    if not _MESSAGE.search(ended.errors):
        found.append(f"the message does not contain bytes: {ended.errors.strip()[-300:]}")
    if "Traceback" in ended.errors:
        found.append("a traceback")
    return found + [f"{name} is partially written" for name in partial_files(disk / part)]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _readable(path: Path, before: bytes) -> bool:
    """Whether the file is the old one or a complete new one; both have the same content except for seconds and logs."""
    if path.suffix in {".json", ".jsonl", ".html", ""} or path.name.startswith("."):
        return path.exists() and path.stat().st_size > 0
    return path.exists() and path.read_bytes() == before
