"""Work on many clips in several processes; a process that ends early costs at most the clip that it was working on."""

import collections
import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

_MIN_CLIPS_FOR_PROCESSES = 24
_QUEUED_PER_WORKER = 2
_MAX_NAMED = 3
_KILLED_TWICE = "the process that computes it was killed twice: memory is short, or OpenCV crashed on the files"
_CGROUP = Path("/sys/fs/cgroup")

Result = TypeVar("Result")


class Named(Protocol):
    """A clip, or a group of clips with a name for messages."""

    @property
    def clip(self) -> str:
        """The name."""


def cpu_cores() -> int:
    """Number of CPU cores that this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _cpu_quota())))


def _cpu_quota() -> float:
    """Cores that the control group of a container allows on Linux, version 2 or 1; infinite without a limit."""
    try:
        if (_CGROUP / "cpu.max").exists():
            quota, period = (_CGROUP / "cpu.max").read_text().split()
        else:
            quota, period = ((_CGROUP / f"cpu/cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        cores = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
    return cores if cores > 0 else math.inf


def in_this_process(clips: int, workers: int | None) -> bool:
    """Whether `each_clip` starts no other processes for so many clips."""
    return min(workers or cpu_cores(), clips) < 2 or clips < _MIN_CLIPS_FOR_PROCESSES


def each_clip(
    function: Callable[..., Result], clips: Sequence[Named], *more: Any, workers: int | None = None
) -> Iterator[tuple[int, Result | Exception]]:
    """Compute `function(clip, *more)` for every clip on all cores; results come in order of completion.

    If a worker process is killed, usually because memory is short, a warning names its clips, these are computed again one at a
    time, and the rest by half as many workers. Where no processes can be started, all clips are computed in this process.

    Args:
      function: importable by name. `ValueError` and `OSError` are returned as results, so that one bad clip does not
        end the work on the others; so is the second end of a process on the same clip.
      clips: arguments of the calls.
      *more: further arguments, the same for all clips.
      workers: number of processes; None starts one per core. Fewer than 24 clips are processed in this process.

    Yields:
      Index of the clip, and the result or the error.
    """
    calls = _Calls(function, clips, more)
    here = in_this_process(len(clips), workers)
    return calls.here(range(len(clips))) if here else calls.in_processes(min(workers or cpu_cores(), len(clips)))


class _NoProcessesError(Exception):
    """This system cannot start worker processes; the message has the reason."""


class _Calls(NamedTuple):
    """The calls of `each_clip`; a call is known by the index of its clip."""

    function: Callable[..., Any]
    clips: Sequence[Named]
    more: tuple[Any, ...]

    def here(self, indices: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Results computed in this process."""
        return ((index, guarded(self.function, self.clips[index], *self.more)) for index in indices)

    def in_processes(self, workers: int) -> Iterator[tuple[int, Any]]:
        """Results computed by several processes, with half as many after one of them was killed."""
        left = dict.fromkeys(range(len(self.clips)))
        try:
            while left:
                interrupted: list[int] = []
                for index, result in self._until_broken(left, workers, interrupted):
                    del left[index]
                    yield index, result
                if interrupted:
                    workers = max(1, workers // 2)
                    self._warn(interrupted, workers)
                for index, result in self._one_by_one(interrupted):
                    del left[index]
                    yield index, result
        except _NoProcessesError as error:
            warnings.warn(f"{error}: the clips are computed in this process, which takes longer", stacklevel=3)
            yield from self.here(left)

    def _until_broken(self, indices: Iterable[int], workers: int, interrupted: list[int]) -> Iterator[tuple[int, Any]]:
        """Results until a process is killed; the calls in progress at that time are appended to `interrupted`."""
        todo = collections.deque(indices)
        waiting: dict[Future[Any], int] = {}
        with self._pool(workers) as pool:
            while todo or waiting:
                while todo and len(waiting) < _QUEUED_PER_WORKER * workers:
                    index = todo.popleft()
                    try:
                        waiting[self._submit(pool, index)] = index
                    except BrokenProcessPool:
                        interrupted.append(index)
                        todo.clear()
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    index = waiting.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool | MemoryError):
                        interrupted.append(index)
                        todo.clear()
                    else:
                        yield index, future.result()

    def _one_by_one(self, indices: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Results of calls in one process, which has no other call in progress; an error if it is killed as well."""
        todo = collections.deque(indices)
        while todo:
            with self._pool(1) as pool:
                try:
                    pool.submit(int).result()
                except BrokenProcessPool as error:
                    raise _NoProcessesError(f"worker processes end as soon as they are started ({error})") from error
                while todo:
                    index = todo.popleft()
                    try:
                        yield index, self._submit(pool, index).result()
                    except MemoryError as error:
                        yield index, ValueError(f"memory is short: {error}")
                    except BrokenProcessPool:
                        yield index, ValueError(_KILLED_TWICE)
                        break

    @contextlib.contextmanager
    def _pool(self, workers: int) -> Iterator[ProcessPoolExecutor]:
        # Spawned, not forked: a fork of a process that runs JAX's threads may hang.
        context = multiprocessing.get_context("spawn")
        with self._starting():
            # Semaphores need /dev/shm, which some containers lack.
            pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
        try:
            with self._starting():
                pool.submit(int)
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ProcessPoolExecutor, index: int) -> Future[Any]:
        with self._starting():
            return pool.submit(guarded, self.function, self.clips[index], *self.more)

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Context in which processes start; they do not import the main script, so that it needs no guard against that."""
        main = sys.modules["__main__"]
        if self.function.__module__ != "__main__":
            sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        except BrokenProcessPool:
            raise
        except (OSError, ImportError, RuntimeError) as error:
            raise _NoProcessesError(f"no worker process can be started ({' '.join(str(error).split())})") from error
        finally:
            sys.modules["__main__"] = main

    def _warn(self, interrupted: Sequence[int], workers: int) -> None:
        named = ", ".join(self.clips[index].clip for index in sorted(interrupted)[:_MAX_NAMED])
        more = f" or {len(interrupted) - _MAX_NAMED} more" if len(interrupted) > _MAX_NAMED else ""
        warnings.warn(
            f"a worker process ended, probably because memory is short, while it computed {named}{more}. These are "
            f"computed again one at a time, the others by {workers} process{'es' * (workers > 1)}. If the command itself is "
            "killed, repeat it after python -m experiments.prepare --workers=1 with the same data flags; finished clips are kept",
            stacklevel=4,
        )


def _end_with_parent() -> None:
    """End this worker when its parent is killed, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def guarded(function: Callable[..., Result], clip: Named, *more: Any) -> Result | Exception:
    """Call `function(clip, *more)`; an error of the clip or its files is the result."""
    import cv2

    cv2.setNumThreads(1)
    try:
        return function(clip, *more)
    except (ValueError, OSError, cv2.error) as error:
        return ValueError(str(error))
