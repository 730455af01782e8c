"""The folder of a run: a checksummed list of its files, and whether its results are still current."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

from experiments.evaluation.cross_validation import Work
from experiments.evaluation.fold_store import FoldStore, image_digests
from experiments.evaluation.run_result import RunResult, read_result
from lightman_jax.files import file_digest, read_checksummed_json, write_checksummed_json
from lightman_jax.training.config import TrainConfig

RESULTS_VERSION = 2
"""Raise it when the same predictions give other scores, baselines, figures or reports; finished runs are then evaluated again."""

_LIST = "results.json"
_PACKAGES = [metadata.version(name) for name in ("numpy", "scikit-learn")]
_EVERY = ("*",)


def results_digest(work: Work, configs: Iterable[TrainConfig], words: Iterable[str]) -> str:
    """Digest of everything that results depend on: every training job, the test clips, further words, and versions."""
    digest = hashlib.sha256(f"{RESULTS_VERSION} {_PACKAGES} {' '.join(words)}".encode())
    for config in configs:
        store = FoldStore(Path(), work.micro, work.macro, config)
        for replica in work.replicas:
            for fold in work.folds:
                digest.update(store.path(fold, replica).name.encode())
    # The name of a job's file does not depend on the clips of its test subject.
    for image, label, clip in zip(image_digests(work.micro.image), work.micro.label, work.micro.clip, strict=True):
        digest.update(f"{clip} {label} {image}".encode())
    return digest.hexdigest()


def cached_result(workdir: Path, digest: str, report: Callable[[str], None]) -> RunResult | None:
    """The result stored in a workdir, if it was made from `digest` and no file has changed since.

    `digest` is from `results_digest`; `report` is called with a sentence if a file is missing or has changed.
    """
    try:
        made_from, changed = _listed_from(workdir), changed_file(workdir)
    except ValueError as error:
        report(f"{error}: the results are written again")
        return None
    if changed is not None:
        report(f"{workdir / changed} is missing or has changed since it was written: the results are written again")
        return None
    return read_result(workdir) if made_from == digest else None


def write_inventory(workdir: Path, made_from: str) -> None:
    """Write `results.json`: the digest of every file of a finished run, and of what they were made from.

    Raises:
      OSError: it cannot be written.
    """
    write_checksummed_json(workdir / _LIST, {"made_from": made_from, "files": _digests(workdir, _EVERY)})


def renew_inventory(workdir: Path) -> None:
    """Write the list again after some files were made again from others; does nothing if there is no list."""
    if (workdir / _LIST).exists():
        write_inventory(workdir, read_checksummed_json(workdir / _LIST)["made_from"])


def remove_inventory(workdir: Path) -> None:
    """Remove the list before its files are rewritten."""
    (workdir / _LIST).unlink(missing_ok=True)


def _listed_from(workdir: Path) -> str | None:
    return read_checksummed_json(workdir / _LIST)["made_from"] if (workdir / _LIST).exists() else None


def changed_file(workdir: Path, patterns: Sequence[str] = _EVERY) -> str | None:
    """The first file that is missing, new or changed compared with the list; None if there is no such file or no list.

    Args:
      workdir: of a run.
      patterns: which files to compare, such as `baselines/*.csv`.

    Raises:
      ValueError: the list is damaged.
      OSError: a file cannot be read.
    """
    if not (workdir / _LIST).exists():
        return None
    files = read_checksummed_json(workdir / _LIST)["files"]
    listed = {name: digest for name, digest in files.items() if _matches(name, patterns)}
    found = _digests(workdir, patterns)
    return min((name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name)), default=None)


def refuse_changed(workdir: Path, *patterns: str) -> None:
    """Check that a run's files are as the run has written them; without a list every file is accepted.

    Raises:
      ValueError: a file or the list has changed; names it, and what to type.
      OSError: a file cannot be read.
    """
    remedy = "repeat the run's command, which writes it again"
    try:
        changed = changed_file(workdir, patterns)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    if changed is not None:
        raise ValueError(f"{workdir / changed} is missing or has changed since the run wrote it; {remedy}")


def _digests(workdir: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Digest of every matching file, except the list itself and hidden files."""
    names = {path: path.relative_to(workdir).as_posix() for path in workdir.rglob("*") if path.is_file()}
    return {
        name: file_digest(path)
        for path, name in sorted(names.items())
        if not path.name.startswith(".") and name != _LIST and _matches(name, patterns)
    }


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
