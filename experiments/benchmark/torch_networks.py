"""The timed backbones in PyTorch, with the layers and parameter names of the package.

The normalisation can be written out, because the second-order derivatives of PyTorch's own are wrong under vmap.
"""

import torch
import torch.nn.functional as F

from experiments.benchmark.layers import Layer
from experiments.benchmark.work import Setting

Params = dict[str, torch.Tensor]


def features_of(params: Params, x: torch.Tensor, setting: Setting, *, native_norm: bool) -> torch.Tensor:
    """Features `[n, D]` of images `[n, 3, H, W]`; `flatten` in the order of PyTorch: channels, rows, columns."""
    layers = {layer.name: layer for layer in setting.layers}

    def normalised(name: str, x: torch.Tensor) -> torch.Tensor:
        return _normalised(params, layers[name], x, native_norm=native_norm)

    if setting.backbone == "resnet12":
        for block in range(1, 5):
            y = F.leaky_relu(normalised(f"{block}_1", x), 0.1)
            y = F.leaky_relu(normalised(f"{block}_2", y), 0.1)
            x = F.leaky_relu(normalised(f"{block}_3", y) + normalised(f"{block}_shortcut", x), 0.1)
            x = _pooled(x)
    elif setting.backbone == "resnet18":
        x = F.relu(normalised("stem", x))
        x = F.max_pool2d(x, 3, stride=2, padding=1) if setting.stem == "imagenet" else x
        for name in (f"{stage}_{number}" for stage in range(1, 5) for number in (1, 2)):
            y = normalised(f"{name}_2", F.relu(normalised(f"{name}_1", x)))
            x = F.relu(y + (normalised(f"{name}_shortcut", x) if f"{name}_shortcut" in layers else x))
    else:
        ordered = list(layers.values())
        for layer, following in zip(ordered, [*ordered[1:], None], strict=True):
            x = F.relu(normalised(layer.name, x))
            # A smaller layer or the end follows a pool; at a side of 1 there is nothing to pool.
            x = x if following is not None and following.side == layer.side else _pooled(x)
    return x.flatten(1) if setting.head == "flatten" else x.mean((2, 3))


def _normalised(params: Params, layer: Layer, x: torch.Tensor, *, native_norm: bool) -> torch.Tensor:
    kernel, scale, shift = (params[f"{part}_{layer.name}"] for part in ("kernel", "norm_scale", "norm_bias"))
    x = F.conv2d(x, kernel, params.get(f"bias_{layer.name}"), stride=layer.stride, padding=layer.size // 2)
    if native_norm:
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=1e-5)
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]


def _pooled(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2) if x.shape[-1] > 1 else x
