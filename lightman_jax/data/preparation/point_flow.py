"""Flow between the landmarks of a clip that has no images."""

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.preparation.motion_config import MotionConfig
from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.apex import middle_apex
from lightman_jax.data.vision.given_landmarks import landmarks_in
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.optical_flow import optical_strain
from lightman_jax.data.vision.point_movement import RestPoints, interpolated_flow
from lightman_jax.data.vision.point_spans import point_span

# OpenFace writes pixels with one decimal.
_ROUNDING = 0.101


class PointFlow:
    """The movement of the landmarks of a clip from onset to offset.

    Args:
      clip: of the kind `landmarks`.
      config: settings of its motion image.

    Attributes:
      apex: position of the apex among the frames with landmarks.
      apex_from: its source, as of `MotionImage`; it is spotted if the clip has none.
      last: position of the offset; the apex, if the clip ends there.

    Raises:
      ValueError: another representation is asked for, or as `point_span`.
    """

    def __init__(self, clip: RawClip, config: MotionConfig) -> None:
        if config.representation != "flow":
            raise ValueError(f"landmarks without images have no {config.representation}; choose --representation=flow")
        policy = config.apex_policy
        span = point_span(clip, spot=policy == "spot")
        last, landmarks = len(span.numbers) - 1, landmarks_in(clip.paths[0])
        self.apex = middle_apex(len(span.numbers)) if policy == "middle" else span.apex
        self.apex_from = "spot" if policy == "given" and clip.apex is None else policy
        self.last = self.apex if span.apex == last else last
        self._config = config
        self._landmarks = [landmarks[span.numbers[place]] for place in (0, self.apex, self.last)]
        self._rest = RestPoints(self._landmarks[0])
        moved = self._rest.expression if config.head_motion == "remove" else self._rest.displacement
        self._moved = [moved(points) for points in self._landmarks]

    def image(self, falls: bool) -> NDArray[np.float32]:
        """Flow and strain `[H, W, 3]` from onset to apex, or from the apex to the offset."""
        first, second = self._moved[falls], self._moved[falls + 1]
        side, sides = self._config.face_side, (self._config.image_side, self._config.image_side)
        flow = self._config.magnify * interpolated_flow(self._rest.points + first, second - first, side)
        return resize_image(np.dstack([flow, optical_strain(flow)]), *sides).astype(np.float32)

    def moves(self, falls: bool) -> bool:
        """Whether the landmarks of the first and the last frame differ by more than rounding."""
        first, second = self._landmarks[falls], self._landmarks[falls + 1]
        return bool(np.abs(second - first).max() > _ROUNDING)
