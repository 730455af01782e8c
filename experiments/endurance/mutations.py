"""Every reader is handed bytes that nobody wrote: tables, pictures, films, shards, stored results, checkpoints, settings.

A case is a whole file with one to three random changes: bits flipped, bytes cut, doubled, exchanged for others, or words put in
that mean something to somebody (a formula, a tag, a path, a huge number). What has a digest must come back as it was written or be
refused; what has none (a stranger's table, a picture) may be read. A case is wrong if an exception comes through, nothing is said,
another content passes, or it takes more than half a minute or half a gigabyte.
"""

import contextlib
import io
import json
import multiprocessing
import random
import resource
import shutil
import signal
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np

from experiments import compare, export, html_report, prepare, run
from experiments.demo import Film, write_film
from experiments.endurance.victim import SMALL, Victim
from experiments.stored_config import read_run
from lightman_jax.checkpoint import load_params
from lightman_jax.data.clips import DataError
from lightman_jax.data.recording import Unreadable, find_recordings, read_frames
from lightman_jax.data.source import Prepared, load_clips
from lightman_jax.data.spotting import SpotConfig, search_movements
from lightman_jax.data.stand_in import write_stand_in
from lightman_jax.data.visibility import WHOLE
from lightman_jax.exported import load_model
from lightman_jax.files import read_sealed

MUTATIONS = 2000
_SECONDS, _MEGABYTES = 30, 512
_WORDS = (
    b"=cmd|' /C calc'!A0", b"<script>alert(1)</script>", b"../../../etc/passwd", b"/etc/passwd", b"nan", b"inf", b"-1", b"1e999",
    b"9" * 400, b"\x00", b"\xff\xfe", b'"', b",", b"\n", b"\r", b";", b"[" * 20_000, b"{}", b"null", b"true", "ß漢".encode(),
)  # fmt: skip


class Subject(NamedTuple):
    """One kind of file: where it lies, and what using it says: `read`, `refused`, or what is wrong with that."""

    kind: str
    paths: list[Path]
    use: Callable[[Path], str]


def try_mutations(folder: Path, say: Callable[[str], None], mutations: int = MUTATIONS) -> dict[str, Any]:
    """Try as many cases of every kind in processes of their own, which may crash or hang."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    tally: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
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
                wrong.append(f"case {done}: the process crashed or hung")
                done += 1
                break
            if isinstance(case, str):
                raise RuntimeError(case)
            kind, result, text, megabytes = case
            tally[kind, result] += 1
            highest = max(highest, megabytes)
            if result == "wrong":
                wrong.append(f"case {done}: {kind}: {text}")
                say(wrong[-1])
            done += 1
            if done % 200 == 0:
                say(f"mutations: {done} of {mutations}, {len(wrong)} wrong")
        process.kill()
        process.join()
    kinds = dict.fromkeys(kind for kind, _ in tally)
    return {
        "cases": done,
        "by kind": {kind: {result: tally[kind, result] for result in ("read", "refused", "wrong")} for kind in kinds},
        "MB above the start, at most": round(highest),
        "wrong": wrong,
    }


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to three random changes."""
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(content) + 1)
        end = min(len(content), place + rng.choice((1, 2, 8, 64, 1024)))
        way = rng.randrange(7)
        if way == 0 and content:
            flipped = bytearray(content)
            flipped[min(place, len(content) - 1)] ^= 1 << rng.randrange(8)
            content = bytes(flipped)
        elif way == 1:
            content = content[:place] + content[end:]
        elif way == 2:
            content = content[:end] + content[place:end] + content[end:]
        elif way == 3:
            content = content[:place] + rng.randbytes(end - place) + content[end:]
        elif way == 4:
            content = content[:place]
        else:
            content = content[:place] + rng.choice(_WORDS) + content[place if way == 5 else end :]
    return content


def _mutate_inside(content: bytes, rng: random.Random) -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(changed, "w") as other:
        names = archive.namelist()
        chosen = rng.choice([name for name in names if "sheet" in name.lower() or "shared" in name.lower()])
        for name in names:
            held = archive.read(name)
            other.writestr(name, mutate(held, rng) if name == chosen else held)
    return changed.getvalue()


def _work(folder: str, first: int, last: int, pipe: Connection) -> None:
    jax.config.update("jax_num_cpu_devices", 1)
    run.set_up_jax = lambda config: None
    base = Path(folder) / f"from{first}"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            subjects = list(_subjects(base))
            unread = [subject.kind for subject in subjects if subject.use(subject.paths[0]) != "read"]
        except RuntimeError as error:
            unread = [str(error)]
    if unread:
        pipe.send(f"whole files are not read: {', '.join(unread)}; {errors.getvalue()}")
        return
    start = _megabytes()
    for case in range(first, last):
        rng = random.Random(case)
        subject = subjects[case % len(subjects)]
        path = rng.choice(subject.paths)
        whole = path.read_bytes()
        # A workbook is a zip archive, which would refuse nearly everything; two times of three its inside is changed.
        inside = path.suffix == ".xlsx" and rng.random() < 2 / 3
        path.write_bytes(_mutate_inside(whole, rng) if inside else mutate(whole, rng))
        result, text = "wrong", ""
        try:
            signal.signal(signal.SIGALRM, _too_slow)
            signal.alarm(_SECONDS)
            result = subject.use(path)
        except BaseException:
            text = f"{path.name}: {traceback.format_exc(limit=-4)}"
        finally:
            signal.alarm(0)
            path.write_bytes(whole)
        if result not in {"read", "refused"}:
            result, text = "wrong", text or f"{path.name}: {result}"
        if _megabytes() - start > _MEGABYTES:
            result, text = "wrong", f"{path.name}: {_megabytes() - start:.0f} MB more than at the start"
        pipe.send((subject.kind, result, text, _megabytes() - start))


def _too_slow(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {_SECONDS} s")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _subjects(base: Path) -> Iterator[Subject]:
    for dataset in ("casme", "casme2", "samm", "dfme"):
        yield from _corpus(base, dataset)
    yield _own_table(base)
    victim = Victim(base / "run")
    victim.invent()
    if run.main(victim.flags):
        raise RuntimeError("the whole run failed")
    yield from _prepared(victim)
    yield from _finished(victim)
    yield from _predicting(base / "predicting", victim.work)


def _corpus(base: Path, dataset: str) -> Iterator[Subject]:
    root = write_stand_in(base / dataset / "data", dataset, SMALL)
    check = [f"--dataset={dataset}", f"--data_dir={root}", f"--shards={base / dataset / 'shards'}", "--check"]
    check.append(f"--out={base / dataset / 'check.json'}")
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size]
    tables = [path for path in files if path.suffix in {".csv", ".xlsx", ".xls"}]
    pictures = [path for path in files if path.suffix in {".jpg", ".bmp", ".png"}]
    yield Subject(f"table of {dataset}, {tables[0].suffix[1:]}", tables, lambda path: _told(prepare.main, check))
    if dataset in {"casme2", "dfme"}:
        # Preparing, not checking alone: the pictures are decoded whole, and their movement is computed.
        yield Subject(f"pictures of {dataset}", pictures[:40], lambda path: _told(prepare.main, check[:3]))


def _own_table(base: Path) -> Subject:
    root = base / "own"
    root.mkdir(parents=True)
    rows = ["clip,subject,label,onset,offset,path,box"]
    rng = np.random.default_rng(0)
    for row in range(4):
        film = cv2.VideoWriter(str(root / f"{row}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
        for _ in range(6):
            film.write(rng.integers(0, 255, size=(64, 64, 3), dtype=np.uint8))
        film.release()
        rows.append(f"c{row},p{row % 2},{('happiness', 'surprise')[row // 2]},1,6,{row}.avi,0 0 64")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    words = ["--dataset=table", f"--data_dir={root}", f"--shards={base / 'own_shards'}"]
    return Subject("own table and films", sorted(root.iterdir()), lambda path: _told(prepare.main, words))


def _prepared(victim: Victim) -> Iterator[Subject]:
    folder = next(victim.shards.glob("smic*/manifest.json")).parent
    whole = load_clips(folder)

    def shards(path: Path) -> str:
        try:
            return "read" if _same_clips(load_clips(folder), whole) else "other clips pass"
        except DataError as error:
            return "refused" if path.name in str(error) else f"refused without its name: {error}"

    yield Subject("shards", sorted(folder.iterdir()), shards)
    results = sorted(victim.shards.glob("clips/*.*"))
    contents = {path: read_sealed(path) for path in results}
    yield Subject("stored results of clips", results, lambda path: _sealed(path, contents[path]))


def _finished(victim: Victim) -> Iterator[Subject]:
    work = victim.work
    lanes = sorted((work / "lanes").iterdir())
    contents = {path: read_sealed(path) for path in lanes}
    yield Subject("trainings", lanes, lambda path: _sealed(path, contents[path]))

    place = work / "checkpoints" / "seed_0"
    like = _shapes(place)
    whole = load_params(place, like)[1]

    def checkpoint(path: Path) -> str:
        try:
            params = load_params(place, like)[1]
        except ValueError as error:
            return "refused" if path.name in str(error) else f"refused without its name: {error}"
        return "read" if jax.tree.all(jax.tree.map(np.array_equal, params, whole)) else "other weights pass"

    yield Subject("checkpoints", [path for path in place.rglob("*") if path.is_file()], checkpoint)

    # Without the list of what the run has left, as files come from a stranger.
    alone = work.parent / "alone"
    shutil.copytree(work, alone)
    (alone / "results.json").unlink()

    def settings(path: Path) -> str:
        try:
            read_run(path.parent)
        except (ValueError, OSError) as error:
            return "refused" if str(error) else "nothing is said"
        return "read"

    yield Subject("settings of a run", [alone / "config.json"], settings)
    both = [str(work), str(alone)]
    yield Subject("predictions", [alone / "predictions.csv"], lambda path: _told(compare.main, both))
    yield Subject("scores", [alone / "metrics.json"], lambda path: _told(html_report.main, [str(alone)]))
    listed = [
        path
        for path in work.rglob("*")
        if path.is_file() and path.name in {"config.json", "predictions.csv", "results.json"}
    ]

    def touched(path: Path) -> str:
        before = path.read_bytes()
        told = _told(html_report.main, [str(work)])
        return told if told == "refused" or before == path.read_bytes() else "a touched file passes"

    yield Subject("files of a finished run", listed, touched)


def _predicting(base: Path, work: Path) -> Iterator[Subject]:
    base.mkdir()
    file = base / "networks.lightman"
    if export.main([str(work), f"--out={file}"]):
        raise RuntimeError("the run was not exported")
    whole = file.read_bytes()

    def model(path: Path) -> str:
        try:
            load_model(path)
        except ValueError as error:
            return "refused" if path.name in str(error) else f"refused without its name: {error}"
        return "read" if path.read_bytes() == whole else "another model passes"

    yield Subject("exported models", [file], model)
    film = base / "film.avi"
    write_film(film, Film(film.name, 25, 12, ()))

    def recording(path: Path) -> str:
        found = find_recordings([str(path)])[0]
        if isinstance(found, Unreadable):
            return "refused"
        try:
            search_movements(read_frames(found), 25, SpotConfig(), box=WHOLE)
        except ValueError:
            return "refused"
        return "read"

    yield Subject("films to predict", [film], recording)


def _shapes(place: Path) -> Any:
    import orbax.checkpoint as ocp

    (step,) = place.glob("step_*")
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.metadata((step / "params").absolute()).item_metadata
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def _same_clips(found: Prepared, whole: Prepared) -> bool:
    pools = ((found.micro, whole.micro), (found.macro, whole.macro))
    return all(
        one is other is None
        or (one is not None and other is not None and np.array_equal(one.image, other.image) and one.clip == other.clip)
        for one, other in pools
    )


def _sealed(path: Path, whole: bytes | None) -> str:
    content = read_sealed(path)
    return "refused" if content is None else "read" if content == whole else "another content passes"


def _told(command: Callable[[list[str]], int], words: list[str]) -> str:
    """A command's answer: a refusal must say something, a success must leave valid JSON where it says so."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = command(words)
    if status not in {0, 1, 2}:
        return f"status {status}"
    if status == 2:
        return "refused" if errors.getvalue().startswith("error: ") else f"status 2, and it says {errors.getvalue()!r}"
    out = next((word.partition("=")[2] for word in words if word.startswith("--out=")), None)
    if out is not None:
        json.loads(Path(out).read_text())
    return "read"
