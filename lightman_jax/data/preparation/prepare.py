"""Prepare a checked download once: motion images of every clip, written as TFDS array_record shards beside a manifest.

A prepared folder is complete or absent: it is written under a temporary name and renamed when whole. Images of
single clips are kept as they are done, so an interrupted preparation goes on where it stopped, and a changed clip
costs that clip alone. `tfds.builder_from_directory(folder)` opens the shards without this package and without
TensorFlow.
"""

import dataclasses
import functools
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightman_jax.data.corpora.labels import LabelSpace
from lightman_jax.data.corpora.records import DataError, Problem, RawClip, Reading
from lightman_jax.data.preparation.check import Check
from lightman_jax.data.preparation.clip_cache import FORMAT_VERSION, ClipStore, clip_key, each_clip
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.files import (
    read_sealed_json,
    remove_parts,
    require_space,
    scratch_for,
    telling_space,
    write_sealed_json,
)

MANIFEST = "manifest.json"
STAND_IN_SUFFIX = "_stand_in"

_SPARE = 64 << 20


def source_fingerprint(reading: Reading, space: LabelSpace, config: MotionConfig) -> str:
    """Name of what would be prepared: every clip's files and place in them, every label and problem, and the settings.

    Raises:
      OSError: a file is not there.
    """
    settings = (FORMAT_VERSION, reading.layout, reading.stand_in, space, reading.problems, reading.notes)
    digest = hashlib.sha256(repr(settings).encode())
    for clip in reading.clips:
        said = f"\n{clip_key(clip, config)} {clip.label} {clip.emotion} {clip.action_units} {clip.subject}"
        digest.update(said.encode())
    return digest.hexdigest()[:16]


def prepare_clips(
    check: Check,
    folder: Path,
    *,
    dataset: str,
    config: MotionConfig,
    store: ClipStore,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Compute every clip's image and write shards and manifest to `folder`.

    A clip that fails is listed in the manifest with its reason; the others are written all the same.

    Args:
      check: from `check.check_reading`.
      folder: where the finished shards go; replaced if it is there.
      dataset: the protocol's name, kept in the manifest.
      config: what to compute.
      store: where images of single clips are kept and found again.
      workers: processes; None takes one a core.
      on_progress: called with clips done and clips in all.

    Returns:
      The manifest.

    Raises:
      DataError: no micro clip at all could be prepared.
      OSError: the folder cannot be written, or its disk is too small.
    """
    reading = check.reading
    clips = sorted(reading.clips, key=lambda clip: (clip.pool == "macro", clip.clip))
    _check_space(folder, len(clips), config)
    problems = list(reading.problems)
    failed = _compute(clips, config, store, problems, workers, on_progress)
    prepared = [clip for index, clip in enumerate(clips) if index not in failed]
    if not any(clip.pool == "micro" for clip in prepared):
        listed = "; ".join(f"{problem.where}: {problem.reason}" for problem in problems[:3])
        raise DataError(
            f"{reading.root} has no usable micro-expression clip. {listed or 'No clip was found'}. Repair or replace the files"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(folder.parent, folder.name)
    scratch = scratch_for(folder)
    scratch.mkdir()
    try:
        from lightman_jax.data.preparation.tfds_builder import (
            write_shards,  # It brings TensorFlow Datasets, which a finished preparation can do without.
        )

        used: dict[tuple[str, str], tuple[str, str]] = {}
        pools = {
            str(pool): functools.partial(
                _examples, [c for c in prepared if c.pool == pool], config, store, reading.stand_in, used
            )
            for pool in dict.fromkeys(clip.pool for clip in prepared)
        }
        with telling_space(folder, len(prepared) * _clip_bytes(config)):
            data_cache = write_shards(pools, scratch, classes=check.space.classes, origin=_origin(dataset, reading))
        manifest = {
            "format_version": FORMAT_VERSION,
            "dataset": dataset + (STAND_IN_SUFFIX if reading.stand_in else ""),
            "stand_in": reading.stand_in,
            "origin": _origin(dataset, reading),
            "layout": reading.layout,
            "root": str(reading.root.resolve()),
            "motion": dataclasses.asdict(config),
            "flow": "8-bit, min-max scaled per clip" if "flow_release" in reading.layout else "pixels",
            "labels": check.space.name,
            "classes": list(check.space.classes),
            "clips": dict(Counter(clip.pool for clip in prepared)),
            "faces": dict(Counter(face for face, _ in used.values())),
            "apexes": dict(Counter(apex for _, apex in used.values())),
            "counts": [count._asdict() | {"deviation": count.deviation} for count in check.counts],
            "notes": list(reading.notes),
            "repairs": list(reading.corrections),
            "problems": [dataclasses.asdict(problem) for problem in problems],
            "sources": check.digests,
            "shards": {path.name: _digest(path) for path in sorted(data_cache.iterdir())},
        }
        write_sealed_json(data_cache / MANIFEST, manifest)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            os.replace(data_cache, folder)
        except OSError:
            # Another process has prepared the same in the meantime.
            manifest = check_prepared(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def check_prepared(folder: Path) -> dict[str, Any]:
    """The manifest of a prepared folder, once it and every shard are as they were written.

    Raises:
      DataError: no manifest, another format version, or a file that is missing or changed; names it.
    """
    remedy = f"remove {folder} and run again to prepare it anew"
    try:
        manifest = read_sealed_json(folder / MANIFEST)
    except ValueError as error:
        raise DataError(f"{error}; {remedy}") from error
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(f"{folder} has format version {version}, this release reads {FORMAT_VERSION}; {remedy}")
    for name, digest in manifest["shards"].items():
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            raise DataError(f"{path} is missing or changed since it was prepared; {remedy}")
    return manifest


def _compute(
    clips: Sequence[RawClip],
    config: MotionConfig,
    store: ClipStore,
    problems: list[Problem],
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> set[int]:
    """Fill the store; the indices of clips that failed, each with a problem."""
    todo = [index for index, clip in enumerate(clips) if store.motion(clip, config) is None]
    failed = set()
    chosen = [clips[index] for index in todo]
    for place, result in each_clip(motion_image, chosen, config, workers=workers, on_progress=on_progress):
        clip = chosen[place]
        if isinstance(result, Exception):
            failed.add(todo[place])
            remedy = "repair the clip or choose other settings; it is left out"
            problems.append(Problem(clip.clip, f"a clip that gives {config.representation}", str(result), remedy))
        else:
            store.keep_motion(clip, config, result)
    return failed


def _check_space(folder: Path, clips: int, config: MotionConfig) -> None:
    # Once as single clips, once as shards, and once more while the shards are renamed.
    require_space(folder, 3 * clips * _clip_bytes(config) + _SPARE)


def _clip_bytes(config: MotionConfig) -> int:
    frames = config.frame_count if config.representation == "frames" else 3
    return 4 * frames * config.image_side**2 + 2048


def _examples(
    clips: Sequence[RawClip], config: MotionConfig, store: ClipStore, stand_in: bool, used: dict[Any, tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    suffix = STAND_IN_SUFFIX if stand_in else ""
    for clip in clips:
        motion = store.motion(clip, config)
        if motion is None:
            raise OSError(f"the image of {clip.clip} was removed while the shards were written")
        used[clip.pool, clip.clip] = (motion.face, motion.apex_from)
        yield {
            "image": motion.image,
            "label": clip.label,
            "clip": clip.clip.replace("/", f"{suffix}/", 1),
            "subject": clip.subject.replace("/", f"{suffix}/", 1),
            "emotion": clip.emotion,
            "action_units": "+".join(map(str, clip.action_units)),
            "apex": motion.apex,
            "rate": clip.rate,
            "face": motion.face,
        }


def _origin(dataset: str, reading: Reading) -> str:
    if reading.stand_in:
        return f"invented stand-in clips in the layout of {dataset}; not the corpus"
    return f"{dataset}, read from {reading.root.resolve()} by the layout {reading.layout}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
