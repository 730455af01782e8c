"""Kinds of facial movement, and the thresholds between them.

Sizes are pixels of a face 128 wide, times are seconds.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "micro-expression", "macro-expression", "blink or gaze", "speech", "head motion", "face covered", "face lost"
]

KINDS: tuple[Kind, ...] = get_args(Kind)
WITH_CLASS: tuple[Kind, ...] = ("micro-expression", "macro-expression")

MICRO_SECONDS, MICRO_PIXELS = 0.5, 3.0
"""A micro-expression is neither longer nor larger.

Choice: the half second of Yan et al. 2013. A full raise of the brows moves 4.0 to 4.2 pixels, an opened mouth 8.3.
"""

COVERED_SHARE, COVERED_DEGREES = 0.08, 15.0
"""Least share of the skin that an object covers or leaves within 0.1 s, and most degrees of head motion at which this is so.

Choice: hands that come before a face or leave it reach 0.09 to 0.34, one that touches the temple 0.05, and they mislead the
  landmarks by up to 13 degrees. Expressions, blinks, mouthed words and slow turns reach 0.07, mostly 0 to 0.04, noise and
  compression 0.04. Turns and nods by 16 to 24 degrees reach 0.02 to 0.26, since lights on the skin change.
"""

LID_CLOSURE, GAZE_SHIFT = 0.2, 0.04
"""Least closure of the lids and shift of the gaze in eye widths.

Choice: noise closes the lids by 0.09 and shifts the gaze by 0.03 at most. Three blinks in videos close them by 0.51 to 0.72, blinks
  drawn into the portrait by 0.21 to 0.47.
"""

EYES_MAINLY, EYES_ALONE = 0.8, 0.6
"""Largest displacement elsewhere as a share of that of the eyes: if the landmarks show a blink or a gaze, and if they do not.

Choice: blinks reach 0.31 to 0.66, irises that move 0.2 to 0.35. Fields of action units reach 0.95 or more, and those that move the
  lids alone 0.64 to 0.78 (5) and 0.42 to 0.50 (7): tightened lids without cheeks or brows count as movements of the eyes.
"""

MAX_TURN, MAX_NOD = 45.0, 40.0
"""Most degrees of turn and nod: beyond them one eye or the brows are hidden on many heads, and widths shrink to 0.7."""

HEAD_ERROR_PER_DEGREE, HEAD_ERROR_PER_SQUARE_PIXEL, LONG_ERROR = 0.1, 0.003, 2.0
"""Pixels that remain after the motion of the head is removed: per degree by which it turns, and per square pixel by which it moves;
twice as much in a movement longer than a micro-expression.

Choice: rendered heads that turn by up to 12 degrees leave at most 0.09 per degree within a window of a second, and heads that sway
  by 5 pixels no more than noise. A resting face in a compressed video leaves 0.9 to 1.9 pixels while it moves by 12 to 18 pixels
  and turns by 4 to 10 degrees.
"""

BLINK_CLOSED, BLINK_PIXELS = 0.5, 1.0
"""Closure of the lids that is a blink for certain, and the largest displacement elsewhere that may be part of it.

Choice: a blink moves the lids by 2 to 3 pixels, and brows and cheeks by up to 0.66 of that at its own apex.
"""

SYLLABLE_OPENING = 0.03
"""Least range of the mouth's opening, in eye distances, of a single syllable: a movement below the nose as short and small as a
micro-expression.

Choice: mouthed words of four subjects reach 0.03 to 0.15, landmarks of small faces at rest 0.02. Lips part in micro-expressions
  mostly together with the brows.
"""

SPEECH_OPENING, SPEECH_PERIOD, SPEECH_CYCLES, SPEECH_PAUSE, MOUTH_SHARE = 0.05, 0.6, 3, 1.0, 0.6
"""Least rise and fall of the mouth's opening in eye distances, longest time between two openings, fewest openings, longest pause
within speech, and least share of the movement below the nose.

Choice: syllables open the mouth 2 to 7 times per second (Chandrasekaran et al. 2009), posed openings of a video follow each other
  after 0.9 s at the soonest. Landmarks at rest deviate by 0.016 at most, and their means over 0.08 s by 0.011.
"""

_SMOOTHING = 0.08


class Evidence(NamedTuple):
    """What is known of a movement from its onset to its offset.

    Attributes:
      seconds: its duration; NaN if unknown.
      pixels: largest displacement outside the eyes, without the motion of the head.
      eye_pixels: largest displacement in the region of the eyes.
      mouth_share: share of the squared displacement that lies below the nose.
      head_degrees: largest angle by which the head turns away from its pose at the onset.
      head_pixels: largest displacement of the face by the motion of the head.
      covered: largest `covered_share`.
      lid_closure: `lid_closure` of the eyes.
      gaze_shift: `gaze_shift` of the eyes.
      mouth_opening: range of `mouth_opening`, smoothed.
      in_speech: whether the movement overlaps one of `speech_spans`.
    """

    seconds: float
    pixels: float
    eye_pixels: float = 0.0
    mouth_share: float = 0.0
    head_degrees: float = 0.0
    head_pixels: float = 0.0
    covered: float = 0.0
    lid_closure: float = 0.0
    gaze_shift: float = 0.0
    mouth_opening: float = 0.0
    in_speech: bool = False


def movement_kind(evidence: Evidence) -> Kind:
    """Kind of a movement: the first that applies of covered, head motion, blink or gaze, speech, micro- and macro-expression.

    Choice: a covered face shows false movements of every other kind, and in a head that turns the eyes turn back. A movement of
      unknown duration is a micro-expression if it is small, since videos without times are clips of micro-expressions.
    """
    if evidence.covered >= COVERED_SHARE:
        return "face covered" if evidence.head_degrees < COVERED_DEGREES else "head motion"
    head_error = HEAD_ERROR_PER_DEGREE * evidence.head_degrees
    head_error += HEAD_ERROR_PER_SQUARE_PIXEL * evidence.head_pixels**2
    is_short = not evidence.seconds > MICRO_SECONDS
    head_error *= 1 if is_short else LONG_ERROR
    if max(evidence.pixels, evidence.eye_pixels) < head_error:
        return "head motion"
    eyes_move = evidence.lid_closure >= LID_CLOSURE or evidence.gaze_shift >= GAZE_SHIFT
    if evidence.pixels < (EYES_MAINLY if eyes_move else EYES_ALONE) * evidence.eye_pixels:
        return "blink or gaze"
    if evidence.pixels < head_error:
        return "head motion"
    if evidence.lid_closure >= BLINK_CLOSED and evidence.pixels < BLINK_PIXELS:
        return "blink or gaze"
    if evidence.in_speech and evidence.mouth_share >= MOUTH_SHARE:
        return "speech"
    is_micro = is_short and evidence.pixels <= MICRO_PIXELS
    if is_micro and evidence.mouth_share >= MOUTH_SHARE and evidence.mouth_opening >= SYLLABLE_OPENING:
        return "speech"
    return "micro-expression" if is_micro else "macro-expression"


def refused_pose(turn: float, nod: float) -> str:
    """Why the face of a head at these angles cannot be analysed, or nothing; degrees as in `head_angles`."""
    if abs(turn) > MAX_TURN:
        return f"a profile view ({abs(turn):.0f} degrees; at most {MAX_TURN:.0f})"
    if abs(nod) > MAX_NOD:
        return (
            f"the face is seen from {'above' if nod > 0 else 'below'} ({abs(nod):.0f} degrees; at most {MAX_NOD:.0f})"
        )
    return ""


def speech_spans(times: Sequence[float], mouth_opening: Sequence[float]) -> list[tuple[float, float]]:
    """Times from the first to the last of several openings of the mouth that follow each other as syllables do.

    Args:
      times: of the frames, in seconds.
      mouth_opening: `mouth_opening` of each frame, NaN where the face is lost.
    """
    spans: list[tuple[float, float]] = []
    run: list[tuple[float, float, float]] = []
    end = (np.inf, np.inf, np.inf)
    for opening in [*_openings(np.asarray(times, np.float64), np.asarray(mouth_opening, np.float64)), end]:
        if run and opening[1] - run[-1][1] > SPEECH_PERIOD:
            if len(run) >= SPEECH_CYCLES:
                follows = spans and run[0][0] - spans[-1][1] <= SPEECH_PAUSE
                spans.append((spans.pop()[0] if follows else run[0][0], run[-1][2]))
            run = []
        run.append(opening)
    return spans


def _openings(times: NDArray[np.float64], values: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """Times of each rise by `SPEECH_OPENING` that is followed by such a fall, of the maximum between them, and of the fall."""
    known = ~np.isnan(values)
    times, values = times[known], values[known]
    if len(times) < SPEECH_CYCLES:
        return []
    window = min(len(times), max(1, round(_SMOOTHING / max(float(np.median(np.diff(times))), 1e-3))))
    values, times = np.convolve(values, np.ones(window) / window, "valid"), times[(window - 1) // 2 :]
    found: list[tuple[float, float, float]] = []
    extreme, rose = 0, -1
    for index, value in enumerate(values):
        change = value - values[extreme]
        if rose < 0 and change > SPEECH_OPENING:
            extreme = rose = index
        elif rose >= 0 and -change > SPEECH_OPENING:
            found.append((float(times[rose]), float(times[extreme]), float(times[index])))
            extreme, rose = index, -1
        elif change * (1 if rose >= 0 else -1) > 0:
            extreme = index
    return found
