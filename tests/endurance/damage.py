"""Every file of a finished run and of its prepared data, one by one: deleted, cut in half, one bit flipped; then the same command.

Either the command ends well, and the tables, scores and pictures are what they were, or it is refused and names the file. A file
that it never reads, such as the intermediate image of a clip whose shards are whole, may stay damaged; nothing of it is believed.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.endurance.small_run import Processes, Victim, results_of

_OF_EACH_FOLDER = 3


def try_damage(folder: Path, say: Callable[[str], None], most: int | None = None) -> dict[str, Any]:
    """Damage file by file; `most` ends it earlier."""
    processes = Processes(folder)
    victim = Victim(folder / "damaged")
    victim.invent()
    first = processes.run(victim.flags)
    if first.status:
        raise RuntimeError(f"the whole run ended with status {first.status}: {first.errors}")
    expected = results_of(victim.work)
    whole = folder / "whole"
    shutil.copytree(victim.folder, whole, symlinks=True)
    found: Counter[str] = Counter()
    wrong: list[str] = []
    cases = [(path, way) for path in _files(victim) for way in (_delete, _cut, _flip)][:most]
    for done, (path, way) in enumerate(cases, start=1):
        name = path.relative_to(victim.folder).as_posix()
        before = path.read_bytes()
        way(path, random.Random(name))
        ended = processes.run(victim.flags)
        if ended.status == 0 and results_of(victim.work) == expected:
            kept = path.exists() and path.read_bytes() != before and path.suffix in {".motion", ".inspection"}
            found["never read" if kept else "made anew"] += 1
        elif ended.status == 2 and path.name in ended.errors:
            found["refused, with its name"] += 1
        else:
            wrong.append(f"{name}, {way.__name__.strip('_')}: status {ended.status}, {ended.last_line}")
        # What the run has written meanwhile is as whole as what was there; a refused file is put back.
        if not path.exists() or path.read_bytes() != before:
            for part in ("shards", "work"):
                shutil.rmtree(victim.folder / part)
                shutil.copytree(whole / part, victim.folder / part, symlinks=True)
        if done % 25 == 0:
            say(f"damage: {done} of {len(cases)} cases, {len(wrong)} wrong")
    return {"files": len(cases) // 3, "cases": len(cases), **dict(found), "wrong": wrong}


def _files(victim: Victim) -> list[Path]:
    """All of the run and of the shards; of many files of one folder and kind, a few."""
    files = [path for place in (victim.work, victim.data_cache) for path in sorted(place.rglob("*")) if path.is_file()]
    kinds: Counter[tuple[Path, str]] = Counter()
    chosen = []
    for path in files:
        kinds[path.parent, path.suffix] += 1
        many = path.suffix in {".fold", ".motion", ".inspection"} or "xla" in path.parts
        if path.stat().st_size and (not many or kinds[path.parent, path.suffix] <= _OF_EACH_FOLDER):
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
