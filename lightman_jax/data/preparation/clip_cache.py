"""Work done on single clips, kept as it is done: one file a result, whole or absent, found again by what it was made from."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lightman_jax.data.corpora.records import Problem, RawClip
from lightman_jax.data.preparation.inspect_clip import Inspection
from lightman_jax.data.preparation.representation import MotionConfig, MotionImage
from lightman_jax.files import read_sealed, write_sealed

FORMAT_VERSION = 4
"""Raised whenever the same clip and settings would give another result, or one that is kept in another way."""

_FEWEST_FOR_PROCESSES = 24
_AHEAD = 4

Result = TypeVar("Result")


def clip_key(clip: RawClip, settings: object = None) -> str:
    """Name of what would be computed: every file's path, size and time, the movement's place in them, and the settings.

    A file whose content changes without its size or time changing is not noticed here; the manifest has its digest.

    Raises:
      OSError: a file is not there.
    """
    place = (clip.kind, clip.numbers, clip.apex, clip.cropped, clip.box)
    digest = hashlib.sha256(repr((FORMAT_VERSION, clip.clip, clip.pool, place, settings)).encode())
    for path in clip.paths:
        status = os.stat(path)
        digest.update(f"\n{path} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


class ClipStore:
    """A folder of finished results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def inspection(self, clip: RawClip) -> Inspection | None:
        """What an earlier inspection of the same files said."""
        held = self._held(f"{clip_key(clip)}.inspection")
        if held is None:
            return None
        content = json.loads(held)
        return Inspection(content["digests"], tuple(Problem(**problem) for problem in content["problems"]))

    def keep_inspection(self, clip: RawClip, inspection: Inspection) -> None:
        """Keep an inspection."""
        content = {"digests": inspection.digests, "problems": [vars(problem) for problem in inspection.problems]}
        self._keep(f"{clip_key(clip)}.inspection", json.dumps(content).encode())

    def motion(self, clip: RawClip, config: MotionConfig) -> MotionImage | None:
        """The image of the same files under the same settings, if it is there and whole."""
        content = self._held(f"{clip_key(clip, config)}.motion")
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            return MotionImage(held["image"], int(held["apex"]), str(held["apex_from"]), str(held["face"]))

    def keep_motion(self, clip: RawClip, config: MotionConfig, motion: MotionImage) -> None:
        """Keep an image."""
        buffer = io.BytesIO()
        np.savez(buffer, **motion._asdict())
        self._keep(f"{clip_key(clip, config)}.motion", buffer.getvalue())

    def _held(self, name: str) -> bytes | None:
        """A result, or None if it is missing, damaged or cannot be read: it can be computed again."""
        try:
            return read_sealed(self._folder / name)
        except OSError:
            return None

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_sealed(self._folder / name, content)


def each_clip(
    function: Callable[..., Result],
    clips: Sequence[RawClip],
    *more: Any,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Result | Exception]]:
    """`function(clip, *more)` for every clip on all cores, as they finish, with a few clips in flight at a time.

    Args:
      function: importable by name. Its `ValueError` and `OSError` are handed on as results: one bad clip never ends
        the rest.
      clips: what to work on.
      *more: further arguments.
      workers: processes; None takes one a core. Few clips are worked on here, where no process need start.
      on_progress: called with clips done and clips in all.

    Yields:
      Index of the clip, and the result or the error.
    """
    workers = min(workers or _cores(), len(clips))
    if workers < 2 or len(clips) < _FEWEST_FOR_PROCESSES:
        for index, clip in enumerate(clips):
            yield index, _guarded(function, clip, *more)
            if on_progress is not None:
                on_progress(index + 1, len(clips))
        return
    # Spawned, not forked: a fork of a process that runs JAX's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        waiting: dict[Future[Result | Exception], int] = {}
        todo = iter(enumerate(clips))
        done = 0
        try:
            while True:
                while len(waiting) < _AHEAD * workers and (item := next(todo, None)) is not None:
                    waiting[pool.submit(_guarded, function, item[1], *more)] = item[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
                    done += 1
                    if on_progress is not None:
                        on_progress(done, len(clips))
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next clip for ever; what Ctrl-C means is the parent's to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _guarded(function: Callable[..., Result], clip: RawClip, *more: Any) -> Result | Exception:
    import cv2

    cv2.setNumThreads(1)
    try:
        return function(clip, *more)
    except (ValueError, OSError, cv2.error) as error:
        return ValueError(str(error))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
