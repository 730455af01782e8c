"""Views of a movement: their names, those that the clips of a reading have, and the join of the images of one clip.

A view is an extraction of the flow and a leg of the movement, `EXTRACTION_LEG`: `rise` is onset to apex, `fall` apex to offset.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.flow_release import VIEWS as RELEASED_VIEWS
from lightman_jax.data.records import DataError, RawClip
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, FlowMethod

Moves = Literal["face", "outside", "nowhere"]

ALL = "all"
FALL = "fall"
COMPUTED_VIEWS = tuple(f"{method}_{leg}" for method in FLOW_METHODS for leg in ("rise", FALL))
"""Views that are computed from videos and images."""

_BEST_FIRST: tuple[Moves, ...] = ("face", "outside", "nowhere")


class View(NamedTuple):
    """A view: the extraction of its flow, and its leg, `rise` or `fall`."""

    extraction: str
    leg: str

    @property
    def method(self) -> FlowMethod | None:
        """The method that computes it; None for a view of a flow release."""
        return next((method for method in FLOW_METHODS if method == self.extraction), None)


def parse_views(text: str) -> tuple[str, ...]:
    """Names of views in a comma-separated list; `all` is those that are computed.

    Raises:
      ValueError: a name is unknown or listed twice.
    """
    if text.strip() == ALL:
        return COMPUTED_VIEWS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    known = (*COMPUTED_VIEWS, *RELEASED_VIEWS)
    if ALL in names:
        raise ValueError(f"views {text} list {ALL} next to other names; give {ALL} alone, or the names: --views={ALL}")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"view {unknown[0]!r} is unknown; choose {ALL}, or some of {', '.join(known)}")
    if len(set(names)) < len(names):
        kept = ",".join(dict.fromkeys(names))
        raise ValueError(f"views {text} list a view twice; list each once: --views={kept}")
    return names


def view_of(name: str) -> View:
    """The view of a name.

    >>> view_of("dis_fall")
    View(extraction='dis', leg='fall')
    """
    return View(*name.rsplit("_", 1))


def extraction_places(names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Places of the views of each extraction, the rise before the fall, in the order of the extractions.

    >>> extraction_places(["megc2019_rise", "causalnet_fall", "causalnet_rise"])
    ((0,), (2, 1))
    """
    places: dict[str, list[int]] = {}
    for place in sorted(range(len(names)), key=lambda place: view_of(names[place]).leg == FALL):
        places.setdefault(view_of(names[place]).extraction, []).append(place)
    return tuple(tuple(own) for own in sorted(places.values(), key=min))


def views_in_use(clips: Sequence[RawClip], text: str) -> tuple[str, ...]:
    """Names of the views of micro clips that a setting chooses; macro clips get the same.

    Args:
      clips: of a reading.
      text: names, `all`, or empty; see `MotionConfig.views`.

    Returns:
      The names; none if the setting is empty and the clips are no flow images of several views.

    Raises:
      DataError: the clips have no such view.
    """
    micro = [clip for clip in clips if clip.pool == "micro"]
    if any(clip.kind == "flow" for clip in micro):
        listed = {view for clip in micro for view in clip.views}
        present = tuple(view for view in RELEASED_VIEWS if view in listed) or RELEASED_VIEWS[:1]
        chosen = parse_views(text if text not in ("", ALL) else ",".join(present) if listed else "")
    else:
        present, chosen = COMPUTED_VIEWS, parse_views(text)
    if micro and (absent := [name for name in chosen if name not in present]):
        raise DataError(
            f"these clips have no view {', '.join(absent)}, only {', '.join(present)}; choose some of them, such as "
            f"--views={','.join(name for name in chosen if name in present) or present[0]}"
        )
    return chosen


class Joined(NamedTuple):
    """The views of one clip.

    Attributes:
      image: `[V, H, W, 3]` float32, NaN in the views that the clip lacks.
      moves: as in `MotionImage`, of the view that moves most.
      missing: for each view why the clip lacks it; empty where it has it.
    """

    image: NDArray[np.float32]
    moves: Moves
    missing: tuple[str, ...]


def join_views(
    names: Sequence[str],
    images: Mapping[str, NDArray[np.float32]],
    moves: Mapping[str, Moves],
    reasons: Mapping[str, str],
    still: str,
) -> Joined:
    """Join the images of the views of one clip; a view without a movement counts as missing if another one moves.

    Args:
      names: of the views, in their order.
      images: `[H, W, 3]` of each view that the clip has, at least one.
      moves: where the frames of each of them differ.
      reasons: why the clip lacks each of the others, of several clips: "their ...".
      still: why a view without a movement counts as missing.
    """
    best = min((moves[name] for name in images), key=_BEST_FIRST.index)
    kept = [name for name in images if moves[name] == best or best != "face"]
    absent = np.full_like(next(iter(images.values())), np.nan)
    stack = np.stack([images[name] if name in kept else absent for name in names])
    missing = tuple("" if name in kept else still if name in images else reasons[name] for name in names)
    return Joined(stack, best, missing)
