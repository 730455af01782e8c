"""Corruption of every file of a finished run and of its prepared data, one at a time: deleted, cut in half, or one bit flipped.

The same command then either succeeds with unchanged tables, scores and figures, or fails with an error that names the file. Files
that the command does not read, such as the intermediate image of a clip whose prepared data are intact, may stay corrupted.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fault_injection.small_run import Processes, SmallRun, results_of

_FILES_PER_KIND = 3


def try_corruption(folder: Path, report: Callable[[str], None], most: int | None = None) -> dict[str, Any]:
    """Corrupt one file after another; `most` limits the number of cases."""
    processes = Processes(folder)
    run = SmallRun(folder / "corrupted")
    run.write_corpus()
    first = processes.run(run.flags)
    if first.status:
        raise RuntimeError(f"the whole run ended with status {first.status}: {first.errors}")
    expected = results_of(run.work)
    whole = folder / "whole"
    shutil.copytree(run.folder, whole, symlinks=True)
    found: Counter[str] = Counter()
    failures: list[str] = []
    cases = [(path, corrupt) for path in _files(run) for corrupt in (_delete, _cut, _flip)][:most]
    for done, (path, corrupt) in enumerate(cases, start=1):
        name = path.relative_to(run.folder).as_posix()
        before = path.read_bytes()
        corrupt(path, random.Random(name))
        ended = processes.run(run.flags)
        if ended.status == 0 and results_of(run.work) == expected:
            unread = path.exists() and path.read_bytes() != before and path.suffix in {".motion", ".inspection"}
            found["not read" if unread else "written again"] += 1
        elif ended.status == 2 and path.name in ended.errors:
            found["refused by name"] += 1
        else:
            failures.append(f"{name}, {corrupt.__name__.strip('_')}: status {ended.status}, {ended.last_line}")
        # Files that the run has written again are intact; a file that it refused is restored.
        if not path.exists() or path.read_bytes() != before:
            for place in (run.data_cache, run.work):
                shutil.rmtree(place)
                shutil.copytree(whole / place.name, place, symlinks=True)
        if done % 25 == 0:
            report(f"corruption: {done} of {len(cases)} cases, {len(failures)} failures")
    return {"files": len(cases) // 3, "cases": len(cases), **dict(found), "failures": failures}


def _files(run: SmallRun) -> list[Path]:
    """All files of the run and of the prepared data; of many files of one folder and kind, a few."""
    files = [path for place in (run.work, run.data_cache) for path in sorted(place.rglob("*")) if path.is_file()]
    kinds: Counter[tuple[Path, str]] = Counter()
    chosen = []
    for path in files:
        kinds[path.parent, path.suffix] += 1
        many = path.suffix in {".fold", ".motion", ".inspection"} or "xla" in path.parts
        if path.stat().st_size and (not many or kinds[path.parent, path.suffix] <= _FILES_PER_KIND):
            chosen.append(path)
    return chosen


def _delete(path: Path, rng: random.Random) -> None:
    del rng
    path.unlink()


def _cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
