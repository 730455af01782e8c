"""Results of clips; those of one video are computed in one pass over its frames, those of one file of landmarks by one process."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from lightman_jax.data.preparation.parallel import each_clip, guarded, in_this_process
from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.video_file import SharedFrames

Positions = Callable[..., Sequence[int]]


class _Job(NamedTuple):
    """A clip, or all clips of one video or file of landmarks; `clip` names the first."""

    clips: tuple[RawClip, ...]

    @property
    def clip(self) -> str:
        return self.clips[0].clip


def each_result(
    clips: Sequence[RawClip],
    function: Callable[..., Any],
    positions: Positions,
    more: tuple[Any, ...] = (),
    workers: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Compute `function(clip, *more, shared)` for every clip.

    Args:
      clips: the clips.
      function: importable by name; `shared` is the `SharedFrames` of the clips of a video, None for other clips.
      positions: importable by name; `positions(clip, *more)` are those of the frames that the function needs.
      more: further arguments, the same for all clips.
      workers: as in `each_clip`; the clips of one video or file of landmarks are computed by one process.

    Yields:
      Index of the clip, and the result or the error, as in `each_clip`.
    """
    groups: dict[Any, list[int]] = {}
    for index, clip in enumerate(clips):
        groups.setdefault(clip.paths[0] if clip.kind in ("video", "landmarks") else index, []).append(index)
    # By their last frame, so that few frames wait in memory for another clip.
    indices = [sorted(group, key=lambda index: clips[index].numbers[-1]) for group in groups.values()]
    jobs = [_Job(tuple(clips[index] for index in group)) for group in indices]
    if in_this_process(len(jobs), workers):
        for group, job in zip(indices, jobs, strict=True):
            yield from zip(group, _results(job, function, positions, more), strict=True)
        return
    results: Any
    for place, results in each_clip(_all_results, jobs, function, positions, more, workers=workers):
        failed = isinstance(results, Exception)
        yield from ((index, results if failed else results[row]) for row, index in enumerate(indices[place]))


def _all_results(job: _Job, function: Callable[..., Any], positions: Positions, more: tuple[Any, ...]) -> list[Any]:
    return list(_results(job, function, positions, more))


def _results(job: _Job, function: Callable[..., Any], positions: Positions, more: tuple[Any, ...]) -> Iterator[Any]:
    shared = None
    if job.clips[0].kind == "video":
        needed = [[clip.numbers[position] for position in positions(clip, *more)] for clip in job.clips]
        shared = SharedFrames(job.clips[0].paths[0], needed)
    return (guarded(function, clip, *more, shared) for clip in job.clips)
