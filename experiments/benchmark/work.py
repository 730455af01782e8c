"""The timed work: one outer gradient of a dual-branch Conv4, with the same inputs for every contender."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

EMBEDDING = 32
ALIGNMENT_WEIGHT = 0.5
INNER_LR = 0.01
LAYERS = 4


@dataclasses.dataclass(frozen=True)
class Setting:
    """Sizes of one outer update.

    Attributes:
      side: height and width of an image of 3 channels.
      width: channels of each of the four layers.
      way: classes.
      support: clips of the inner loss per task.
      query: clips of the outer loss per task.
      first_order: omit derivatives of the inner gradients.
    """

    side: int
    width: int
    way: int
    support: int
    query: int
    inner_steps: int = 5
    tasks: int = 4
    first_order: bool = False


SETTINGS = {
    "a": Setting(side=28, width=64, way=3, support=15, query=15),
    "b": Setting(side=84, width=64, way=5, support=5, query=75),
    "c": Setting(side=28, width=32, way=3, support=15, query=15, tasks=32),
}


def gigaflop(setting: Setting) -> float:
    """Multiplications and additions of the convolutions in one outer gradient, in 1e9, without repeated computation.

    With `P_l = 2 n H_l W_l 9 C_in C_out`, a gradient takes 3 P per layer (2 P in the first, whose input needs no gradient), and
    the product with the inner Hessian 6 P more (2 P in the first). Choice: heads, norms and pools are omitted, under 1%.

    >>> [round(gigaflop(SETTINGS[name]), 1) for name in "abc"]
    [57.5, 330.3, 122.2]
    """
    first, others = 0.0, 0.0
    side, channels = setting.side, 3
    for layer in range(LAYERS):
        product = 2 * side**2 * 9 * channels * setting.width
        first, others = (product, others) if layer == 0 else (first, others + product)
        side, channels = side // 2, setting.width
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
    channels = 3
    for layer in range(1, LAYERS + 1):
        backbone[f"kernel_{layer}"] = normal(3, 3, channels, setting.width, scale=(2 / (9 * channels)) ** 0.5)
        backbone[f"bias_{layer}"] = normal(setting.width, scale=0.1)
        backbone[f"norm_scale_{layer}"] = 1 + normal(setting.width, scale=0.1)
        backbone[f"norm_bias_{layer}"] = normal(setting.width, scale=0.1)
        channels = setting.width
    params = {"backbone": backbone}
    for name, size in (("primary", setting.way), ("auxiliary", EMBEDDING)):
        params[name] = {"kernel": normal(channels, size, scale=channels**-0.5), "bias": normal(size, scale=0.1)}

    def clips(count: int) -> dict[str, NDArray[Any]]:
        label = np.tile(np.arange(count, dtype=np.int32) % setting.way, (setting.tasks, 1))
        image = normal(setting.tasks, count, setting.side, setting.side, 3)
        return {"image": image, "label": label, "target": normal(setting.tasks, count, EMBEDDING)}

    return params, {"support": clips(setting.support), "query": clips(setting.query)}
