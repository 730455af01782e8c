"""Model card: data, method, scores and input format of trained networks, stored in checkpoints and exported files."""

import dataclasses
import json
from typing import Any, Self

from lightman_jax.model.saved_model import FORMAT_VERSION, READ_VERSIONS, refuse_other_unit
from lightman_jax.preprocessing import Channels

NOTICE = (
    "For research with consenting subjects. A class is an annotator's label of a movement, not a feeling. Not for judging, "
    "ranking, screening or monitoring anyone."
)

_TUPLES = ("classes", "image_shape", "folds", "views", "mean_square", "trained_on")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Scores of trained networks on clips of subjects that they were not trained on.

    Attributes:
      data: the clips, in words.
      uf1: UF1, and the ends of its 95% interval by bootstrap over subjects.
      uar: UAR, likewise.
    """

    data: str
    uf1: tuple[float, float, float]
    uar: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name in ("uf1", "uar"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __str__(self) -> str:
        uf1, uar = (f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in (self.uf1, self.uar))
        return f"UF1 {uf1} and UAR {uar} on {self.data}"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Description of trained networks that predict together.

    Attributes:
      classes: class names, in the order of the probabilities.
      image_shape: `((frames,) H, W, C)` of an input, `(V, H, W, C)` with views.
      method: method that trained the networks.
      folds: held-out fold of each network.
      views: `[V]` names of the views of a clip, in the order of their axis; empty for images without a view axis.
      seeds: number of seeds among the networks.
      dataset: data the networks were trained on.
      labels: name of the label space.
      stand_in: the data were synthetic stand-in clips.
      origin: description of the data for reports.
      trained_on: corpora of all training clips, those of the weights that the training started from among them.
      init: weights that the training started from, with the digest of their file; empty for random weights.
      motion: fields of `MotionConfig`, by which an image is computed from a video.
      flow: unit of the flow of the training images.
      channels: what the channels of the images are, `flow`, `grey` or `rgb`; `auto` follows from their number.
      scaling: scaling of the images, applied by the exported programs.
      mirror: `auto`: a prediction is the mean over a clip and its mirror image; `off`: of the clip alone; pairs such as
        `left:right`: the mean over both, where the mirror image shows the other class of a pair.
      network: fields of `NetworkConfig`.
      steps: outer steps of each training.
      adapt_steps: inner steps of the adaptation to labelled clips.
      mean_square: `training_mean_square` of each network, as nested lists; empty unless the scaling is `fold_rms`.
      notice: terms of use.
      measured: scores on clips of a corpus; None if they were not measured.

    Raises:
      ValueError: an image shape of another number of views.
    """

    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    method: str
    folds: tuple[str, ...]
    views: tuple[str, ...] = ()
    seeds: int = 1
    dataset: str = ""
    labels: str = ""
    stand_in: bool = False
    origin: str = ""
    trained_on: tuple[str, ...] = ()
    init: str = ""
    motion: dict[str, Any] = dataclasses.field(default_factory=dict)
    flow: str = "pixels"
    channels: Channels = "auto"
    scaling: str = "clip_rms"
    mirror: str = "auto"
    network: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: int = 0
    adapt_steps: int = 5
    mean_square: tuple[Any, ...] = ()
    notice: str = ""
    measured: Measurement | None = None

    def __post_init__(self) -> None:
        if self.views and (len(self.image_shape), self.image_shape[0]) != (4, len(self.views)):
            raise ValueError(
                f"an image of the shape {self.image_shape} does not have the {len(self.views)} views {', '.join(self.views)}; give "
                f"({len(self.views)}, H, W, C)"
            )

    @property
    def networks(self) -> int:
        """Number of networks."""
        return len(self.folds)

    def to_json(self) -> dict[str, Any]:
        """Content as JSON values, with the format version."""
        content = {"format_version": FORMAT_VERSION, "networks": self.networks, **dataclasses.asdict(self)}
        return json.loads(json.dumps(content, allow_nan=False))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
          ValueError: another format version, fields that are missing or unknown, or images in the unit of another version.
        """
        version = content.get("format_version")
        if version not in READ_VERSIONS:
            raise ValueError(
                f"the model card has format version {version}, this release reads {', '.join(map(str, READ_VERSIONS))}; "
                "write it again with the same `python -m experiments.run` command"
            )
        values: dict[str, Any] = {
            name: tuple(value) if name in _TUPLES else value
            for name, value in content.items()
            if name not in ("format_version", "networks")
        }
        try:
            if values.get("measured") is not None:
                values["measured"] = Measurement(**values["measured"])
            card = cls(**values)
        except TypeError as error:
            raise ValueError(f"the model card is incomplete or has unknown fields: {error}") from error
        refuse_other_unit({"format_version": version, "scaling": card.scaling, "motion": card.motion})
        return card

    def joined(self, *others: Self) -> Self:
        """The card of these networks together with those of other seeds of the same run."""
        cards = (self, *others)
        return dataclasses.replace(
            self,
            folds=tuple(fold for card in cards for fold in card.folds),
            mean_square=tuple(row for card in cards for row in card.mean_square),
            seeds=sum(card.seeds for card in cards),
        )
