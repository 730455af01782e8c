"""Whether a workdir already holds the results of exactly this run: then nothing is trained, fitted or drawn again."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.lanes import LaneStore
from experiments.training import Work
from lightman_jax.folds import TrainConfig

_OUTPUTS = ("predictions.csv", "report.html", "metrics.json")


def results_digest(work: Work, configs: Iterable[TrainConfig], words: Iterable[str]) -> str:
    """Of all that the results depend on: the lanes of every training, further words, and the code of this folder."""
    digest = hashlib.sha256(" ".join(words).encode())
    for config in configs:
        store = LaneStore(Path(), work.micro, work.macro, config)
        for seed in work.trainings:
            for fold in work.folds:
                digest.update(store.path(fold, seed).name.encode())
    # A test subject's own clips are in no lane's name.
    for image, label, clip in zip(work.micro.image, work.micro.label, work.micro.clip, strict=True):
        digest.update(f"{clip} {label}".encode() + image.tobytes())
    for path in sorted(Path(__file__).parent.glob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def held_results(workdir: Path, digest: str) -> dict[str, Any] | None:
    """The content of `metrics.json`, if it is that of this digest and the table of predictions is the one it was made from."""
    try:
        held = json.loads((workdir / "results.json").read_text())
        if held != {"digest": digest, **{name: _file_digest(workdir / name) for name in _OUTPUTS}}:
            return None
        metrics: dict[str, Any] = json.loads((workdir / "metrics.json").read_text())
    except (OSError, ValueError):
        return None
    return metrics


def keep_results(workdir: Path, digest: str) -> None:
    """Remember what the files in the workdir were made from."""
    content = {"digest": digest, **{name: _file_digest(workdir / name) for name in _OUTPUTS}}
    (workdir / "results.json").write_text(json.dumps(content) + "\n")


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
