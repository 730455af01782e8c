"""Onset, apex and offset of an annotated movement among the images of its folder."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lightman_jax.data.corpora.base import Corpus, Report
from lightman_jax.data.folders.trees import Frames
from lightman_jax.data.records import LostClipError, Movement

KEEP_INCOMPLETE = "--incomplete=keep"
"""The flag that takes in clips without an onset or an offset."""


def numbered(video: str, numbers: Mapping[str, int | None]) -> str:
    """Name of a movement in a video of several: with its onset, or without one its apex or offset."""
    number = next((n for n in numbers.values() if n is not None), None)
    return f"{video}_{number}"


def without_zeros(movement: Movement, frames: Frames, corpus: Corpus, report: Report) -> Movement:
    """A movement whose numbers of 0 are missing, unless an image may have the number 0.

    An apex is 0 only if the onset is. An offset of 0 in a corpus that counts from 0 stays: onset and offset may be swapped.
    """
    onset, apex, offset = movement.onset, movement.apex, movement.offset
    counts_from_0 = corpus.counts_from == 0 or frames.numbers[0] <= 0
    if onset == 0 and not counts_from_0:
        onset = None
    if apex == 0 and not (counts_from_0 and onset == 0):
        apex = None
    if offset == 0 and not (corpus.counts_from == 0 and frames.numbers[0] <= 0):
        offset = apex if corpus.ends_at_apex and (apex or 0) > (onset or 0) else None
        if offset is not None:
            remedy = f"image {offset}, the apex, is taken, as in published work; --corrections can give another"
            report(movement.where, "an offset after 0", "offset 0", remedy, lost=False)
    return dataclasses.replace(movement, onset=onset, apex=apex, offset=offset)


def shifted(movement: Movement, shift: int) -> Movement:
    """A movement with its numbers reduced by `shift`."""
    if not shift:
        return movement
    numbers: dict[str, Any] = {name: getattr(movement, name) for name in ("onset", "apex", "offset")}
    return dataclasses.replace(movement, **{name: n - shift for name, n in numbers.items() if n is not None})


def completed(movement: Movement, frames: Frames | None, *, keep: bool, report: Report) -> Movement:
    """A movement with an onset and an offset: a missing one is taken from the folder if `keep` is set.

    Choice: the first or last image of the folder. In a long video, which holds other movements too, the apex is taken as offset
    and nothing as onset.

    Args:
      movement: the movement.
      frames: images of its folder; None for a video.
      keep: whether to take a missing number.
      report: reports what was taken.

    Raises:
      LostClipError: one of the two is missing, and `keep` is not set or there is nothing to take.
    """
    missing = [name for name in ("onset", "offset") if getattr(movement, name) is None]
    if not movement.has_span or not missing:
        return movement
    expected, found = "an onset and an offset", f"no {' and no '.join(missing)}"
    if movement.long_video or frames is None:
        choice = {"offset": (movement.apex, "the apex")} if movement.apex is not None else {}
    else:
        choice = {
            "onset": (frames.numbers[0], "the first of the folder"),
            "offset": (frames.numbers[-1], "the last of the folder"),
        }
    taken: dict[str, Any] = {name: choice[name][0] for name in missing if name in choice}
    words = " and ".join(f"image {choice[name][0]}, {choice[name][1]}, as {name}" for name in taken)
    if keep and len(taken) == len(missing):
        report(movement.where, expected, found, f"the clip takes {words}; --corrections can give another", lost=False)
        return dataclasses.replace(movement, **taken)
    way = "give the number with --corrections"
    if len(taken) == len(missing):
        way += f", or take {words} with {KEEP_INCOMPLETE}"
    raise LostClipError(movement.where, expected, found, f"the clip is left out; {way}", True, KEEP_INCOMPLETE)


def span(movement: Movement, frames: Frames, place: str, report: Report) -> tuple[int, int | None, int]:
    """Positions of onset, apex and offset among the images; without an onset and offset, all of them.

    Raises:
      LostClipError: the numbers are out of order, or name images that are not there.
    """
    first, last = frames.numbers[0], frames.numbers[-1]
    onset = first if movement.onset is None else movement.onset
    apex, offset = movement.apex, last if movement.offset is None else movement.offset
    named = f"onset {onset}, apex {'-' if apex is None else apex}, offset {offset}"
    if onset >= offset:
        remedy = "swap or correct the two; the clip is left out"
        raise LostClipError(movement.where, "an onset before the offset", named, remedy)
    if apex is not None and not onset <= apex <= offset:
        remedy = "correct the apex; the clip is left out"
        raise LostClipError(movement.where, "an apex from onset to offset", named, remedy)
    if onset < first or onset > last or (offset if apex is None else apex) > last:
        expected = f"images {onset} to {offset} ({movement.where})"
        found = f"{len(frames.paths)} images numbered {first} to {last}"
        remedy = "unpack the folder again or correct the row; the clip is left out"
        raise LostClipError(place, expected, found, remedy)
    if offset > last:
        expected = f"images to the offset {offset} ({movement.where})"
        found, remedy = f"{len(frames.paths)} images up to {last}", "unpack the folder again; the clip ends there"
        report(place, expected, found, remedy, lost=False)
    start, end = frames.at(onset), frames.at(min(offset, last))
    if start == end:
        raise LostClipError(place, "two images or more", f"one ({named})", "unpack the folder again")
    count, first, last = end - start + 1, frames.numbers[start], frames.numbers[end]
    if count < last - first + 1:
        remedy = "unpack the folder again if the release has them; the previous image replaces a dropped one"
        report(place, f"{last - first + 1} images numbered {first} to {last}", str(count), remedy, lost=False)
    return start, None if apex is None else frames.at(apex), end


def landmark_span(where: str, onset: int | None, apex: int | None, offset: int | None) -> dict[str, Any]:
    """Frame numbers in a file of landmarks, as fields of a `RawClip`; what is missing or 0 is found from the points.

    Raises:
      LostClipError: the numbers are out of order.
    """
    given = onset, apex, offset = onset or 0, apex or 0, offset or 0
    known = [number for number in given if number]
    if known != sorted(known) or min(known, default=1) < 1 or 0 < onset == offset:
        named = ", ".join(
            f"{name} {number or '-'}" for name, number in zip(("onset", "apex", "offset"), given, strict=True)
        )
        expected = "1 <= onset <= apex <= offset, and onset < offset, as far as they are known"
        raise LostClipError(where, expected, named, "correct the cells, or leave them empty; the clip is left out")
    if onset and offset:
        return {"numbers": tuple(range(onset, offset + 1)), "apex": apex - onset if apex else None}
    return {"numbers": given, "apex": 1 if apex else None}
