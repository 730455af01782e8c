"""Prepare checked clips once: motion images written as a TFDS dataset with a manifest.

A prepared folder is complete or absent: it is written under a temporary name and renamed at the end. Images of single
clips are cached, so that an interrupted preparation resumes and a changed clip is computed alone.
`tfds.builder_from_directory(folder)` opens the folder without this package.
"""

import dataclasses
import functools
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lightman_jax.data.preparation.check import Check
from lightman_jax.data.preparation.clip_cache import ClipCache, motion_key, text_digest
from lightman_jax.data.preparation.manifest import FORMAT_VERSION, STAND_IN_SUFFIX, Manifest, read_manifest
from lightman_jax.data.preparation.motion_config import MotionConfig, motion_in_use
from lightman_jax.data.preparation.representation import MotionImage
from lightman_jax.data.preparation.views import FALL, view_of
from lightman_jax.data.records import DataError, Problem, RawClip, Reading
from lightman_jax.files import file_digest, remove_leftovers, reporting_disk_full, require_space, temporary_path

KEEP_UNMOVED = "--no_movement=keep"

_SPARE_BYTES, _MAX_NAMED = 64 << 20, 3

_ClipImage = tuple[RawClip, MotionImage]
"""A clip and how its image was made, without the image, which is read again when it is written."""


def source_fingerprint(check: Check, config: MotionConfig, *, keep_unmoved: bool = False) -> str:
    """Digest of everything a prepared folder depends on: content of the files, spans, labels, problems, settings, `FORMAT_VERSION`.

    Names and times of files and folders do not enter it, so that a copy of the data in another place has the same digest.
    """
    reading, config = check.reading, motion_in_use(check.reading.clips, config)
    settings = (FORMAT_VERSION, reading.layout, reading.stand_in, check.space, keep_unmoved)
    clips = [
        f"{motion_key(clip, check.content(clip), config)} {clip.fps} {clip.subject} {clip.label} {clip.emotion} {clip.written} "
        f"{clip.action_units}"
        for clip in reading.clips
    ]
    problems = (" ".join(map(str, dataclasses.astuple(problem))) for problem in reading.problems)
    remarks = (*problems, *reading.notes, *reading.corrections)
    return text_digest([repr(settings), *sorted(clips), *sorted(_without_folders(remarks, reading))])[:16]


def _without_folders(texts: Sequence[str], reading: Reading) -> list[str]:
    """Texts without the paths of the folders that contain the files of a reading."""
    tops = {reading.root.absolute(), reading.root.resolve()}
    elsewhere = {path.parent for clip in reading.clips for path in clip.paths if not path.is_relative_to(reading.root)}
    if elsewhere:
        tops.add(Path(os.path.commonpath(elsewhere)))
    folders = {str(folder) for top in tops for folder in (top, *top.parents) if folder.name}
    longest_first = "|".join(map(re.escape, sorted(folders, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![\w./\\-])(?:{longest_first})(?:[/\\]+|(?![\w.-]))")
    return [pattern.sub("", text) for text in texts]


def prepare_clips(
    check: Check,
    folder: Path,
    *,
    dataset: str,
    config: MotionConfig,
    cache: ClipCache,
    keep_unmoved: bool = False,
) -> Manifest:
    """Compute the image of every clip and write a prepared folder, which is replaced if it exists.

    Clips that fail are left out and listed in the manifest with the reason; so are clips without a movement, unless `keep_unmoved`.
    Views are those of `motion_in_use`; how many clips lack one, and why, is a note of the manifest.

    Raises:
      DataError: no micro clip could be prepared, the clips have no such view, or no micro clip has one of the views.
      OSError: the folder cannot be written, or its disk is too small.
    """
    reading, config = check.reading, motion_in_use(check.reading.clips, config)
    clips = sorted(reading.clips, key=lambda clip: (clip.pool == "macro", clip.clip))
    # Room for the cached images and the dataset.
    require_space(folder, 2 * len(clips) * _clip_bytes(config) + _SPARE_BYTES)
    images: list[_ClipImage] = []
    problems, legs = list(reading.problems), {view_of(name).leg for name in config.view_names}
    contents = [check.content(clip) for clip in clips]
    for clip, result in zip(clips, cache.motion_images(clips, contents, config), strict=True):
        if isinstance(result, Exception):
            remedy = "correct the clip or choose other settings; it is left out"
            problems.append(Problem(clip.clip, f"a clip that gives {config.representation}", str(result), remedy))
            continue
        if result.moves == "outside":
            expected, remedy = "a movement of the face", "correct the box, or leave the clip out; its motion is zero"
            problems.append(Problem(clip.clip, expected, "frames that differ outside of the face", remedy, lost=False))
        if result.moves != "nowhere" or keep_unmoved:
            images.append((clip, result))
        else:
            expected = "frames that differ from the onset"
            found = "a constant flow image" if clip.kind == "flow" else "frames that are equal"
            if legs == {FALL} and len(clip.numbers) - 1 in (clip.apex, result.apex):
                expected, found = (
                    f"a frame after the apex, for {', '.join(config.view_names)}",
                    "the apex in the last frame",
                )
            remedy = f"replace the clip or give another apex; it is left out, {KEEP_UNMOVED} takes it"
            problems.append(Problem(clip.clip, expected, found, remedy, flag=KEEP_UNMOVED))
    if not any(clip.pool == "micro" for clip, _ in images):
        listed = "; ".join(f"{problem.where}: {problem.reason}" for problem in problems[:3])
        raise DataError(
            f"{reading.place} has no usable micro-expression clip. {listed or 'No clip was found'}. Correct or replace the files"
        )
    manifest = _manifest(check, dataset, config, images, problems)
    _refuse_absent_views(manifest, images)
    read = lambda clip: cache.image(clip, check.content(clip), config)  # noqa: E731
    return _write_folder(folder, manifest, images, read)


def _refuse_absent_views(manifest: Manifest, images: Sequence[_ClipImage]) -> None:
    missing = [motion.missing for clip, motion in images if clip.pool == "micro"]
    absent = [name for name, reasons in zip(manifest.views, zip(*missing, strict=True), strict=False) if all(reasons)]
    if absent:
        kept = ",".join(name for name in manifest.views if name not in absent)
        notes = "; ".join(note for note in manifest.notes if absent[0] in note)
        raise DataError(f"no micro clip has the view {', '.join(absent)} ({notes}); choose --views={kept}")


def _view_notes(images: Sequence[_ClipImage], config: MotionConfig) -> list[str]:
    """How many clips lack which views, and how macro clips have the views of a flow release."""
    pools = Counter(clip.pool for clip, _ in images)
    lacking = Counter(
        (
            clip.pool,
            ", ".join(name for name, own in zip(config.view_names, motion.missing, strict=True) if own == reason),
            reason,
        )
        for clip, motion in images
        for reason in dict.fromkeys(filter(None, motion.missing))
    )
    notes = [
        f"{count} of {pools[pool]} {pool} clips have no view {names}: {reason}"
        for (pool, names, reason), count in sorted(lacking.items(), reverse=True)
    ]
    computed = sum(clip.pool == "macro" and clip.kind not in ("flow", "landmarks", "simulated") for clip, _ in images)
    if computed and any(view_of(name).method is None for name in config.view_names):
        notes.append(
            f"the views of {computed} macro clips are computed by {config.flow_method}, since no release has them"
        )
    return notes


def _alignment_notes(images: Sequence[_ClipImage], config: MotionConfig) -> list[str]:
    """In how many clips head motion is removed, and the first clips without landmarks."""
    moving = [
        (clip, motion)
        for clip, motion in images
        if clip.kind in ("frames", "video") and not clip.cropped and len(clip.numbers) > 1
    ]
    if not moving or config.head_motion == "keep":
        return []
    lost = [clip.clip for clip, motion in moving if not motion.aligned]
    note = (
        f"head motion is removed in {len(moving) - len(lost)} of {len(moving)} clips that are not cropped to the face"
    )
    more = f" and {len(lost) - _MAX_NAMED} more" if len(lost) > _MAX_NAMED else ""
    return [f"{note}; some frame has no landmarks in {', '.join(lost[:_MAX_NAMED])}{more}" if lost else note]


def _manifest(
    check: Check, dataset: str, config: MotionConfig, images: Sequence[_ClipImage], problems: Sequence[Problem]
) -> Manifest:
    """The manifest of a folder that is not written yet."""
    reading = check.reading
    origin = f"{dataset}, read by the layout {reading.layout}"
    if reading.stand_in:
        origin = f"synthetic stand-in clips in the layout of {dataset}; not the corpus"
    views = f"; views: {', '.join(config.view_names)}" if config.view_names else ""
    return Manifest(
        dataset=dataset + (STAND_IN_SUFFIX if reading.stand_in else ""),
        stand_in=reading.stand_in,
        origin=origin + views,
        layout=reading.layout,
        root=reading.resolved_place,
        motion=config,
        flow="8-bit, min-max scaled per clip" if "flow_release" in reading.layout else "pixels",
        labels=check.space.name,
        classes=tuple(check.space.classes),
        clips=dict(Counter(clip.pool for clip, _ in images)),
        faces=dict(Counter(motion.face for _, motion in images)),
        apexes=dict(Counter(motion.apex_from for _, motion in images)),
        views=_view_counts(images, config),
        counts=check.counts,
        notes=(*reading.notes, *_alignment_notes(images, config), *_view_notes(images, config)),
        corrections=tuple(reading.corrections),
        problems=tuple(problems),
        sources=check.digests,
        shards={},
    )


def _view_counts(images: Sequence[_ClipImage], config: MotionConfig) -> dict[str, int]:
    missing = [motion.missing for _, motion in images]
    names = config.view_names if len(config.view_names) > 1 else ()
    return {name: sum(not reasons[place] for reasons in missing) for place, name in enumerate(names)}


def _write_folder(
    folder: Path, manifest: Manifest, images: Sequence[_ClipImage], read: Callable[[RawClip], NDArray[Any]]
) -> Manifest:
    # A finished preparation needs no TensorFlow Datasets.
    from lightman_jax.data.preparation.tfds_builder import write_dataset

    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, folder.name)
    scratch = temporary_path(folder)
    written = scratch / "clips"
    written.mkdir(parents=True)
    try:
        pools = {
            pool: functools.partial(_examples, [one for one in images if one[0].pool == pool], read, manifest.stand_in)
            for pool in manifest.clips
        }
        with reporting_disk_full(folder, len(images) * _clip_bytes(manifest.motion)):
            write_dataset(pools, written, classes=manifest.classes, description=_description(manifest))
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


def _description(manifest: Manifest) -> str:
    axis = ". Images [view, H, W, channel], NaN where a clip lacks a view"
    return manifest.origin + axis * bool(manifest.views)


def _examples(
    images: Sequence[_ClipImage], read: Callable[[RawClip], NDArray[Any]], stand_in: bool
) -> Iterator[dict[str, Any]]:
    suffix = STAND_IN_SUFFIX if stand_in else ""
    for clip, motion in images:
        yield {
            "image": read(clip),
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
    return math.prod(config.image_shape) * config.dtype.itemsize + 2048
