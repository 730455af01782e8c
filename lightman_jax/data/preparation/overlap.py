"""Clips that share their frames: one video under two subjects, or one movement listed twice."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping

from lightman_jax.data.records import Problem, RawClip

_SHARED, _TWICE = 0.5, 0.9


class Overlaps:
    """Compares every clip with those that were added before it, by the content of their files.

    Choice: half of the frames of the shorter clip under two subjects, because subjects that follow one another in a video may share
    a boundary frame; nine tenths of the longer clip under one subject, because its movements may overlap.
    """

    def __init__(self) -> None:
        self._clips: list[tuple[RawClip, int]] = []
        self._with_frame: dict[Hashable, list[int]] = defaultdict(list)

    def add(self, clip: RawClip, digests: Mapping[str, str]) -> Problem | None:
        """Add a clip, unless most of its frames are those of another subject.

        Args:
          clip: the clip.
          digests: digest of each of its files, by path.

        Returns:
          The overlap with an earlier clip, if there is one; with a clip of another subject it is lost.
        """
        # Simulated clips share a geometry, and no frame.
        files = [] if clip.kind == "simulated" else [digests[str(path)] for path in clip.paths]
        in_one_file = clip.kind in ("video", "pixels", "landmarks")
        frames: set[Hashable] = {(files[0], number) for number in clip.numbers} if in_one_file else set(files)
        shared = Counter(place for frame in frames for place in self._with_frame.get(frame, ()))
        found = None
        for place, count in shared.most_common():
            other, size = self._clips[place]
            if _apart(clip, other):
                continue
            if other.subject != clip.subject and count >= _SHARED * min(len(frames), size):
                return _problem(clip, other, count, len(frames), lost=True)
            if (other.subject, other.pool) == (clip.subject, clip.pool) and count >= _TWICE * max(len(frames), size):
                found = found or _problem(clip, other, count, len(frames), lost=False)
        for frame in frames:
            self._with_frame[frame].append(len(self._clips))
        self._clips.append((clip, len(frames)))
        return found


def _problem(clip: RawClip, other: RawClip, shared: int, frames: int, *, lost: bool) -> Problem:
    found = f"{shared} of its {frames} frames are those of {other.clip} of subject {other.subject}"
    if not lost:
        remedy = "remove one of the two if they are one movement; both are used"
        return Problem(clip.clip, "a movement that is listed once", found, remedy, lost=False)
    remedy = "correct the path or the frame numbers, list both subjects in --subject_aliases, or remove one; the first is used"
    return Problem(clip.clip, f"frames of subject {clip.subject} alone", found, remedy)


def _apart(first: RawClip, second: RawClip) -> bool:
    """Whether two clips show two faces of one video, by boxes that do not meet."""
    if first.box is None or second.box is None:
        return False
    (top, left, side), (other_top, other_left, other_side) = first.box, second.box
    meet_down = top < other_top + other_side and other_top < top + side
    return not (meet_down and left < other_left + other_side and other_left < left + side)
