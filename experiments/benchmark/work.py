"""The timed work: one outer gradient of the dual branch, with the same inputs for every contender."""

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.benchmark.layers import Layer, Stem, Timed, last_side, layers_of

EMBEDDING = 32
ALIGNMENT_WEIGHT = 0.5
INNER_LR = 0.01


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of one outer update.

    Attributes:
      side: height and width of an image of 3 channels.
      width: channels of the first stage of the backbone; of every layer of conv4.
      way: classes.
      support: clips of the inner loss per task.
      query: clips of the outer loss per task.
      first_order: omit derivatives of the inner gradients.
      head: mean over space of the last maps, or all of them (flatten).
      stem: of resnet18; see `ResNet18`.
    """

    side: int
    width: int
    way: int
    support: int
    query: int
    inner_steps: int = 5
    tasks: int = 4
    first_order: bool = False
    backbone: Timed = "conv4"
    head: Literal["mean", "flatten"] = "mean"
    stem: Stem = "small"

    @property
    def layers(self) -> list[Layer]:
        """Layers of the backbone."""
        return layers_of(self.backbone, self.width, self.side, self.stem)

    @property
    def features(self) -> tuple[int, int, int]:
        """Height, width and channels of the features."""
        side = last_side(self.backbone, self.side, self.stem) if self.head == "flatten" else 1
        return side, side, self.layers[-1].outputs


_FIELD = Setting(side=84, width=16, way=3, support=15, query=15, tasks=2)
SETTINGS = {
    "a": Setting(side=28, width=64, way=3, support=15, query=15),
    "b": Setting(side=84, width=64, way=5, support=5, query=75),
    "c": Setting(side=28, width=32, way=3, support=15, query=15, tasks=32),
    "b_flatten": Setting(side=84, width=64, way=5, support=5, query=75, head="flatten"),
    "resnet12": dataclasses.replace(_FIELD, backbone="resnet12"),
    "resnet18": dataclasses.replace(_FIELD, backbone="resnet18", side=112),
    "resnet18_imagenet": dataclasses.replace(_FIELD, backbone="resnet18", side=112, width=64, stem="imagenet"),
    "vgg16": dataclasses.replace(_FIELD, backbone="vgg16"),
}


def gigaflop(setting: Setting) -> float:
    """Multiplications and additions of the convolutions in one outer gradient, in 1e9, without repeated computation.

    With `P_l = 2 n H_l W_l K_l^2 C_in C_out`, a gradient takes 3 P per layer (2 P in a first one, whose input needs no gradient),
    and the product with the inner Hessian 6 P more (2 P in a first one). Choice: heads, norms and pools are omitted, under 1%.

    >>> [round(gigaflop(SETTINGS[name]), 1) for name in "abc"]
    [57.5, 330.3, 122.2]
    """
    first, others = 0.0, 0.0
    for layer in setting.layers:
        product = 2 * layer.side**2 * layer.size**2 * layer.inputs * layer.outputs
        first, others = (first + product, others) if layer.inputs == 3 else (first, others + product)
    gradient, curvature = 2 * first + 3 * others, 2 * first + 6 * others
    inner = gradient if setting.first_order else gradient + curvature
    clips = setting.inner_steps * setting.support * inner + setting.query * gradient
    return setting.tasks * clips / 1e9


def draw_work(setting: Setting, seed: int = 0, dtype: Any = np.float32) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw parameters of the dual branch and a batch of tasks, as NumPy arrays.

    Returns:
      `(params, tasks)`: params in the layout of `init_params` (convolutions `[3,3,C,O]`), with no entry at its initial 0 or 1;
      tasks `{"support", "query"}` of `image [T,n,H,W,3]`, `label [T,n]` and `target [T,n,32]`.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[Any]:
        return (scale * rng.normal(size=shape)).astype(dtype)

    backbone: dict[str, Any] = {}
    for name, inputs, outputs, _, size, _, bias in setting.layers:
        kernel = normal(size, size, inputs, outputs, scale=(2 / (size**2 * inputs)) ** 0.5)
        backbone[f"kernel_{name}"] = kernel if size > 1 else kernel[0, 0]
        if bias:
            backbone[f"bias_{name}"] = normal(outputs, scale=0.1)
        backbone[f"norm_scale_{name}"] = 1 + normal(outputs, scale=0.1)
        backbone[f"norm_bias_{name}"] = normal(outputs, scale=0.1)
    params = {"backbone": backbone}
    features = math.prod(setting.features)
    for branch, outputs in (("primary", setting.way), ("auxiliary", EMBEDDING)):
        kernel = normal(features, outputs, scale=features**-0.5)
        params[branch] = {"kernel": kernel, "bias": normal(outputs, scale=0.1)}

    def clips(count: int) -> dict[str, NDArray[Any]]:
        label = np.tile(np.arange(count, dtype=np.int32) % setting.way, (setting.tasks, 1))
        image = normal(setting.tasks, count, setting.side, setting.side, 3)
        return {"image": image, "label": label, "target": normal(setting.tasks, count, EMBEDDING)}

    return params, {"support": clips(setting.support), "query": clips(setting.query)}
