"""Work on many clips in several processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

from lightman_jax.data.corpora.records import RawClip

_MIN_CLIPS_FOR_PROCESSES = 24
_QUEUED_PER_WORKER = 4

Result = TypeVar("Result")


def cpu_cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_clip(
    function: Callable[..., Result],
    clips: Sequence[RawClip],
    *more: Any,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Result | Exception]]:
    """Compute `function(clip, *more)` for every clip on all cores; results come in order of completion.

    Args:
      function: importable by name. `ValueError` and `OSError` are returned as results, so that one bad clip does not
        end the work on the others.
      clips: arguments of the calls.
      *more: further arguments, the same for all clips.
      workers: number of processes; None starts one per core. Fewer than 24 clips are processed in this process.
      on_progress: called with the number of clips done and in all.

    Yields:
      Index of the clip, and the result or the error.
    """
    workers = min(workers or cpu_cores(), len(clips))
    results: Iterator[tuple[int, Result | Exception]]
    if workers < 2 or len(clips) < _MIN_CLIPS_FOR_PROCESSES:
        results = ((index, _guarded(function, clip, *more)) for index, clip in enumerate(clips))
    else:
        results = _in_processes(function, clips, more, workers)
    for done, result in enumerate(results, start=1):
        yield result
        if on_progress is not None:
            on_progress(done, len(clips))


def _in_processes(
    function: Callable[..., Result], clips: Sequence[RawClip], more: tuple[Any, ...], workers: int
) -> Iterator[tuple[int, Result | Exception]]:
    # Spawned, not forked: a fork of a process that runs JAX's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        waiting: dict[Future[Result | Exception], int] = {}
        todo = iter(enumerate(clips))
        try:
            while True:
                while len(waiting) < _QUEUED_PER_WORKER * workers and (item := next(todo, None)) is not None:
                    waiting[pool.submit(_guarded, function, item[1], *more)] = item[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when its parent is killed, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def _guarded(function: Callable[..., Result], clip: RawClip, *more: Any) -> Result | Exception:
    import cv2

    cv2.setNumThreads(1)
    try:
        return function(clip, *more)
    except (ValueError, OSError, cv2.error) as error:
        return ValueError(str(error))
