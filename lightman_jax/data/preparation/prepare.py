"""Prepare checked clips once: motion images written as a TFDS dataset with a manifest.

A prepared folder is complete or absent: it is written under a temporary name and renamed at the end. Images of single
clips are cached, so that an interrupted preparation resumes and a changed clip is computed alone.
`tfds.builder_from_directory(folder)` opens the folder without this package.
"""

import dataclasses
import functools
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightman_jax.data.corpora.labels import LabelSpace
from lightman_jax.data.corpora.records import DataError, Problem, RawClip, Reading
from lightman_jax.data.preparation.check import Check
from lightman_jax.data.preparation.clip_cache import ClipCache, clip_key
from lightman_jax.data.preparation.manifest import FORMAT_VERSION, STAND_IN_SUFFIX, Manifest, read_manifest
from lightman_jax.data.preparation.parallel import each_clip
from lightman_jax.data.preparation.representation import MotionConfig, motion_image
from lightman_jax.files import file_digest, remove_leftovers, reporting_disk_full, require_space, temporary_path

_SPARE_BYTES = 64 << 20


class _Computed(NamedTuple):
    """Clips with a cached image, the sources of their faces and apexes, and a problem for each clip without one."""

    clips: list[RawClip]
    faces: Counter[str]
    apexes: Counter[str]
    problems: list[Problem]


def source_fingerprint(reading: Reading, space: LabelSpace, config: MotionConfig) -> str:
    """Digest of everything a prepared folder depends on: files, spans, labels, problems, settings and `FORMAT_VERSION`.

    Raises:
      OSError: a file does not exist.
    """
    settings = (FORMAT_VERSION, reading.layout, reading.stand_in, space, reading.problems, reading.notes)
    digest = hashlib.sha256(repr(settings).encode())
    for clip in reading.clips:
        labels = f"{clip.label} {clip.emotion} {clip.action_units} {clip.subject}"
        digest.update(f"\n{clip_key(clip, config)} {labels}".encode())
    return digest.hexdigest()[:16]


def prepare_clips(
    check: Check,
    folder: Path,
    *,
    dataset: str,
    config: MotionConfig,
    cache: ClipCache,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Compute the image of every clip and write a prepared folder.

    Clips that fail are left out and listed in the manifest with the reason.

    Args:
      check: from `check_reading`.
      folder: the folder to write; replaced if it exists.
      dataset: name of the dataset, for the manifest.
      config: settings of the motion images.
      cache: images of single clips are read from it and stored in it.
      workers: number of processes; None starts one per core.
      on_progress: called with the number of clips done and in all.

    Returns:
      The manifest.

    Raises:
      DataError: no micro clip could be prepared.
      OSError: the folder cannot be written, or its disk is too small.
    """
    reading = check.reading
    clips = sorted(reading.clips, key=lambda clip: (clip.pool == "macro", clip.clip))
    # Room for the cached images, the dataset, and its temporary copy.
    require_space(folder, 3 * len(clips) * _clip_bytes(config) + _SPARE_BYTES)
    computed = _compute(clips, config, cache, workers, on_progress)
    manifest = _manifest(check, dataset, config, computed)
    if "micro" not in manifest.clips:
        listed = "; ".join(f"{problem.where}: {problem.reason}" for problem in manifest.problems[:3])
        raise DataError(
            f"{reading.root} has no usable micro-expression clip. {listed or 'No clip was found'}. Repair or replace the files"
        )
    return _write_folder(folder, manifest, computed.clips, cache)


def _manifest(check: Check, dataset: str, config: MotionConfig, computed: _Computed) -> Manifest:
    """The manifest of a folder that is not written yet."""
    reading = check.reading
    origin = f"{dataset}, read from {reading.root.resolve()} by the layout {reading.layout}"
    return Manifest(
        dataset=dataset + (STAND_IN_SUFFIX if reading.stand_in else ""),
        stand_in=reading.stand_in,
        origin=f"invented stand-in clips in the layout of {dataset}; not the corpus" if reading.stand_in else origin,
        layout=reading.layout,
        root=str(reading.root.resolve()),
        motion=config,
        flow="8-bit, min-max scaled per clip" if "flow_release" in reading.layout else "pixels",
        labels=check.space.name,
        classes=tuple(check.space.classes),
        clips=dict(Counter(clip.pool for clip in computed.clips)),
        faces=dict(computed.faces),
        apexes=dict(computed.apexes),
        counts=check.counts,
        notes=tuple(reading.notes),
        corrections=tuple(reading.corrections),
        problems=(*reading.problems, *computed.problems),
        sources=check.digests,
        shards={},
    )


def _compute(
    clips: Sequence[RawClip],
    config: MotionConfig,
    cache: ClipCache,
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> _Computed:
    """Fill the cache."""
    sources: dict[int, tuple[str, str]] = {}
    problems = []
    for index, clip in enumerate(clips):
        motion = cache.motion(clip, config)
        if motion is not None:
            sources[index] = (motion.face, motion.apex_from)
    todo = [index for index in range(len(clips)) if index not in sources]
    chosen = [clips[index] for index in todo]
    for place, result in each_clip(motion_image, chosen, config, workers=workers, on_progress=on_progress):
        clip = chosen[place]
        if isinstance(result, Exception):
            remedy = "repair the clip or choose other settings; it is left out"
            problems.append(Problem(clip.clip, f"a clip that gives {config.representation}", str(result), remedy))
        else:
            cache.store_motion(clip, config, result)
            sources[todo[place]] = (result.face, result.apex_from)
    done = sorted(sources)
    faces, apexes = (Counter(sources[index][which] for index in done) for which in (0, 1))
    return _Computed([clips[index] for index in done], faces, apexes, problems)


def _write_folder(folder: Path, manifest: Manifest, clips: Sequence[RawClip], cache: ClipCache) -> Manifest:
    # A finished preparation needs no TensorFlow Datasets.
    from lightman_jax.data.preparation.tfds_builder import write_dataset

    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, folder.name)
    scratch = temporary_path(folder)
    scratch.mkdir()
    try:
        pools = {
            pool: functools.partial(_examples, [clip for clip in clips if clip.pool == pool], manifest, cache)
            for pool in manifest.clips
        }
        with reporting_disk_full(folder, len(clips) * _clip_bytes(manifest.motion)):
            written = write_dataset(pools, scratch, classes=manifest.classes, origin=manifest.origin)
        shards = {path.name: file_digest(path) for path in sorted(written.iterdir())}
        manifest = dataclasses.replace(manifest, shards=shards)
        manifest.write(written)
        if folder.exists():
            shutil.rmtree(folder)
        try:
            os.replace(written, folder)
        except OSError:
            # Another process has prepared the same folder in the meantime.
            manifest = read_manifest(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _examples(clips: Sequence[RawClip], manifest: Manifest, cache: ClipCache) -> Iterator[dict[str, Any]]:
    suffix = STAND_IN_SUFFIX if manifest.stand_in else ""
    for clip in clips:
        motion = cache.motion(clip, manifest.motion)
        if motion is None:
            raise OSError(f"the cached image of {clip.clip} was removed while the dataset was written")
        yield {
            "image": motion.image,
            "label": clip.label,
            "clip": clip.clip.replace("/", f"{suffix}/", 1),
            "subject": clip.subject.replace("/", f"{suffix}/", 1),
            "emotion": clip.emotion,
            "action_units": "+".join(map(str, clip.action_units)),
            "apex": motion.apex,
            "fps": clip.fps,
            "face": motion.face,
        }


def _clip_bytes(config: MotionConfig) -> int:
    frames = config.frame_count if config.representation == "frames" else 3
    return 4 * frames * config.image_side**2 + 2048
