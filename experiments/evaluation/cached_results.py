"""Whether a workdir still holds what a run has written there: then nothing is trained, fitted or drawn again."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from experiments.evaluation.cross_validation import Work
from experiments.evaluation.fold_store import FoldStore
from experiments.evaluation.inventory import changed_file, listed_from
from lightman_jax.training.config import TrainConfig


def results_digest(work: Work, configs: Iterable[TrainConfig], words: Iterable[str]) -> str:
    """Of all that the results depend on: the lanes of every training, further words, and the code of this folder."""
    digest = hashlib.sha256(" ".join(words).encode())
    for config in configs:
        store = FoldStore(Path(), work.micro, work.macro, config)
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


def cached_results(workdir: Path, digest: str, say: Callable[[str], None]) -> dict[str, Any] | None:
    """The content of `metrics.json`, if the workdir holds results of this digest and no file has changed since.

    Args:
      workdir: of a run.
      digest: from `results_digest`.
      say: told which file is missing or has changed, if it is that.
    """
    try:
        made_from, changed = listed_from(workdir), changed_file(workdir)
    except ValueError as error:
        say(f"{error}: the results are written anew")
        return None
    if changed is not None:
        say(f"{workdir / changed} is missing or has changed since it was written: the results are written anew")
        return None
    if made_from != digest:
        return None
    metrics: dict[str, Any] = json.loads((workdir / "metrics.json").read_text())
    return metrics
