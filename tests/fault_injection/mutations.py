"""Randomly changed files for every reader: tables, images, videos, prepared data, stored results, checkpoints, settings.

A case is a valid file with one to three random changes: flipped bits; bytes that are removed, doubled or replaced; or inserted
words with a meaning for some program (a formula, a tag, a path, a huge number). A file with a digest must be read unchanged or
refused; a file without one (a user's table, an image) may be read. A case fails if an exception is not caught, an error has no
message, changed content is accepted, or it takes more than half a minute or half a gigabyte.
"""

import contextlib
import io
import multiprocessing
import random
import resource
import signal
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import jax

from experiments import run
from tests.fault_injection.mutated_files import mutated_files

MUTATIONS = 2000
_SECONDS, _MEGABYTES = 30, 512
_WORDS = (
    b"=cmd|' /C calc'!A0", b"<script>alert(1)</script>", b"../../../etc/passwd", b"/etc/passwd", b"nan", b"inf", b"-1", b"1e999",
    b"9" * 400, b"\x00", b"\xff\xfe", b'"', b",", b"\n", b"\r", b";", b"[" * 20_000, b"{}", b"null", b"true", "ß漢".encode(),
)  # fmt: skip


def try_mutations(folder: Path, report: Callable[[str], None], mutations: int = MUTATIONS) -> dict[str, Any]:
    """Try this number of cases in separate processes, which may crash or hang."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    tally: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    done, highest = 0, 0.0
    while done < mutations:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(str(folder), done, mutations, theirs))
        process.start()
        theirs.close()
        while done < mutations:
            try:
                case = ours.recv() if ours.poll(10 * _SECONDS) else None
            except EOFError:
                case = None
            if case is None:
                failures.append(f"case {done}: the process crashed or hung")
                done += 1
                break
            if isinstance(case, str):
                raise RuntimeError(case)
            kind, result, text, megabytes = case
            tally[kind, result] += 1
            highest = max(highest, megabytes)
            if result == "failed":
                failures.append(f"case {done}: {kind}: {text}")
                report(failures[-1])
            done += 1
            if done % 200 == 0:
                report(f"mutations: {done} of {mutations}, {len(failures)} failures")
        process.kill()
        process.join()
    kinds = dict.fromkeys(kind for kind, _ in tally)
    return {
        "cases": done,
        "by kind": {kind: {result: tally[kind, result] for result in ("read", "refused", "failed")} for kind in kinds},
        "largest increase of memory, MB": round(highest),
        "failures": failures,
    }


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Apply one to three random changes."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(content) + 1)
        end = min(len(content), place + rng.choice((1, 2, 8, 64, 1024)))
        kind = rng.randrange(7)
        if kind == 0 and content:
            flipped = bytearray(content)
            flipped[min(place, len(content) - 1)] ^= 1 << rng.randrange(8)
            content = bytes(flipped)
        elif kind == 1:
            content = content[:place] + content[end:]
        elif kind == 2:
            content = content[:end] + content[place:end] + content[end:]
        elif kind == 3:
            content = content[:place] + rng.randbytes(end - place) + content[end:]
        elif kind == 4:
            content = content[:place]
        else:
            content = content[:place] + rng.choice(_WORDS) + content[place if kind == 5 else end :]
    return content


def _mutate_inside(content: bytes, rng: random.Random) -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(changed, "w") as other:
        names = archive.namelist()
        chosen = rng.choice([name for name in names if "sheet" in name.lower() or "shared" in name.lower()])
        for name in names:
            part = archive.read(name)
            other.writestr(name, mutate(part, rng) if name == chosen else part)
    return changed.getvalue()


def _work(folder: str, first: int, last: int, pipe: Connection) -> None:
    jax.config.update("jax_num_cpu_devices", 1)
    run.set_up_jax = lambda *_, **__: None
    base = Path(folder) / f"from{first}"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            kinds = list(mutated_files(base))
            unread = [kind.name for kind in kinds if kind.use(kind.paths[0]) != "read"]
        except RuntimeError as error:
            unread = [str(error)]
    if unread:
        pipe.send(f"unchanged files are not read: {', '.join(unread)}; {errors.getvalue()}")
        return
    start = _megabytes()
    for case in range(first, last):
        rng = random.Random(case)
        kind = kinds[case % len(kinds)]
        path = rng.choice(kind.paths)
        whole = path.read_bytes()
        # A workbook is a zip archive, whose reader refuses nearly every change; in two of three cases a file inside is changed.
        inside = path.suffix == ".xlsx" and rng.random() < 2 / 3
        path.write_bytes(_mutate_inside(whole, rng) if inside else mutate(whole, rng))
        result, text = "failed", ""
        try:
            signal.signal(signal.SIGALRM, _too_slow)
            signal.alarm(_SECONDS)
            result = kind.use(path)
        except BaseException:
            text = f"{path.name}: {traceback.format_exc(limit=-4)}"
        finally:
            signal.alarm(0)
            path.write_bytes(whole)
        if result not in {"read", "refused"}:
            result, text = "failed", text or f"{path.name}: {result}"
        if _megabytes() - start > _MEGABYTES:
            result, text = "failed", f"{path.name}: {_megabytes() - start:.0f} MB more than at the start"
        pipe.send((kind.name, result, text, _megabytes() - start))


def _too_slow(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {_SECONDS} s")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
