"""Annotations that contradict the facts of their corpus: unknown emotions and subjects, and durations."""

from lightman_jax.data.corpora.base import Corpus, Report, normal_emotion
from lightman_jax.data.corpora.records import LostClipError, Movement

_DURATION_TOLERANCE = 0.25


def check_emotion(movement: Movement, corpus: Corpus) -> None:
    """Raise a `LostClipError` if the corpus has no such emotion."""
    known = set(corpus.emotions)
    if movement.labelled and known and not set(normal_emotion(movement.emotion).split("+")) <= known:
        expected, remedy = f"an emotion of {', '.join(sorted(known))}", "correct the label; the clip is left out"
        raise LostClipError(movement.where, expected, repr(movement.emotion), remedy)


def check_subject(movement: Movement, corpus: Corpus, subject: str, report: Report) -> bool:
    """Report a subject that the corpus does not have; whether it has."""
    numbers = corpus.subject_numbers
    if not numbers or int("".join(filter(str.isdecimal, subject)) or -1) in numbers:
        return True
    known = f"one of the {len(numbers)} subjects of {corpus.title}, numbers {numbers[0]} to {numbers[-1]}"
    remedy = "rename the folder, or remove the subject if it is not of this corpus; it is used"
    report(movement.where, known, f"unknown subject {subject}", remedy, lost=False)
    return False


def check_duration(movement: Movement, corpus: Corpus, count: int, report: Report) -> None:
    """Report a frame rate outside 1 to 2000, and a duration that contradicts the number of images."""
    fps = corpus.fps if movement.fps is None else movement.fps
    if movement.fps is not None and not 1 <= movement.fps <= 2000:
        remedy = "correct the cell; it affects only interpolation in time"
        report(movement.where, "1 to 2000 frames per second", f"{movement.fps:g}", remedy, lost=False)
    elif movement.seconds and fps and abs(count / fps / movement.seconds - 1) > _DURATION_TOLERANCE:
        expected = f"{movement.seconds * 1000:.0f} ms, the duration in the table"
        found = f"{count} images, {1000 * count / fps:.0f} ms at {fps:g} frames per second"
        remedy = "correct the duration or the frame numbers; the clip is used from onset to offset"
        report(movement.where, expected, found, remedy, lost=False)
