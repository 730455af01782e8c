"""Predict movements that were found with all networks of a model."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.prediction.movements import Support, missing_text, missing_views, model_image
from experiments.prediction.table import Row
from lightman_jax.data.vision.movement_kinds import WITH_CLASS
from lightman_jax.data.vision.spotting import Spotted
from lightman_jax.model.saved_model import Model


class Predictor(NamedTuple):
    """A model, and labelled clips of the subject that its networks are adapted to; None for none."""

    model: Model
    support: Support | None = None

    @property
    def adapted(self) -> int:
        """Number of labelled clips that the networks are adapted to."""
        return len(self.support.label) if self.support else 0

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.floating]:
        """Predictions `[networks, clips, classes]` of input images."""
        if self.support:
            return self.model.adapt(self.support.images, self.support.label, images)
        return self.model.predict(images)

    def row_of(self, row: Row, movement: Spotted) -> Row:
        """Add a movement to the row of its video: what was found, and the prediction if its kind has a class."""
        row = row._replace(
            kind=movement.kind,
            face_name=movement.face_name,
            span=(movement.onset, movement.apex, movement.offset),
            times=movement.times,
            pixels=movement.pixels,
        )
        if movement.kind not in WITH_CLASS:
            return row._replace(reason=f"{movement.kind}: no class is predicted")
        image, box = model_image(self.model, movement)[None], movement.box
        missing = missing_views(self.model, image[0])
        note = missing_text(movement, missing)
        face = "whole frame" if box is None else f"{box.finder} at {box.top},{box.left},{box.side}"
        return row._replace(
            face=face + (f", frame rotated by {90 * movement.rotation} degrees" if movement.rotation else ""),
            views=tuple(name for name in self.model.views if name not in missing),
            probabilities=self.probabilities(image)[:, 0],
            notes=(*row.notes, note) if note else row.notes,
        )
