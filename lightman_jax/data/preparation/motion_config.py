"""Settings of the motion image, and the views among them that a set of clips has."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from lightman_jax.data.preparation.views import FALL, RELEASED_VIEWS, parse_views, view_of, views_in_use
from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.apex import APEX_POLICIES, ApexPolicy
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, FlowMethod

Representation = Literal["flow", "difference", "apex", "dynamic", "frames"]
HeadMotionPolicy = Literal["remove", "keep"]
Colour = Literal["grey", "rgb"]

_FULL_SIDE = 32


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """Settings of the motion image.

    Attributes:
      representation: flow (u, v, strain), difference (apex minus onset), apex (the apex frame), dynamic (rank
        pooling) or frames.
      flow_method: farneback, dis or tvl1.
      views: several motion images per clip, a comma-separated list of EXTRACTION_LEG such as dis_rise,dis_fall: an extraction
        (farneback, dis, tvl1; megc2019, causalnet of the flow releases) and a leg (rise, onset to apex; fall, apex to offset), or
        all. Empty means flow_method_rise for videos and images, and every view that is present for a flow release.
      apex_policy: given (by the corpus, else the middle frame), middle, or spot.
      magnify: factor of Eulerian motion magnification, applied first; 1 is none.
      face_side: pixels of the square face on which motion is computed; at least image_side for representations other than flow, so
        that no face is enlarged twice.
      image_side: H = W of the stored image.
      frame_count: number of images of the representation frames.
      colour: channels of the representations other than flow: grey or rgb. Flow, apex and head motion are found in grey images.
      head_motion: remove (align the frames of images that show more than the face to the onset, and take what remains of the head
        from the flow) or keep.
    """

    representation: Representation = "flow"
    flow_method: FlowMethod = "farneback"
    views: str = ""
    apex_policy: ApexPolicy = "given"
    magnify: float = 1.0
    face_side: int = 128
    image_side: int = 28
    frame_count: int = 8
    head_motion: HeadMotionPolicy = "remove"
    colour: Colour = "grey"

    def __post_init__(self) -> None:
        representations = get_args(Representation)
        choices = {
            "representation": representations,
            "flow_method": FLOW_METHODS,
            "apex_policy": APEX_POLICIES,
            "head_motion": get_args(HeadMotionPolicy),
            "colour": get_args(Colour),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(allowed)}")
        for name, limit in {"magnify": 0, "face_side": 15, "image_side": 3, "frame_count": 1}.items():
            if getattr(self, name) <= limit:
                raise ValueError(f"{name} {getattr(self, name)} is too small; choose more than {limit}")
        object.__setattr__(self, "views", self.views.strip())
        if self.view_names and self.representation != "flow":
            raise ValueError(
                f"views {self.views} are views of flow, which the representation {self.representation} does not have; choose "
                "--representation=flow, or leave out --views"
            )
        if self.colour == "rgb" and self.representation == "flow":
            raise ValueError(
                "flow is computed from grey images and has no colour; choose --representation=apex, frames, difference or dynamic, "
                "or leave out --colour"
            )
        if self.representation != "flow":
            object.__setattr__(self, "face_side", max(self.face_side, self.image_side))

    @property
    def channels(self) -> Literal["flow", "grey", "rgb"]:
        """What the channels of an image are."""
        return "flow" if self.representation == "flow" else self.colour

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image: `(H, W, C)`, `(frames, H, W, C)` for frames, `(V, H, W, C)` of several views."""
        layers = (
            len(self.view_names) if len(self.view_names) > 1 else self.frame_count * (self.representation == "frames")
        )
        channels = 1 if self.channels == "grey" else 3
        return (*((layers,) if layers else ()), self.image_side, self.image_side, channels)

    @property
    def dtype(self) -> np.dtype:
        """As which an image is stored.

        Choice: grey levels of faces are whole numbers. Their differences, and flow of more than 32 pixels, are rounded by at most
        0.05%, where estimators of flow have errors of 11% and more.
        """
        if self.representation in ("apex", "frames"):
            return np.dtype(np.uint8)
        is_small = self.representation == "flow" and self.image_side <= _FULL_SIDE
        return np.dtype(np.float32 if is_small else np.float16)

    @property
    def view_names(self) -> tuple[str, ...]:
        """Names of `views`; none if it is empty."""
        return parse_views(self.views)


def motion_in_use(clips: Sequence[RawClip], config: MotionConfig) -> MotionConfig:
    """Settings that name the views of the clips: all that are present if none are chosen, and none if there is only one by default.

    A single view `METHOD_rise` is the setting `flow_method`.

    Raises:
      DataError: the clips have no such view.
    """
    if config.representation != "flow":
        return config
    names = views_in_use(clips, config.views)
    view = view_of(names[0]) if len(names) == 1 else None
    if view is not None and view.leg != FALL and view.method is not None:
        return dataclasses.replace(config, views="", flow_method=view.method)
    is_default = names == RELEASED_VIEWS[:1] and not any(clip.views for clip in clips)
    return dataclasses.replace(config, views="" if is_default else ",".join(names))
