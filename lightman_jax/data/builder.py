"""Prepare a reading once: motion images of every clip, written as TFDS array_record shards beside a manifest.

A prepared folder is complete or absent: it is written under a temporary name and renamed when whole.
`tfds.builder_from_directory(folder)` opens it without this package and without TensorFlow.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from lightman_jax.data.catalog import EMOTIONS_3
from lightman_jax.data.clips import DataError, Problem, RawClip, Reading
from lightman_jax.data.motion import MotionConfig, MotionImage, motion_image

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
STAND_IN_SUFFIX = "_stand_in"

_Prepared = tuple[RawClip, MotionImage]


class ClipBuilder(tfds.core.GeneratorBasedBuilder):
    """TFDS builder of the splits `micro` and `macro`; made by `prepare_clips`, read by anyone."""

    VERSION = tfds.core.Version("1.0.0")
    name = "lightman_clips"

    def __init__(self, *, prepared: dict[str, list[_Prepared]], origin: str, **kwargs: Any) -> None:
        self._prepared = prepared
        self._origin = origin
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        first = next(iter(self._prepared.values()))[0][1].image
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=first.shape, dtype=np.float32),
                "label": tfds.features.ClassLabel(names=list(EMOTIONS_3)),
                "subject": tfds.features.Text(),
                "clip": tfds.features.Text(),
                "apex": tfds.features.Scalar(np.int32),
                "face": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description=self._origin, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {pool: self._generate_examples(pool) for pool in self._prepared}

    def _generate_examples(self, pool: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, (clip, motion) in enumerate(self._prepared[pool]):
            yield (
                row,
                {
                    "image": motion.image,
                    "label": clip.label,
                    "subject": clip.subject,
                    "clip": clip.clip,
                    "apex": motion.apex,
                    "face": motion.face,
                },
            )


def source_fingerprint(reading: Reading, config: MotionConfig) -> str:
    """Name of what would be prepared: every file's path, size and time, every label, index and problem, and the settings.

    A file whose content changes without its size or time changing is not noticed here; the manifest has its digest.
    """
    settings = (FORMAT_VERSION, reading.layout, reading.stand_in, config, reading.problems, reading.notes)
    digest = hashlib.sha256(repr(settings).encode())
    for clip in reading.clips:
        digest.update(f"\n{clip.clip} {clip.label} {clip.pool} {clip.onset} {clip.apex} {clip.offset}".encode())
        for path in clip.paths:
            status = path.stat()
            digest.update(f"\n{path.relative_to(reading.root)} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def prepare_clips(
    reading: Reading,
    folder: Path,
    *,
    dataset: str,
    config: MotionConfig,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compute every clip's motion image and write shards and manifest to `folder`.

    A clip that fails is listed in the manifest with its reason; the others are written all the same.

    Args:
      reading: from `layouts.read_corpus`.
      folder: where the finished shards go; replaced if it is there.
      dataset: the protocol's name, kept in the manifest.
      config: sizes.
      on_progress: called with clips done and clips in all.

    Returns:
      The manifest.

    Raises:
      DataError: no clip at all could be prepared.
      OSError: the folder cannot be written.
    """
    prepared: dict[str, list[_Prepared]] = {}
    problems = list(reading.problems)
    for done, clip in enumerate(sorted(reading.clips, key=lambda clip: clip.clip), start=1):
        clip = _named_for_origin(clip, stand_in=reading.stand_in)
        try:
            motion = motion_image(clip, config)
        except (ValueError, OSError) as error:
            problems.append(Problem(clip.clip, str(error)))
        else:
            prepared.setdefault(clip.pool, []).append((clip, motion))
        if on_progress is not None:
            on_progress(done, len(reading.clips))
    if "micro" not in prepared:
        listed = "; ".join(f"{problem.where}: {problem.reason}" for problem in problems[:3])
        raise DataError(
            f"{reading.root} has no usable micro-expression clip. {listed or 'No clip was found'}. Repair or replace the files"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        shards = _write_shards(prepared, scratch, origin=_origin(dataset, reading))
        manifest = {
            "format_version": FORMAT_VERSION,
            "dataset": dataset + (STAND_IN_SUFFIX if reading.stand_in else ""),
            "stand_in": reading.stand_in,
            "origin": _origin(dataset, reading),
            "layout": reading.layout,
            "root": str(reading.root.resolve()),
            "motion": dataclasses.asdict(config),
            "flow": "8-bit, min-max scaled per clip" if reading.layout == "flow_release" else "pixels",
            "clips": {pool: len(rows) for pool, rows in prepared.items()},
            "faces": _count(motion.face for rows in prepared.values() for _, motion in rows),
            "notes": list(reading.notes),
            "problems": [dataclasses.asdict(problem) for problem in problems],
            "sources": _source_digests(reading),
            "shards": {path.name: _digest(path) for path in sorted(shards.iterdir())},
        }
        (shards / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(shards, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _write_shards(prepared: dict[str, list[_Prepared]], scratch: Path, origin: str) -> Path:
    tfds.disable_progress_bar()
    builder = ClipBuilder(prepared=prepared, origin=origin, data_dir=scratch, file_format="array_record")
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces itself on standard output.
        builder.download_and_prepare()
    return Path(builder.data_path)


def _named_for_origin(clip: RawClip, *, stand_in: bool) -> RawClip:
    if not stand_in:
        return clip
    corpus, subject, name = clip.clip.split("/", 2)
    invented = f"{corpus}{STAND_IN_SUFFIX}/{subject}"
    return dataclasses.replace(clip, clip=f"{invented}/{name}", subject=invented)


def _origin(dataset: str, reading: Reading) -> str:
    if reading.stand_in:
        return f"invented stand-in clips in the layout of {dataset}; not the corpus"
    return f"{dataset}, read from {reading.root.resolve()} by the layout {reading.layout}"


def _count(names: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _source_digests(reading: Reading) -> dict[str, str]:
    paths = sorted({path for clip in reading.clips for path in clip.paths})
    return {str(path.relative_to(reading.root)): _digest(path) for path in paths if path.is_file()}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
