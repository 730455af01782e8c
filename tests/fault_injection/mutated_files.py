"""The kinds of file that are mutated, and how each is used."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import numpy as np

from experiments import compare, export, html_report, prepare, run
from experiments.demo import DemoVideo, write_video
from experiments.evaluation.run_record import read_run
from lightman_jax.data.preparation.load import Prepared, load_clips
from lightman_jax.data.records import DataError
from lightman_jax.data.synthetic.stand_in import write_stand_in
from lightman_jax.data.vision.faces import WHOLE
from lightman_jax.data.vision.spotting import SpotConfig, search_movements
from lightman_jax.data.vision.video import Unreadable, find_videos, read_frames
from lightman_jax.files import read_checksummed
from lightman_jax.model.checkpoint import load_params
from lightman_jax.model.saved_model import load_model
from tests.fault_injection.small_run import SMALL, SmallRun


class FileKind(NamedTuple):
    """One kind of file.

    Attributes:
      name: in the report.
      paths: files of this kind.
      use: uses one of them and returns `read`, `refused`, or a description of the failure.
    """

    name: str
    paths: list[Path]
    use: Callable[[Path], str]


def mutated_files(base: Path) -> Iterator[FileKind]:
    """Write valid files of every kind below a folder."""
    for dataset in ("casme", "casme2", "samm", "dfme"):
        yield from _corpus(base, dataset)
    yield _user_table(base)
    small = SmallRun(base / "run")
    small.write_corpus()
    if run.main(small.flags):
        raise RuntimeError("the whole run failed")
    yield from _prepared(small)
    yield from _finished(small)
    yield from _predicting(base / "predicting", small.work)


def _corpus(base: Path, dataset: str) -> Iterator[FileKind]:
    root = write_stand_in(base / dataset / "data", dataset, SMALL)
    check = [f"--dataset={dataset}", f"--data_dir={root}", f"--data_cache={base / dataset / 'data_cache'}", "--check"]
    check.append(f"--out={base / dataset / 'check.json'}")
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size]
    tables = [path for path in files if path.suffix in {".csv", ".xlsx", ".xls"}]
    images = [path for path in files if path.suffix in {".jpg", ".bmp", ".png"}]
    yield FileKind(
        f"table of {dataset}, {tables[0].suffix[1:]}", tables, lambda path: _run_command(prepare.main, check)
    )
    if dataset in {"casme2", "dfme"}:
        # Preparation, not only the check: images are decoded, and their optical flow is computed.
        yield FileKind(f"images of {dataset}", images[:40], lambda path: _run_command(prepare.main, check[:3]))


def _user_table(base: Path) -> FileKind:
    root = base / "own"
    root.mkdir(parents=True)
    rows = ["clip,subject,label,onset,offset,path,box"]
    rng = np.random.default_rng(0)
    for row in range(4):
        video = cv2.VideoWriter(str(root / f"{row}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
        for _ in range(6):
            video.write(rng.integers(0, 255, size=(64, 64, 3), dtype=np.uint8))
        video.release()
        rows.append(f"c{row},p{row % 2},{('happiness', 'surprise')[row // 2]},1,6,{row}.avi,0 0 64")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    words = ["--dataset=table", f"--data_dir={root}", f"--data_cache={base / 'own_data_cache'}"]
    return FileKind("user table and videos", sorted(root.iterdir()), lambda path: _run_command(prepare.main, words))


def _prepared(small: SmallRun) -> Iterator[FileKind]:
    folder = next(small.data_cache.glob("smic*/manifest.json")).parent
    whole = load_clips(folder)

    def data_cache(path: Path) -> str:
        try:
            return "read" if _same_clips(load_clips(folder), whole) else "accepted changed clips"
        except DataError as error:
            return "refused" if path.name in str(error) else f"refused without its name: {error}"

    yield FileKind("prepared data", sorted(folder.iterdir()), data_cache)
    results = sorted(small.data_cache.glob("clips/*.*"))
    contents = {path: read_checksummed(path) for path in results}
    yield FileKind("stored results of clips", results, lambda path: _sealed(path, contents[path]))


def _finished(small: SmallRun) -> Iterator[FileKind]:
    work = small.work
    jobs = sorted((work / "folds").iterdir())
    contents = {path: read_checksummed(path) for path in jobs}
    yield FileKind("training jobs", jobs, lambda path: _sealed(path, contents[path]))

    place = work / "checkpoints" / "seed_0"
    like = _shapes(place)
    whole = load_params(place, like)[1]

    def checkpoint(path: Path) -> str:
        try:
            params = load_params(place, like)[1]
        except ValueError as error:
            return "refused" if path.name in str(error) else f"refused without its name: {error}"
        return "read" if jax.tree.all(jax.tree.map(np.array_equal, params, whole)) else "accepted changed weights"

    yield FileKind("checkpoints", [path for path in place.rglob("*") if path.is_file()], checkpoint)

    # Without the list of the files of the run, as for files from elsewhere.
    alone = work.parent / "alone"
    shutil.copytree(work, alone)
    (alone / "results.json").unlink()

    def settings(path: Path) -> str:
        try:
            read_run(path.parent)
        except (ValueError, OSError) as error:
            return "refused" if str(error) else "error without a message"
        return "read"

    yield FileKind("settings of a run", [alone / "config.json"], settings)
    both = [str(work), str(alone)]
    yield FileKind("predictions", [alone / "predictions.csv"], lambda path: _run_command(compare.main, both))
    yield FileKind("scores", [alone / "metrics.json"], lambda path: _run_command(html_report.main, [str(alone)]))
    listed = [
        path
        for path in work.rglob("*")
        if path.is_file() and path.name in {"config.json", "predictions.csv", "results.json"}
    ]

    def touched(path: Path) -> str:
        before = path.read_bytes()
        result = _run_command(html_report.main, [str(work)])
        return result if result == "refused" or before == path.read_bytes() else "accepted a changed file"

    yield FileKind("files of a finished run", listed, touched)


def _predicting(base: Path, work: Path) -> Iterator[FileKind]:
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
        return "read" if path.read_bytes() == whole else "accepted a changed model"

    yield FileKind("exported models", [file], model)
    path = base / "video.avi"
    write_video(path, DemoVideo(path.name, 25, 12, ()))

    def video(path: Path) -> str:
        found = find_videos([str(path)])[0]
        if isinstance(found, Unreadable):
            return "refused"
        try:
            search_movements((frame.image for frame in read_frames(found)), 25, SpotConfig(), box=WHOLE)
        except ValueError:
            return "refused"
        return "read"

    yield FileKind("videos to predict", [path], video)


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
    content = read_checksummed(path)
    return "refused" if content is None else "read" if content == whole else "accepted changed content"


def _run_command(command: Callable[[list[str]], int], words: list[str]) -> str:
    """Run a command: an error must have a message, and success must write valid JSON to `--out`."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = command(words)
    if status not in {0, 1, 2}:
        return f"status {status}"
    if status == 2:
        return (
            "refused"
            if errors.getvalue().startswith("error: ")
            else f"status 2, and standard error {errors.getvalue()!r}"
        )
    out = next((word.partition("=")[2] for word in words if word.startswith("--out=")), None)
    if out is not None:
        json.loads(Path(out).read_text())
    return "read"
